"""A recording from start to end: the feed, the writer and the plugins put together."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kiterec.clock import NS_PER_S, SYSTEM_CLOCK
from kiterec.errors import AuthError, SetupError, StorageError
from kiterec.feed.manager import TickerManager
from kiterec.plugins.host import PluginHost
from kiterec.record.leftovers import recover_unfinished, remove_empty
from kiterec.record.losses import find_losses
from kiterec.record.plan import late_dump, make_plan
from kiterec.record.result import Ending, RecordResult
from kiterec.record.status import RecordStatus, connection_status
from kiterec.store.writer import RecordingWriter

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from kiterec.clock import Clock
    from kiterec.errors import KiterecError
    from kiterec.record.config import RecordConfig
    from kiterec.record.plan import Plan
    from kiterec.store.summary import Summary
    from kiterec.wire.transcript import Row

logger = logging.getLogger(__name__)


class Recorder:
    """One recording: `run` it once; ask for its `status` meanwhile.

    Args:
        config: what to record, and where to.
        clock: of the host.
        rng: where the jitter of reconnects comes from.
    """

    def __init__(
        self, config: RecordConfig, *, clock: Clock = SYSTEM_CLOCK, rng: random.Random | None = None
    ) -> None:
        self.config = config
        self._clock = clock
        self._rng = rng
        self._manager: TickerManager | None = None
        self._writer: RecordingWriter | None = None
        self._host: PluginHost | None = None
        self._started_ns = 0
        self._held = False
        self._failure: StorageError | None = None

    async def run(self, stop: asyncio.Event | None = None) -> RecordResult:
        """Record until the schedule says so, `stop` is set, or nothing more can come.

        Unfinished recordings under the same folder are recovered first.

        Returns:
            What became of it; also when the disk failed or the account was refused after something had come.

        Raises:
            SetupError: nothing was started: instruments, dump, folder or schedule are impossible.
            PluginError: nothing was started: a plugin cannot be used.
            AuthError: every account was refused before anything had come; no recording is left behind.
            StorageError: the recording cannot be created.
        """
        if self._host is not None:
            raise ValueError("this recorder has run before; make a new one for a new recording")
        config = self.config
        config.schedule.check(self._clock)
        self._host = host = PluginHost(config.plugins, config.plugin_options)
        plan = await make_plan(config)
        sink = _Sink(host)
        self._manager = manager = TickerManager(
            config.accounts, config.feed, sink=sink, clock=self._clock, rng=self._rng
        )
        await manager.subscribe(plan.tokens, config.mode)
        await asyncio.to_thread(recover_unfinished, config.out)
        made_out = not await asyncio.to_thread(config.out.exists)
        self._writer = sink.writer = writer = await asyncio.to_thread(self._create, manager, plan)
        try:
            ending, failure = await self._record(plan, stop or asyncio.Event())
            logger.info("recording ends: because=%s", failure or ending)
        finally:
            summary, trouble = await _end(manager, writer, host)
        if isinstance(failure, AuthError) and summary is not None and not summary.wire_bytes:
            await asyncio.to_thread(remove_empty, writer.path, out=config.out, made_out=made_out)
            raise failure
        return self._result(ending, failure or self._failure or trouble, summary)

    def status(self) -> RecordStatus | None:
        """Give how it is now; None before anything is recorded."""
        manager, writer, host = self._manager, self._writer, self._host
        if manager is None or writer is None or host is None:
            return None
        written = writer.stats()
        connections = manager.stats().connections
        return RecordStatus(
            path=writer.path,
            elapsed_s=(self._clock.monotonic_ns() - self._started_ns) / NS_PER_S,
            left_s=self.config.schedule.left_s(self._clock, started_ns=self._started_ns),
            connections={name: connection_status(stats) for name, stats in connections.items()},
            health=manager.health(),
            unwritten_bytes=written.unwritten_bytes,
            disk_bytes=written.disk_bytes,
            held=self._held,
            plugins=host.stats(),
        )

    def _create(self, manager: TickerManager, plan: Plan) -> RecordingWriter:
        config = self.config
        writer = RecordingWriter.create(
            config.out,
            label=config.label,
            accounts=[account.name for account in config.accounts],
            connections=list(manager.stats().connections),
            details={
                "url": config.url,
                "mode": str(config.mode),
                "instruments": len(plan.tokens),
                "selection": list(config.instruments),
                "plugins": list(config.plugins),
            },
            options=config.store,
            clock=self._clock,
        )
        if plan.dump is not None:
            _keep(writer, plan.dump)
        return writer

    async def _record(self, plan: Plan, stop: asyncio.Event) -> tuple[Ending, KiterecError | None]:
        """Let it run; give why it ended."""
        manager, writer, host = self._manager, self._writer, self._host
        if manager is None or writer is None or host is None:
            raise RuntimeError("the recording was not prepared")
        broken = self._listen(manager, writer)
        self._started_ns = self._clock.monotonic_ns()
        host.start(writer.path, list(manager.stats().connections))
        logger.info(
            "recording started: path=%s instruments=%d mode=%s connections=%d",
            *(writer.path, len(plan.tokens), self.config.mode, len(manager.stats().connections)),
        )
        await manager.start()
        side = asyncio.create_task(self._keep_dump(plan, writer), name="kiterec dump")
        waits: dict[asyncio.Task[Any], Ending] = {
            asyncio.create_task(stop.wait()): Ending.STOPPED,
            asyncio.create_task(self._until_the_end()): Ending.SCHEDULE,
            asyncio.create_task(manager.ended()): Ending.FEED,
            asyncio.create_task(broken.wait()): Ending.STORAGE,
        }
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (side, *waits):
                task.cancel()
            await asyncio.wait([side, *waits])
        for task in done:
            task.result()  # a fault of ours is raised, not taken for an ending
        endings = {waits[task] for task in done}
        if Ending.STORAGE in endings:
            return Ending.STORAGE, self._failure
        if Ending.FEED in endings:
            return Ending.FEED, manager.failure()
        return next(iter(endings)), None

    def _listen(self, manager: TickerManager, writer: RecordingWriter) -> asyncio.Event:
        """Have the writer's threads tell the event loop about pressure and failure."""
        loop = asyncio.get_running_loop()
        broken = asyncio.Event()

        def tell(callback: Callable[..., None], *arguments: object) -> None:
            # The loop can end while a thread of the writer still has something to say.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(callback, *arguments)

        def fail(error: StorageError) -> None:
            self._failure = error
            tell(broken.set)

        writer.on_pressure(lambda _: tell(self._hold, manager, writer))
        writer.on_failure(fail)
        return broken

    def _hold(self, manager: TickerManager, writer: RecordingWriter) -> None:
        """Stop reading the sockets, or go on, as the writer wants it by now."""
        wanted = writer.paused()
        if self._held == wanted:
            return
        self._held = wanted
        if wanted:
            logger.warning("the disk cannot keep up, reading stands still")
            manager.pause_reading()
        else:
            logger.info("the disk has caught up, reading goes on")
            manager.resume_reading()

    async def _until_the_end(self) -> None:
        schedule = self.config.schedule
        while True:
            left = schedule.wait_s(self._clock, started_ns=self._started_ns)
            if left is None:
                await asyncio.Event().wait()
            elif left <= 0:
                return
            else:
                await asyncio.sleep(left)

    async def _keep_dump(self, plan: Plan, writer: RecordingWriter) -> None:
        """Fetch the dump beside the recording, when it was not needed to begin."""
        dump = await late_dump(self.config) if plan.dump is None else None
        if dump is None:
            return
        keeping = asyncio.create_task(asyncio.to_thread(_keep, writer, dump))
        try:
            await asyncio.shield(keeping)
        finally:
            # A file that is being written when the recording ends must not outlive it.
            await keeping

    def _result(self, ending: Ending, failure: KiterecError | None, summary: Summary | None) -> RecordResult:
        if self._writer is None or self._manager is None or self._host is None:
            raise RuntimeError("the recording was not prepared")
        return RecordResult(
            path=self._writer.path,
            ending=ending,
            summary=summary,
            failure=failure,
            lost=find_losses(summary, failure=failure),
            plugins=self._host.stats(),
        )


