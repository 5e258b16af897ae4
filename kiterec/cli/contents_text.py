"""What the rows of a recording hold, in a few tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kiterec.amounts import counted, ist_instant, seconds
from kiterec.cli.tables import Column, table
from kiterec.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.ticks.contents import ConnectionContents, Contents, Epoch

_PACKETS: Final = [
    Column("length"), Column("packet", left=True), Column("mode", left=True), Column("packets"),
    Column("share"),
]  # fmt: skip
_TOP: Final = [
    Column("busiest", left=True, least=16), Column("instrument_token", 2), Column("segment", 1, left=True),
    Column("ticks"), Column("a second"),
]  # fmt: skip
_EPOCHS: Final = [
    Column("connection", left=True), Column("epoch"), Column("from (IST)", left=True), Column("for"),
    Column("ended", 1, left=True, least=10),
]  # fmt: skip

MAX_EPOCHS: Final = 5
"""Of a connection; the last ones are shown."""

MAX_STEPS: Final = 10


def contents_text(contents: Contents) -> str:
    """Give epochs, packets by length, the busiest instruments and the steps of the clock."""
    return "\n".join(_lines(contents))


def _lines(it: Contents) -> Iterator[str]:
    epochs = [_epoch(one, epoch) for one in it.connections for epoch in one.epochs[-MAX_EPOCHS:]]
    if epochs:
        yield table(epochs, _EPOCHS)
    for one in it.connections:
        if one.epoch_count > MAX_EPOCHS:
            yield f"{one.connection} was connected {one.epoch_count:,} times; --json lists more"
    if it.packets:
        total = sum(one.packets for one in it.packets)
        rows = [
            {
                "length": f"{one.length:,}", "packet": one.name, "mode": one.mode or "",
                "packets": f"{one.packets:,}", "share": f"{one.packets / total:.1%}",
            }
            for one in it.packets
        ]  # fmt: skip
        yield table(rows, _PACKETS)
    if it.bad_frames:
        yield f"{counted(it.bad_frames, 'frame')} hold something else; kiterec verify lists them"
    if it.top:
        yield table([*_top(it)], _TOP)
        if it.instruments > len(it.top):
            yield f"{it.instruments:,} instruments had ticks; --top lists more"
    for step in it.clock_steps[:MAX_STEPS]:
        jump = f"{step.step_ns / NS_PER_S:+,.3f} s"
        yield f"clock: {step.connection}, {ist_instant(step.at_ns)} IST, the wall clock jumped {jump}"
    if it.clock_step_count > MAX_STEPS:
        yield f"and {it.clock_step_count - MAX_STEPS:,} steps of the clock more"
    if not it.clock_step_count and it.connections:
        drift = max((one.clock_drift_ns for one in it.connections), key=abs)
        yield f"clock: no step; against the monotonic clock the wall clock went {drift / 1e6:+,.3f} ms"


def _top(it: Contents) -> Iterator[dict[str, str]]:
    for one in it.top:
        yield {
            "busiest": one.symbol or str(one.instrument_token), "segment": one.segment,
            "instrument_token": str(one.instrument_token), "ticks": f"{one.ticks:,}",
            "a second": f"{one.ticks_s:,.2f}",
        }  # fmt: skip


def _epoch(one: ConnectionContents, epoch: Epoch) -> dict[str, str]:
    return {
        "connection": one.connection,
        "epoch": "" if epoch.epoch is None else f"{epoch.epoch:,}",
        "from (IST)": ist_instant(epoch.begin_ns),
        "for": "" if epoch.end_ns is None else seconds((epoch.end_ns - epoch.begin_ns) / NS_PER_S),
        "ended": epoch.reason or ("" if epoch.end_ns is None else "closed"),
    }
