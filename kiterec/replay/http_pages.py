"""What the port answers to plain HTTP: the instrument dump, the REST twin, and errors in its shape."""

from __future__ import annotations

import asyncio
import gzip
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from kiterec.errors import KiterecError

if TYPE_CHECKING:
    from kiterec.replay.rest.asked import Asked
    from kiterec.replay.rest.routes import RestTwin

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """An HTTP answer."""

    status: HTTPStatus
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def error_page(status: HTTPStatus, message: str, *, error_type: str) -> Page:
    """Give an error as the vendor's API words it.

    Source:
        https://kite.trade/docs/connect/v3/exceptions/
    """
    body = {"status": "error", "message": message, "data": None, "error_type": error_type}
    return Page(status, msgspec.json.encode(body), {"Content-Type": "application/json"})


class Pages:
    """The pages of one replay.

    Args:
        instruments_csv: the day's dump, or None.
        twin: answers everything else; None for nothing else.
    """

    def __init__(self, instruments_csv: bytes | None, *, twin: RestTwin | None = None) -> None:
        self._csv = instruments_csv
        self._twin = twin
        self._packed: dict[str, bytes] = {}

    async def answer(self, asked: Asked) -> Page:
        """Give the page of a request."""
        match asked.path.strip("/").split("/"):
            case ["instruments", *exchange] if len(exchange) < 2:
                if asked.method != "GET":
                    return error_page(
                        HTTPStatus.METHOD_NOT_ALLOWED, "Method not allowed.", error_type="GeneralException"
                    )
                return await self._instruments(*exchange)
        try:
            page = None if self._twin is None else await self._twin.answer(asked)
        except KiterecError as reason:
            logger.error("request failed path=%s reason=%s", asked.path, reason)  # noqa: TRY400
            return error_page(
                HTTPStatus.INTERNAL_SERVER_ERROR, "Internal server error.", error_type="GeneralException"
            )
        if page is not None:
            return page
        return error_page(HTTPStatus.NOT_FOUND, "Route not found.", error_type="GeneralException")

    async def _instruments(self, exchange: str = "") -> Page:
        if self._csv is None:
            return error_page(
                HTTPStatus.NOT_FOUND, "No instrument dump was recorded.", error_type="DataException"
            )
        packed = self._packed.get(exchange)
        if packed is None:
            # Packing the whole dump takes half a second: in a thread, for clients are being served meanwhile.
            packed = await asyncio.to_thread(_pack, self._csv, exchange)
            if packed is None:
                return error_page(HTTPStatus.BAD_REQUEST, "Invalid exchange.", error_type="InputException")
            self._packed[exchange] = packed
        return Page(HTTPStatus.OK, packed, {"Content-Type": "text/csv", "Content-Encoding": "gzip"})


def _pack(csv: bytes, exchange: str) -> bytes | None:
    """Give the gzipped dump of an exchange, of all for an empty name; None when it has no line."""
    if exchange:
        header, *lines = csv.splitlines(keepends=True)
        wanted = exchange.encode()
        lines = [line for line in lines if line.rstrip().rpartition(b",")[2].strip(b'"') == wanted]
        if not lines:
            return None
        csv = b"".join([header, *lines])
    return gzip.compress(csv, compresslevel=6, mtime=0)
