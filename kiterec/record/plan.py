"""What a recording will ask for: the day's dump and the instrument_tokens, known before anything starts."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from kiterec.errors import CapacityError, SetupError
from kiterec.record.dump_source import download_dump, dump_url, read_dump
from kiterec.record.selection import Selection, read_selection
from kiterec.ticks.instruments import InstrumentDump

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kiterec.record.config import RecordConfig

logger = logging.getLogger(__name__)

_SHOWN: Final = 5

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to ask for.

    Attributes:
        tokens: instrument_tokens, each once.
        dump: the day's dump as CSV; None when it is not known yet.
    """

    tokens: list[int]
    dump: bytes | None


async def make_plan(config: RecordConfig) -> Plan:
    """Read the selection, and the dump as far as the selection needs it.

    A dump that is not needed is left to `late_dump`, so that no server delays the recording.

    Raises:
        SetupError: an instrument or the dump cannot be had; as `CapacityError`, there is no room for all.
    """
    selection = read_selection(config.instruments)
    csv: bytes | None = None
    dump: InstrumentDump | None = None
    if config.instrument_dump is not None or selection.needs_dump:
        where, csv = await _needed_dump(config, selection)
        dump = await asyncio.to_thread(InstrumentDump.from_csv, csv, where=where)
    tokens = selection.tokens(dump)
    _check_room(len(tokens), config)
    if dump is not None:
        warn_of_unknown(tokens, dump)
    return Plan(tokens=tokens, dump=csv)


def warn_of_unknown(tokens: Sequence[int], dump: InstrumentDump) -> None:
    """Warn of instrument_tokens that are not in the dump; they are asked for all the same."""
    known = set(dump.tokens())
    unknown = [token for token in tokens if token not in known]
    if unknown:
        shown = ", ".join(map(str, unknown[:_SHOWN]))
        more = f" and {len(unknown) - _SHOWN:,} more" if len(unknown) > _SHOWN else ""
        logger.warning(
            "instrument_token %s%s: not in today's instrument dump; Kite sends nothing for them", shown, more
        )


async def late_dump(config: RecordConfig) -> bytes | None:
    """Download a dump that is kept with the recording and not needed; None when it cannot be had."""
    url = dump_url(config.url)
    try:
        return await _download(config, url)
    except SetupError as error:
        logger.warning("the recording has no instrument dump: %s", error)
    except Exception:
        # Nothing about a dump that is not needed may end a recording.
        logger.exception("the recording has no instrument dump")
    return None


async def _needed_dump(config: RecordConfig, selection: Selection) -> tuple[str, bytes]:
    if config.instrument_dump is not None:
        path = config.instrument_dump
        return str(path), await asyncio.to_thread(read_dump, path)
    url = dump_url(config.url)
    try:
        return url, await _download(config, url)
    except SetupError as error:
        wanted = "all" if selection.everything else "names"
        raise SetupError(
            f"{error}; {wanted} in --instruments need it: give --instrument-dump FILE, or instrument_tokens"
        ) from None


async def _download(config: RecordConfig, url: str) -> bytes:
    return await _in_a_thread(
        partial(download_dump, url, timeout_s=config.dump_timeout_s, proxy=config.feed.proxy)
    )


def _check_room(asked: int, config: RecordConfig) -> None:
    room = config.feed.max_instruments_per_connection
    names = [f"{account.name}-{slot}" for account in config.accounts for slot in range(config.connections)]
    if asked * config.feed.copies > room * len(names):
        raise CapacityError(asked, room * len(names) // config.feed.copies, dict.fromkeys(names, room))


async def _in_a_thread(work: Callable[[], Found]) -> Found:
    """Do blocking work in a thread that nobody has to wait for, not even the end of the program."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Found] = loop.create_future()

    def settle(set_it: Callable[[], None]) -> None:
        if not done.done():
            set_it()

    def run() -> None:
        try:
            found = work()
        except Exception as error:  # noqa: BLE001 -- it is raised where the work is awaited
            outcome = partial(done.set_exception, error)
        else:
            outcome = partial(done.set_result, found)
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name="kiterec-dump", daemon=True).start()
    return await done
