"""What a replay looks like on a terminal, and the keys that control it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Final

from kiterec.amounts import ist_instant, seconds, size
from kiterec.cli.keys import keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from typing import Any

    from kiterec.replay.controls import ReplayControls
    from kiterec.replay.stats import ReplayStats

REFRESH_S: Final = 0.2
FASTER: Final = 2.0
NEAR_S: Final = 10.0
FAR_S: Final = 60.0
HELP: Final = "space pause · . next frame · +/- speed · m max · arrows 10 s, 60 s · Ctrl-C stops"


def view_text(stats: ReplayStats) -> str:
    """Give the view as lines: where it is, how fast, who listens, and what went wrong."""
    where = [stats.state, seconds(stats.position_s)]
    if stats.length_s is not None:
        where[-1] += f" of {seconds(stats.length_s)}"
    if stats.time_ns is not None:
        where.append(f"{ist_instant(stats.time_ns)} IST")
    if stats.rounds:
        where.append(f"round {stats.rounds + 1}")
    asked = "max" if stats.speed is None else f"{stats.speed:g}x"
    pace = [f"speed {asked}"]
    if stats.achieved_speed is not None:
        pace.append(f"achieved {stats.achieved_speed:,.4g}x")
    if stats.lateness is not None:
        pace.append(f"late {stats.lateness.p50_ms:.1f} ms, p99 {stats.lateness.p99_ms:.1f} ms")
    sent = f"{stats.clients} clients · {stats.sent_messages:,} messages, {size(stats.sent_bytes)} sent"
    refused = [f"refused with {status}: {count}" for status, count in sorted(stats.refused.items())]
    return "\n".join([" · ".join(where), " · ".join(pace), sent, *refused, *stats.cut_off[-3:]])


def key_actions(
    controls: ReplayControls, run: Callable[[Coroutine[Any, Any, object]], None]
) -> dict[bytes, Callable[[], None]]:
    """Give what each key does.

    Args:
        controls: the replay's.
        run: starts a coroutine whose end nobody waits for.
    """

    def change(factor: float) -> None:
        speed = controls.stats().speed
        controls.set_speed(1.0 if speed is None else min(1000.0, max(0.1, speed * factor)))

    return {
        b" ": controls.toggle,
        b".": lambda: run(controls.step()),
        b"+": lambda: change(FASTER),
        b"=": lambda: change(FASTER),
        b"-": lambda: change(1 / FASTER),
        b"m": lambda: controls.set_speed(None),
        b"\x1b[C": lambda: run(controls.seek(by_s=NEAR_S)),
        b"\x1b[D": lambda: run(controls.seek(by_s=-NEAR_S)),
        b"\x1b[A": lambda: run(controls.seek(by_s=FAR_S)),
        b"\x1b[B": lambda: run(controls.seek(by_s=-FAR_S)),
    }


@contextlib.asynccontextmanager
async def watched(controls: ReplayControls) -> AsyncIterator[None]:
    """Show a replay on stderr and listen to keys while the block runs, where both are terminals."""
    if not sys.stderr.isatty():
        yield
        return
    running: set[asyncio.Task[object]] = set()

    def run(work: Coroutine[Any, Any, object]) -> None:
        running.add(task := asyncio.create_task(work))
        task.add_done_callback(running.discard)

    with keys(key_actions(controls, run)) as listening:
        run(_show(controls, HELP if listening else "Ctrl-C stops"))
        try:
            yield
        finally:
            ending = tuple(running)
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)


async def _show(controls: ReplayControls, help_text: str) -> None:
    """Show how a replay is, until cancelled."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.padding import Padding
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    from kiterec.cli.logs import log_above

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as view, log_above(console):
        while True:
            stats = controls.stats()
            text = Text(f"{view_text(stats)}\n{help_text}")
            bar = ProgressBar(
                total=stats.length_s or 1.0, completed=stats.position_s if stats.length_s else 0
            )
            view.update(Group(Padding(bar, 0), text) if stats.length_s else text, refresh=True)
            await asyncio.sleep(REFRESH_S)
