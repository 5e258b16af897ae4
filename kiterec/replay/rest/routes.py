"""Which path of the REST twin gives what, and who may ask."""

from __future__ import annotations

import asyncio
import functools
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kiterec.clock import NS_PER_S, SYSTEM_CLOCK, utc
from kiterec.errors import SetupError
from kiterec.replay.http_pages import Page, error_page
from kiterec.replay.rest.candle_log import CandleLog
from kiterec.replay.rest.history import asked_stretch, history
from kiterec.replay.rest.quotes import LIMITS, shaped
from kiterec.replay.rest.session import is_checksum, new_session, profile
from kiterec.ticks.instruments import InstrumentDump

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    import polars as pl

    from kiterec.replay.admission import Admission
    from kiterec.replay.rest.asked import Asked
    from kiterec.replay.rest.instant import Instant

_READING_S: Final = 5.5
"""The official clients wait for seven seconds."""


class RestTwin:
    """Answers what the vendor's API would have answered at the replay's instant.

    Args:
        instant: the market there.
        admission: whose credentials are good.
        instruments_csv: the day's dump; without one, instruments are known by token only.
    """

    def __init__(self, instant: Instant, *, admission: Admission, instruments_csv: bytes | None) -> None:
        self._instant = instant
        self._admission = admission
        self._csv = instruments_csv
        self._log = CandleLog(instant.timeline, sessions=instant.sessions)
        self._one_at_a_time = asyncio.Semaphore(1)
        self._reading = threading.Lock()

    async def answer(self, asked: Asked) -> Page | None:
        """Give the page of a request; None when the path is not one of the twin's."""
        parts = tuple(asked.path.strip("/").split("/"))
        if parts == ("session", "token"):
            return await self._session(asked)
        answer: Callable[[Asked], Awaitable[Page]]
        match parts:
            case ("quote", *which) if len(which) < 2 and "".join(which) in LIMITS:
                answer = functools.partial(self._quote, "".join(which))
            case ("instruments", "historical", token, interval):
                answer = functools.partial(self._history, token, interval)
            case ("user", "profile"):
                answer = _profile
            case _:
                return None
        if asked.method != "GET":
            return error_page(
                HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.", error_type="GeneralException"
            )
        if not self._admission.good(*asked.credentials()):
            return _wrong_credentials()
        return await answer(asked)

    async def _quote(self, which: str, asked: Asked) -> Page:
        names = list(dict.fromkeys(asked.values("i")))
        if not names:
            return _bad_input("Missing or empty field `i`")
        if len(names) > LIMITS[which]:
            return _bad_input(f"Maximum of {LIMITS[which]} instruments allowed.")
        if not self._instant.has_state:
            return error_page(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "An exact replay keeps no market state; replay without --exact for quotes.",
                error_type="DataException",
            )
        dump = await asyncio.to_thread(lambda: self._dump)
        tokens = {name: token for name in names if (token := _token(name, dump)) is not None}
        ticks = self._instant.ticks(list(tokens.values()))
        now_ns = await self._now_ns()
        return _success(
            {
                name: shaped(which, ticks[token], now_ns=now_ns)
                for name, token in tokens.items()
                if token in ticks
            }
        )

    async def _history(self, name: str, interval: str, asked: Asked) -> Page:
        token = _token(name, None)
        if token is None or not await self._is_known(token):
            return _bad_input("invalid token")
        try:
            begin, end = asked_stretch(interval, asked.value("from"), asked.value("to"))
        except ValueError as reason:
            return _bad_input(str(reason))
        start_ns = await asyncio.to_thread(lambda: self._instant.start_ns)
        if start_ns is None:
            return error_page(
                HTTPStatus.SERVICE_UNAVAILABLE, "The timeline has no dates.", error_type="DataException"
            )
        asked_at = SYSTEM_CLOCK.monotonic_ns()
        async with self._one_at_a_time:
            waited_s = (SYSTEM_CLOCK.monotonic_ns() - asked_at) / NS_PER_S
            minutes = await asyncio.to_thread(self._minutes, token, start_ns, _READING_S - waited_s)
        if minutes is None:
            return error_page(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The candles are being made from the recording and are not there yet; ask again.",
                error_type="DataException",
            )
        return _success(
            {
                "candles": history(
                    minutes, interval, begin=begin, end=end, with_oi=asked.value("oi") == "1",
                    sessions=self._instant.sessions,
                )
            }
        )  # fmt: skip

    def _minutes(self, token: int, start_ns: int, within_s: float) -> pl.DataFrame | None:
        """Give the minutes of an instrument up to now; None if they cannot be made so soon."""
        instant = self._instant
        with self._reading:  # a request that was given up still reads
            if not self._log.advance(
                instant.position_ns, seq=instant.seq, start_ns=start_ns, within_s=within_s
            ):
                return None
            return self._log.minutes(token)

    async def _is_known(self, token: int) -> bool:
        """Tell whether a token is in the dump, or has ticks all the same; without both nobody can say."""
        symbol = await asyncio.to_thread(lambda: self._dump is None or self._dump.symbol_of(token))
        return bool(symbol) or not self._instant.has_state or token in self._instant.ticks([token])

    async def _session(self, asked: Asked) -> Page:
        api_key = asked.value("api_key")
        if asked.method == "DELETE":
            if not self._admission.good(api_key, asked.value("access_token")):
                return _wrong_credentials()
            self._admission.revoke(api_key, asked.value("access_token"))
            return _success(data=True)
        if asked.method != "POST":
            return error_page(
                HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.", error_type="GeneralException"
            )
        if not api_key or not self._admission.has_api_key(api_key):
            return error_page(HTTPStatus.FORBIDDEN, "Invalid `api_key`.", error_type="TokenException")
        if not asked.value("request_token") or not is_checksum(asked.value("checksum")):
            return error_page(
                HTTPStatus.FORBIDDEN, "Token is invalid or has expired.", error_type="TokenException"
            )
        now_ns = await self._now_ns()
        now: datetime | None = None if now_ns is None else utc(now_ns)
        session = new_session(api_key, asked.value("request_token"), now=now)
        self._admission.issue(api_key, session["access_token"])
        return _success(session)

    async def _now_ns(self) -> int | None:
        start_ns = await asyncio.to_thread(lambda: self._instant.start_ns)
        return None if start_ns is None else start_ns + self._instant.position_ns

    @functools.cached_property
    def _dump(self) -> InstrumentDump | None:
        return None if self._csv is None else InstrumentDump.from_csv(self._csv, where="of the replay")


async def _profile(asked: Asked) -> Page:  # noqa: ARG001 -- all routes are called alike
    return _success(profile())


def _token(name: str, dump: InstrumentDump | None) -> int | None:
    """Give the token of a name or of a token in digits; None for an unknown one, which is left out."""
    if name.isdecimal():
        return int(name) if len(name) <= 10 and int(name) < 1 << 32 else None
    if dump is None:
        return None
    try:
        return dump.resolve(name)
    except SetupError:
        return None


def _success(data: Any) -> Page:
    body = msgspec.json.encode({"status": "success", "data": data})
    return Page(HTTPStatus.OK, body, {"Content-Type": "application/json"})


def _bad_input(message: str) -> Page:
    return error_page(HTTPStatus.BAD_REQUEST, message, error_type="InputException")


def _wrong_credentials() -> Page:
    return error_page(
        HTTPStatus.FORBIDDEN, "Incorrect `api_key` or `access_token`.", error_type="TokenException"
    )
