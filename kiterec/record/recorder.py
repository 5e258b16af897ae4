"""A recording from start to end: the feed, the writer and the plugins put together."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from kiterec.clock import NS_PER_S, SYSTEM_CLOCK
from kiterec.errors import AuthError
from kiterec.feed.manager import TickerManager
from kiterec.plugins.host import PluginHost
from kiterec.record.leftovers import recover_unfinished, remove_empty
from kiterec.record.losses import find_losses, tell_the_end
from kiterec.record.plan import make_plan
from kiterec.record.result import Ending, RecordResult
from kiterec.record.stages import Crew, RowSink, end, fetch_dump, keep_dump, unless
from kiterec.record.status import RecordStatus, connection_status
from kiterec.record.turns import quick_turns
from kiterec.store.writer import RecordingWriter

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from kiterec.clock import Clock
    from kiterec.errors import KiterecError, StorageError
    from kiterec.record.config import RecordConfig
    from kiterec.record.plan import Plan
    from kiterec.store.summary import Summary

logger = logging.getLogger(__name__)

_HOLD_LOG_NS: Final = 60 * NS_PER_S


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
        self._used = False
        self._ending = False
        self._crew: Crew | None = None
        self._started_ns = 0
        self._held = False
        self._hold_told_ns: int | None = None
        self._broken = asyncio.Event()
        self._failure: StorageError | None = None

    async def run(self, stop: asyncio.Event | None = None) -> RecordResult:
        """Record until the schedule says so, `stop` is set, or nothing more can come.

        Unfinished recordings under the same folder are recovered meanwhile.

        Returns:
            What became of it; also when the disk failed or the account was refused after something had come.

        Raises:
            SetupError: nothing was started: instruments, dump, folder or schedule are impossible, or it was
                stopped before.
            PluginError: nothing was started: a plugin cannot be used.
            AuthError: every account was refused before anything had come; no recording is left behind.
            StorageError: the recording cannot be created.
        """
        if self._used:
            raise ValueError("this recorder has run before; make a new one for a new recording")
        self._used = True
        config, stop = self.config, stop or asyncio.Event()
        config.schedule.check(self._clock)
        host = PluginHost(config.plugins, config.plugin_options)
        plan = await unless(stop, make_plan(config))
        made_out = not await asyncio.to_thread(config.out.exists)
        crew = self._crew = await self._assemble(plan, host)
        # Beside the recording: sealing what a crash left can take longer than a market would wait.
        leftovers = asyncio.create_task(
            asyncio.to_thread(recover_unfinished, config.out, stopped=lambda: self._ending)
        )
        try:
            with quick_turns():
                ending, failure = await self._record(crew, plan, stop)
            logger.debug("recording ends: because=%s", ending)
        finally:
            self._ending = True
            summary, trouble = await end(crew)
            await leftovers
        if isinstance(failure, AuthError) and summary is not None and not summary.wire_bytes:
            await asyncio.to_thread(remove_empty, crew.writer.path, out=config.out, made_out=made_out)
            raise failure
        tell_the_end(crew.writer.path, ending, summary)
        return _result(crew, ending, failure or self._failure or trouble, summary)

    def status(self) -> RecordStatus | None:
        """Give how it is now; None before anything is recorded."""
        crew = self._crew
        if crew is None:
            return None
        written = crew.writer.stats()
        connections = crew.manager.stats().connections
        return RecordStatus(
            path=crew.writer.path,
            elapsed_s=(self._clock.monotonic_ns() - self._started_ns) / NS_PER_S,
            left_s=self.config.schedule.left_s(self._clock, started_ns=self._started_ns),
            connections={name: connection_status(stats) for name, stats in connections.items()},
            health=crew.manager.health(),
            unwritten_bytes=written.unwritten_bytes,
            disk_bytes=written.disk_bytes,
            held=self._held,
            plugins=crew.host.stats(),
        )

    async def _assemble(self, plan: Plan, host: PluginHost) -> Crew:
        """Make what the recording needs; the folder last, so that a failure leaves nothing behind."""
        config, sink = self.config, RowSink(host)
        manager = TickerManager(config.accounts, config.feed, sink=sink, clock=self._clock, rng=self._rng)
        await manager.subscribe(plan.tokens, config.mode)
        if config.feed.failover_after_s is None:  # else the idle ones are there to take over
            manager.drop_idle()
        self._started_ns = self._clock.monotonic_ns()
        sink.writer = await asyncio.to_thread(
            RecordingWriter.create,
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
            await asyncio.to_thread(keep_dump, sink.writer, plan.dump)
        return Crew(manager, sink.writer, host)

    async def _record(
        self, crew: Crew, plan: Plan, stop: asyncio.Event
    ) -> tuple[Ending, KiterecError | None]:
        """Let it run; give why it ended."""
        self._listen(crew)
        crew.host.start(crew.writer.path, crew.connections)
        logger.info(
            "recording started: path=%s instruments=%d mode=%s connections=%d",
            *(crew.writer.path, len(plan.tokens), self.config.mode, len(crew.connections)),
        )
        await crew.manager.start()
        waits: dict[asyncio.Task[Any], Ending] = {
            asyncio.create_task(stop.wait()): Ending.STOPPED,
            asyncio.create_task(self._until_the_end()): Ending.SCHEDULE,
            asyncio.create_task(crew.manager.ended()): Ending.FEED,
            asyncio.create_task(self._broken.wait()): Ending.STORAGE,
        }
        beside = set(waits)
        if plan.dump is None:
            beside.add(asyncio.create_task(fetch_dump(self.config, crew.writer, tokens=plan.tokens)))
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
        for task in done:
            task.result()  # a fault of ours is raised, not taken for an ending
        endings = {waits[task] for task in done}
        if Ending.STORAGE in endings:
            return Ending.STORAGE, self._failure
        if Ending.FEED in endings:
            return Ending.FEED, crew.manager.failure()
        return next(iter(endings)), None

    def _listen(self, crew: Crew) -> None:
        """Have the writer's threads tell the event loop about pressure and failure."""
        loop = asyncio.get_running_loop()

        def tell(callback: Callable[..., None], *arguments: object) -> None:
            # The loop can end while a thread of the writer still has something to say.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(callback, *arguments)

        def fail(error: StorageError) -> None:
            self._failure = error
            tell(self._broken.set)

        crew.writer.on_pressure(lambda _: tell(self._hold, crew))
        crew.writer.on_failure(fail)

    def _hold(self, crew: Crew) -> None:
        """Stop reading the sockets, or go on, as the writer wants it by now."""
        wanted = crew.writer.paused()
        if self._held == wanted:
            return
        self._held = wanted
        if wanted:
            self._tell_of_hold()
            crew.manager.pause_reading()
        else:
            crew.manager.resume_reading()

    def _tell_of_hold(self) -> None:
        """Log it, but not each time: a sender that is faster than the disk is held many times a second."""
        now = self._clock.monotonic_ns()
        if self._hold_told_ns is None or now - self._hold_told_ns >= _HOLD_LOG_NS:
            self._hold_told_ns = now
            logger.warning("the disk cannot keep up, the sender is slowed; see the backpressure rows")

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


def _result(
    crew: Crew, ending: Ending, failure: KiterecError | None, summary: Summary | None
) -> RecordResult:
    connections = crew.manager.stats().connections
    refusals = {name: stats.counters.refusals for name, stats in connections.items()}
    return RecordResult(
        path=crew.writer.path,
        ending=ending,
        summary=summary,
        failure=failure,
        lost=find_losses(summary, refusals=refusals, failure=failure),
        plugins=crew.host.stats(),
    )
