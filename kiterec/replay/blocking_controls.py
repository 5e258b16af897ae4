"""The controls of a replay for code that blocks: each call returns when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from kiterec.replay.background import BackgroundReplay
    from kiterec.replay.controls import ReplayControls

_PATIENCE_S: Final = 60.0


class BlockingControls:
    """What `ReplayServer` can do while it runs, from any thread.

    Every call raises TimeoutError when it takes longer than a minute, and what the server's own raises.
    """

    def __init__(self, controls: ReplayControls, background: BackgroundReplay) -> None:
        self._controls = controls
        self._background = background

    def pause(self) -> None:
        """Stop the clock; heartbeats go on."""
        self._background.ask(self._controls.pause)

    def resume(self) -> None:
        """Let the clock run on."""
        self._background.ask(self._controls.resume)

    def set_speed(self, speed: float | Literal["max"]) -> None:
        """Go on at another speed."""
        factor = None if speed == "max" else speed
        self._background.ask(lambda: self._controls.set_speed(factor))

    def step(self, frames: int = 1, *, timeout: float = _PATIENCE_S) -> None:
        """Pause, and let the next messages out that some client gets."""
        self._background.wait(lambda: self._controls.step(frames), timeout=timeout)

    def seek(
        self,
        *,
        position_s: float | None = None,
        by_s: float | None = None,
        time_ns: int | None = None,
        seq: int | None = None,
        timeout: float = _PATIENCE_S,
    ) -> float:
        """Go on from another place, given in one of four ways; give the position that was reached."""
        return self._background.wait(
            lambda: self._controls.seek(position_s=position_s, by_s=by_s, time_ns=time_ns, seq=seq),
            timeout=timeout,
        )

    def acknowledge(self, client: str | None = None) -> bool:
        """With `lockstep="acknowledged"`, say that a client has dealt with its last message; None: each."""
        return self._background.ask(lambda: self._controls.acknowledge(client))
