"""What the pytest fixtures give: a served recording or market, seen from a test that blocks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from kiterec.replay.background import BackgroundReplay
from kiterec.replay.blocking_controls import BlockingControls
from kiterec.replay.faults import FaultInjector
from kiterec.replay.recorded import RecordedTimeline
from kiterec.replay.scenario import Scenario
from kiterec.replay.sent_log import SentLog
from kiterec.replay.server import ReplayServer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import ExitStack

    from kiterec.recording import Recording
    from kiterec.replay.fault_kinds import AnyFault
    from kiterec.replay.sent_log import Sent, SentTotals
    from kiterec.replay.stats import ClientState, ReplayStats
    from kiterec.replay.timeline import Timeline

    Faults: TypeAlias = Scenario | str | os.PathLike[str] | Iterable[AnyFault]


class ServedKite:
    """A fake Kite that runs until its test ends; every method may be called from any thread.

    Attributes:
        timeline: what is served; of a synthetic market, `timeline.instrument_tokens` tells the instruments.
        url: the WebSocket root, for `KiteTicker(..., root=url)`.
        rest_url: the HTTP root, for `KiteConnect(..., root=rest_url)`.
        control: pause, resume, step, seek, set_speed and acknowledge.
        faults: the faults of the scenario that happened, in `faults.events`; None without a scenario.
    """

    def __init__(
        self,
        timeline: Timeline,
        server: ReplayServer,
        background: BackgroundReplay,
        *,
        log: SentLog,
        faults: FaultInjector | None,
    ) -> None:
        self.timeline = timeline
        self.control = BlockingControls(server, background)
        self.faults = faults
        self._server = server
        self._background = background
        self._log = log
        self.url = background.ask(lambda: server.url)
        self.rest_url = background.ask(lambda: server.http_url)

    def __repr__(self) -> str:
        return f"<ServedKite {self.url} {self.timeline!r}>"

    @property
    def clients(self) -> list[ClientState]:
        """Give who is connected, and what each has subscribed to in which mode."""
        return self._background.ask(self._server.clients)

    @property
    def sent(self) -> list[Sent]:
        """Give the messages that went out so far, after faults, without heartbeats: the latest 64 MiB."""
        return self._background.ask(lambda: list(self._log.sent))

    @property
    def sent_totals(self) -> SentTotals:
        """Give number, size and SHA-256 of all messages that went out so far, also of those not kept."""
        return self._background.ask(self._log.totals)

    def stats(self) -> ReplayStats:
        """Give what the replay has done so far."""
        return self._background.ask(self._server.stats)

    def wait_finished(self, timeout: float = 60) -> None:
        """Wait until the timeline is served to its end and, with `at_end="close"`, the clients are gone.

        Raises:
            TimeoutError: it takes longer than so many seconds; the sentence says what the replay does.
            KiterecError: the timeline could not be read to its end.
        """
        try:
            self._background.wait(self._server.finished, timeout=timeout)
        except TimeoutError:
            stats = self.stats()
            raise TimeoutError(
                f"the replay is not finished after {timeout:g} s: {stats.state} at {stats.position_s:.3f} s "
                f"with {stats.clients} clients; its clock waits until wait_for_clients have subscribed"
            ) from None


class KiteReplayFactory:
    """Serves recordings; the value of the fixture `kite_replay`."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(
        self,
        recording: str | os.PathLike[str] | Recording | Timeline,
        *,
        speed: float | Literal["max"] | None = "max",
        at_end: Literal["close", "hold", "loop"] = "close",
        lockstep: bool | Literal["acknowledged"] = False,
        exact: bool = False,
        rebase: Literal["now"] | None = None,
        faults: Faults | None = None,
        **options: Any,
    ) -> ServedKite:
        """Start to serve a recording.

        Args:
            recording: its folder, what `kiterec.open` gave, or any timeline.
            speed: factor against the recorded pace; `max` is as fast as the clients take it.
            at_end: `close` every connection when all is sent, `hold` them with heartbeats, or `loop`.
            lockstep: send a message only when every client has taken the one before.
            exact: client n gets recorded connection n byte for byte.
            rebase: "now" moves the exchange's times so that the beginning is now; None leaves them.
            faults: what shall go wrong: a scenario, the path of one in TOML, or faults for seed 1.
            options: further ones of `ReplayServer`, such as `wait_for_clients`, `credentials` or `paused`.

        Raises:
            SetupError: the scenario cannot be read or is impossible.
            KiterecError: there is no recording, or the server cannot start.
        """
        return _serve(
            self._stack, _timeline(recording), speed=speed, faults=faults,
            at_end=at_end, lockstep=lockstep, exact=exact, rebase=rebase, **options,
        )  # fmt: skip


class KiteExchangeFactory:
    """Serves synthetic markets; the value of the fixture `kite_exchange`."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def __call__(
        self,
        *,
        seed: int = 1,
        instruments: int = 40,
        duration_s: float | None = 10.0,
        packets_per_s: float = 2.0,
        speed: float | Literal["max"] | None = "max",
        at_end: Literal["close", "hold", "loop"] = "close",
        lockstep: bool | Literal["acknowledged"] = False,
        faults: Faults | None = None,
        **options: Any,
    ) -> ServedKite:
        """Start to serve a market that never existed; the same seed gives the same one.

        Args:
            seed: decides everything that moves.
            instruments: how many; from 10 on, every kind of instrument is there.
            duration_s: how much of the market; None goes on until the test ends.
            packets_per_s: mean over all instruments.
            speed: factor against the market's pace; `max` is as fast as the clients take it.
            at_end: `close` every connection when all is sent, `hold` them with heartbeats, or `loop`.
            lockstep: send a message only when every client has taken the one before.
            faults: what shall go wrong: a scenario, the path of one in TOML, or faults for seed 1.
            options: further ones of `ReplayServer`.

        Raises:
            SetupError: the scenario cannot be read or is impossible.
            ReplayError: the server cannot start.
        """
        import kiterec

        market = kiterec.SyntheticMarket(
            seed=seed, instruments=instruments, duration_s=duration_s, packets_per_s=packets_per_s
        )
        return _serve(
            self._stack, market, speed=speed, faults=faults, at_end=at_end, lockstep=lockstep, **options
        )


def _timeline(recording: str | os.PathLike[str] | Recording | Timeline) -> Timeline:
    if hasattr(recording, "batches"):
        return cast("Timeline", recording)
    return RecordedTimeline(cast("str", getattr(recording, "path", recording)))


def _serve(
    stack: ExitStack,
    timeline: Timeline,
    *,
    speed: float | Literal["max"] | None,
    faults: Faults | None,
    **options: Any,
) -> ServedKite:
    injector = None if faults is None else FaultInjector(_scenario(faults))
    log = SentLog(injector)
    server = ReplayServer(timeline, speed=None if speed == "max" else speed, hook=log, **options)
    background = stack.enter_context(BackgroundReplay(server))
    return ServedKite(timeline, server, background, log=log, faults=injector)


def _scenario(faults: Faults) -> Scenario:
    if isinstance(faults, Scenario):
        return faults
    if isinstance(faults, str | os.PathLike):
        return Scenario.load(Path(faults))
    return Scenario(faults=tuple(faults))