class _Sink:
    """Every row goes to the writer first, and then to the plugins."""

    def __init__(self, host: PluginHost) -> None:
        self._host = host
        self.writer: RecordingWriter | None = None

    def append(self, connection: str, row: Row) -> None:
        if self.writer is None:
            raise RuntimeError("a row came before there was a recording")
        self.writer.append(connection, row)
        self._host.append(connection, row)


def _keep(writer: RecordingWriter, dump: bytes) -> None:
    """Keep the dump with the recording; a strange one is worth a warning, not a recording."""
    try:
        writer.set_instruments(dump)
    except (SetupError, StorageError) as error:
        logger.warning("the recording has no instrument dump: %s", error)


async def _end(
    manager: TickerManager, writer: RecordingWriter, host: PluginHost
) -> tuple[Summary | None, StorageError | None]:
    """End the feed, then the writer, then the plugins; each also when the one before it fails."""
    try:
        await manager.stop()
    finally:
        summary, trouble = await asyncio.to_thread(_close, writer)
        await asyncio.to_thread(host.stop, summary)
    return summary, trouble


def _close(writer: RecordingWriter) -> tuple[Summary | None, StorageError | None]:
    """Seal what there is; give the error instead of raising it, so that the rest is ended too."""
    try:
        return writer.close(), None
    except StorageError as error:
        logger.error("the recording could not be finished: %s", error)  # noqa: TRY400 -- its sentence says all
        return None, error
