"""What the rows of one connection must be: ascending, in the order of time, and frames that decode."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import NS_PER_S
from kiterec.store.packet_count import time_span
from kiterec.store.schema import KIND_CODES
from kiterec.ticks.find import find_packets
from kiterec.wire.transcript import Kind

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from kiterec.upkeep.findings import FileNotes
    from kiterec.upkeep.seq_set import SeqSet

LISTED_FRAMES: Final = 20
"""Bad frames of a file that are described one by one; the others are counted."""

KEPT_SECONDS: Final = 100_000
"""Seconds at the end of a connection of which it is known with which row they begin."""

_BINARY: Final = KIND_CODES[Kind.BINARY]


class RowsCheck:
    """Checks the rows of one connection, batch by batch, over all its files.

    Attributes:
        last_seq: `seq` of the last row so far; None: none yet.
        last_received_ns: the latest `received_at` so far, in nanoseconds since the epoch; 0: none yet.
    """

    def __init__(self, seen: SeqSet) -> None:
        self._seen = seen
        self._last_monotonic_ns: int | None = None
        self._first_seq_of_second: dict[int, int] = {}
        self.last_seq: int | None = None
        self.last_received_ns = 0

    def add(self, batch: pa.RecordBatch, notes: FileNotes) -> None:
        """Check the next rows; what is wrong with them is noted."""
        if not batch.num_rows:
            return
        seqs = np.asarray(np.from_dlpack(batch.column("seq")), np.uint64)
        times = np.asarray(np.from_dlpack(batch.column("monotonic_ns")), np.int64)
        self._check_order(seqs, notes)
        self._check_clock(seqs, times, notes)
        self._check_frames(batch, seqs, notes)
        self._seen.add(seqs)
        self.last_seq = int(seqs[-1])
        self.last_received_ns = max(self.last_received_ns, time_span(batch)[1])
        notes.findings.rows += batch.num_rows

    @property
    def last_second(self) -> int | None:
        """The second of the monotonic clock in which the last row came; None: there are no rows."""
        return max(self._first_seq_of_second, default=None)

    def first_seq_since(self, second: int) -> int | None:
        """Give the least `seq` that came in or after a second of the monotonic clock, as far as is kept."""
        return min((seq for at, seq in self._first_seq_of_second.items() if at >= second), default=None)

    def _check_order(self, seqs: NDArray[np.uint64], notes: FileNotes) -> None:
        previous = seqs[:-1] if self.last_seq is None else np.insert(seqs[:-1], 0, self.last_seq)
        following = seqs[1:] if self.last_seq is None else seqs
        wrong = np.flatnonzero(following <= previous)
        if wrong.size:
            before, after = int(previous[wrong[0]]), int(following[wrong[0]])
            notes.error(
                f"seq {after:,} comes after seq {before:,} on one connection ({wrong.size:,} such steps)",
                "a file stands in another one's place: bring back a copy of it",
                first_seq=after,
                last_seq=before,
            )

    def _check_clock(self, seqs: NDArray[np.uint64], times: NDArray[np.int64], notes: FileNotes) -> None:
        before = times[0] if self._last_monotonic_ns is None else self._last_monotonic_ns
        steps = np.diff(times, prepend=before)
        back = np.flatnonzero(steps < 0)
        if back.size:
            at = int(back[0])
            notes.warn(
                f"the monotonic clock goes back {-int(steps[at]):,} ns at seq {int(seqs[at]):,} "
                f"({back.size:,} such steps)",
                "nothing is lost, seq is the order; replay lets time stand still here",
                first_seq=int(seqs[at]),
                last_seq=int(seqs[at]),
            )
        self._last_monotonic_ns = int(times[-1])
        seconds, begins = np.unique(times // NS_PER_S, return_index=True)
        for second, begin in zip(seconds.tolist(), begins.tolist(), strict=True):
            self._first_seq_of_second.setdefault(second, int(seqs[begin]))
        while len(self._first_seq_of_second) > KEPT_SECONDS:
            del self._first_seq_of_second[next(iter(self._first_seq_of_second))]

    def _check_frames(self, batch: pa.RecordBatch, seqs: NDArray[np.uint64], notes: FileNotes) -> None:
        binary = np.from_dlpack(batch.column("kind").indices) == _BINARY
        packets = find_packets(batch.column("payload"), binary=binary)
        findings = notes.findings
        findings.frames += int((packets.frame_size >= 2).sum())
        findings.packets += len(packets.known())
        findings.bad_frames += packets.bad_frames.size
        for problem in islice(packets.problems(), LISTED_FRAMES):
            seq = int(seqs[problem.frame])
            notes.warn(
                f"the frame at seq {seq:,} does not decode to its end: {problem.reason}",
                "it is kept as it came; its other packets are decoded",
                offset=problem.offset,
                first_seq=seq,
                last_seq=seq,
            )
        if packets.bad_frames.size > LISTED_FRAMES:
            rows = seqs[packets.bad_frames]
            notes.warn(
                f"{packets.bad_frames.size:,} frames in all do not decode to their end",
                "they are kept as they came; their other packets are decoded",
                first_seq=int(rows[0]),
                last_seq=int(rows[-1]),
            )
