"""What a recording is made of, how the parts are put together before it, and how they are ended after it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kiterec.errors import SetupError, StorageError
from kiterec.record.plan import late_dump, warn_of_unknown
from kiterec.ticks.instruments import InstrumentDump

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from kiterec.feed.manager import TickerManager
    from kiterec.plugins.host import PluginHost
    from kiterec.record.config import RecordConfig
    from kiterec.store.summary import Summary
    from kiterec.store.writer import RecordingWriter
    from kiterec.wire.transcript import Row

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Crew:
    """The feed, the writer and the plugins of one recording."""

    manager: TickerManager
    writer: RecordingWriter
    host: PluginHost

    @property
    def connections(self) -> list[str]:
        """The names of all connections."""
        return list(self.manager.stats().connections)


class RowSink:
    """Every row goes to the writer first, and then to the plugins.

    Attributes:
        writer: must be set before the feed starts.
    """

    def __init__(self, host: PluginHost) -> None:
        self._host = host
        self.writer: RecordingWriter | None = None

    def append(self, connection: str, row: Row) -> None:
        """Take one row."""
        if self.writer is None:
            raise RuntimeError("a row came before there was a recording")
        self.writer.append(connection, row)
        self._host.append(connection, row)


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, Result]) -> Result:
    """Do what may take long before the start.

    Raises:
        SetupError: it was stopped first.
    """
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise SetupError("it was stopped before anything was recorded")
        return working.result()
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.wait((working, stopping))


async def fetch_dump(config: RecordConfig, writer: RecordingWriter, *, tokens: Sequence[int]) -> None:
    """Fetch a dump that was not needed to begin, keep it with the recording, and look the tokens up in it."""
    dump = await late_dump(config)
    if dump is None:
        return
    keeping = asyncio.create_task(asyncio.to_thread(_take_late_dump, writer, dump, tokens))
    try:
        await asyncio.shield(keeping)
    finally:
        # A file that is being written when the recording ends must not outlive it.
        await keeping


def _take_late_dump(writer: RecordingWriter, dump: bytes, tokens: Sequence[int]) -> None:
    keep_dump(writer, dump)
    with suppress(SetupError):  # one that cannot be read has been told
        warn_of_unknown(tokens, InstrumentDump.from_csv(dump))


def keep_dump(writer: RecordingWriter, dump: bytes) -> None:
    """Keep the dump with the recording; a strange one is worth a warning, not a recording."""
    try:
        writer.set_instruments(dump)
    except (SetupError, StorageError) as error:
        logger.warning("the recording has no instrument dump: %s", error)


async def end(crew: Crew) -> tuple[Summary | None, StorageError | None]:
    """End the feed, then the writer, then the plugins; each also when the one before it fails.

    Returns:
        The summary, or why there is none.
    """
    try:
        await crew.manager.stop()
    finally:
        summary, trouble = await asyncio.to_thread(_close, crew.writer)
        await asyncio.to_thread(crew.host.stop, summary)
    return summary, trouble


def _close(writer: RecordingWriter) -> tuple[Summary | None, StorageError | None]:
    """Seal what there is; give the error instead of raising it, so that the rest is ended too."""
    try:
        return writer.close(), None
    except StorageError as error:
        logger.error("the recording could not be finished: %s", error)  # noqa: TRY400 -- its sentence says all
        return None, error
