"""A timeline whose exchange times are moved, so that a program sees today."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kiterec.clock import NS_PER_S, SYSTEM_CLOCK
from kiterec.errors import ReplayError
from kiterec.replay.packet_batch import locate_packets
from kiterec.replay.timeline import Dated, InstrumentUniverse, TimelineKind
from kiterec.ticks.find import binary_buffers
from kiterec.ticks.walks import gather_numbers
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from kiterec.clock import Clock
    from kiterec.replay.timeline import Payloads, Timeline, TimelineBatch

_TIMES: Final = {
    length: offsets
    for length, layout in LAYOUTS.items()
    if (offsets := [field.offset for field in layout.fields if field.unit == "time"])
}
"""Where the times of a packet are, by its length."""


class RebasedTimeline:
    """Moves the times inside packets by whole seconds; everything else stays byte for byte.

    The shift is taken when `begin_now` is called and holds until the next call, so that times pass as they
    were recorded: a pause, a jump or another speed moves them away from the clock on the wall.

    Args:
        timeline: what is moved.
        clock: tells what now is.

    Raises:
        ReplayError: the timeline does not know when it was.
    """

    def __init__(self, timeline: Timeline, *, clock: Clock = SYSTEM_CLOCK) -> None:
        if not isinstance(timeline, Dated):
            raise ReplayError(
                "the timeline does not know when it was, so nothing can be moved; replay it without rebase"
            )
        self._timeline = timeline
        self._clock = clock
        self._dated: Dated = timeline
        self._shift_s = 0

    def __repr__(self) -> str:
        return f"RebasedTimeline({self._timeline!r})"

    @property
    def connections(self) -> Sequence[str]:
        """Give the names of the connections."""
        return self._timeline.connections

    @property
    def start_ns(self) -> int:
        """Give the wall clock at the timeline's start as a program sees it. May read a disk."""
        return self._dated.start_ns + self._shift_s * NS_PER_S

    @property
    def universe(self) -> InstrumentUniverse | None:
        """Give the state before the first message."""
        universe = self._timeline.universe
        if universe is None:
            return None
        return InstrumentUniverse(frames=move_times(universe.frames, by_s=self._shift_s))

    def begin_now(self, position_ns: int) -> bool:
        """Let a place of the timeline be now; tell whether anything is moved by it that was read before."""
        # Rounded down: nothing is later than it is because of the whole seconds.
        shift_s = (self._clock.now_ns() - self._dated.start_ns - position_ns) // NS_PER_S
        moved = shift_s != self._shift_s
        self._shift_s = shift_s
        return moved

    def batches(self) -> Iterator[TimelineBatch]:
        """Give the messages from the start, all with the shift of the call."""
        by_s = self._shift_s
        for batch in self._timeline.batches():
            binary = batch.kind == TimelineKind.BINARY
            yield replace(batch, payloads=move_times(batch.payloads, by_s=by_s, binary=binary))

    def instruments_csv(self) -> bytes | None:
        """Give the dump as it was recorded."""
        return self._timeline.instruments_csv()


def move_times(payloads: Payloads, *, by_s: int, binary: npt.NDArray[np.bool_] | None = None) -> Payloads:
    """Give frames with every time in them moved; a time of 0 is none and stays.

    Args:
        payloads: messages without nulls.
        by_s: seconds, negative for back. Times are unsigned 32 bits and wrap.
        binary: which of the messages are frames; None for all.
    """
    data, start, size = binary_buffers(payloads)
    if not by_s or not len(start):
        return payloads
    begin, end = int(start[0]), int(start[-1] + size[-1])
    packets = locate_packets(payloads, binary=binary)
    moved = data[begin:end].copy()
    for length, offsets in _TIMES.items():
        first = packets.offset[packets.length == length] - begin
        for offset in offsets:
            _add(moved, first + offset, by_s)
    bounds = np.append(start - begin, end - begin)
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(moved)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(start), buffers)


def _add(data: npt.NDArray[np.uint8], place: npt.NDArray[np.int64], by_s: int) -> None:
    time = gather_numbers(data, place, ">u4")
    there = time != 0
    later = (time[there] + np.uint32(by_s % (1 << 32))).astype(">u4")
    data[place[there][:, None] + np.arange(4)] = later.view(np.uint8).reshape(-1, 4)
