"""What the pytest fixtures give: a served recording or market, seen from a test that blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from kiterec.replay.background import BackgroundReplay
from kiterec.replay.recorded import RecordedTimeline
from kiterec.replay.server import ReplayServer

if TYPE_CHECKING:
    import os
    from contextlib import ExitStack
    from pathlib import Path

    from kiterec.recording import Recording
    from kiterec.replay.stats import ReplayStats
    from kiterec.replay.timeline import Timeline


class ServedKite:
    """A fake Kite that runs until its test ends; every method may be called from any thread.

    Attributes:
        timeline: what is served; of a synthetic market, `timeline.instrument_tokens` tells the instruments.
        url: the WebSocket root, for `KiteTicker(..., root=url)`.
        rest_url: the HTTP root, for `KiteConnect(..., root=rest_url)`.
    """

    def __init__(self, timeline: Timeline, server: ReplayServer, background: BackgroundReplay) -> None:
        self.timeline = timeline
        self._server = server
        self._background = background
        self.url = background.ask(lambda: server.url)
        self.rest_url = background.ask(lambda: server.http_url)

    def __repr__(self) -> str:
        return f"<ServedKite {self.url} {self.timeline!r}>"

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
        at_end: Literal["close", "hold"] = "close",
        **options: Any,
    ) -> ServedKite:
        """Start to serve a recording.

        Args:
            recording: its folder, what `kiterec.open` gave, or any timeline.
            speed: factor against the recorded pace; `max` is as fast as the clients take it.
            at_end: `close` every connection when all is sent, or `hold` them with heartbeats.
            options: further ones of `ReplayServer`, such as `exact`, `wait_for_clients` or `credentials`.
        """
        return _serve(self._stack, _timeline(recording), speed=speed, at_end=at_end, **options)


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
        at_end: Literal["close", "hold"] = "close",
        **options: Any,
    ) -> ServedKite:
        """Start to serve a market that never existed; the same seed gives the same one.

        Args:
            seed: decides everything that moves.
            instruments: how many; from 10 on, every kind of instrument is there.
            duration_s: how much of the market; None goes on until the test ends.
            packets_per_s: mean over all instruments.
            speed: factor against the market's pace; `max` is as fast as the clients take it.
            at_end: `close` every connection when all is sent, or `hold` them with heartbeats.
            options: further ones of `ReplayServer`.
        """
        import kiterec

        market = kiterec.SyntheticMarket(
            seed=seed, instruments=instruments, duration_s=duration_s, packets_per_s=packets_per_s
        )
        return _serve(self._stack, market, speed=speed, at_end=at_end, **options)


def _timeline(recording: str | os.PathLike[str] | Recording | Timeline) -> Timeline:
    if hasattr(recording, "batches"):
        return cast("Timeline", recording)
    path: Path | str = getattr(recording, "path", recording)
    return RecordedTimeline(path)


def _serve(
    stack: ExitStack, timeline: Timeline, *, speed: float | Literal["max"] | None, **options: Any
) -> ServedKite:
    server = ReplayServer(timeline, speed=None if speed == "max" else speed, **options)
    return ServedKite(timeline, server, stack.enter_context(BackgroundReplay(server)))
