"""A recording as a timeline: what was received, in the order of seq, paced by the recorder's steady clock."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import ist
from kiterec.errors import ReplayError
from kiterec.replay.timeline import TimelineBatch, TimelineKind
from kiterec.store.arrays import vector
from kiterec.store.folder import open_folder
from kiterec.store.transcript import read_transcript
from kiterec.ticks.find import binary_buffers
from kiterec.ticks.instruments import InstrumentDump
from kiterec.wire.transcript import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from kiterec.replay.timeline import InstrumentUniverse

_KINDS: Final = {
    Kind.BINARY: TimelineKind.BINARY,
    Kind.TEXT: TimelineKind.TEXT,
    Kind.DISCONNECTED: TimelineKind.DISCONNECT,
}
_BATCH_ROWS: Final = 4096
_BATCH_BYTES: Final = 1 << 20
_NO_END: Final = 1 << 62


class RecordedTimeline:
    """What was received in a recording, heartbeats included.

    The start of the timeline is the first row of the transcript, of whatever kind.

    Args:
        path: the recording's folder; one that is still being written is served up to its last whole batch.
        begin_ns: leave out what was received before this instant (UTC, since the epoch).
        end_ns: and from this instant on.

    Raises:
        ManifestError: there is no recording, or it is of a newer format.
        ReplayError: the recording has no connection.
    """

    universe: InstrumentUniverse | None = None

    def __init__(self, path: Path | str, *, begin_ns: int | None = None, end_ns: int | None = None) -> None:
        self._folder = open_folder(path)
        self._begin_ns, self._end_ns = begin_ns, end_ns
        self._monotonic_start_ns: int | None = None
        self._connections = tuple(sorted(self._folder.connections(), key=_natural))
        if not self._connections:
            raise ReplayError(f"{self._folder.path} holds no connection; nothing was recorded there")

    def __repr__(self) -> str:
        return f"RecordedTimeline({str(self._folder.path)!r})"

    @property
    def connections(self) -> Sequence[str]:
        """Give the recorded connections' names, `main-2` before `main-10`."""
        return self._connections

    @cached_property
    def start_ns(self) -> int:
        """Give the recorder's wall clock at the start, in nanoseconds since the epoch; 0 without any row."""
        first = self._first_row(self._begin_ns)
        return 0 if first is None else first[0]

    @cached_property
    def length_ns(self) -> int | None:
        """Give how long the recording is by its manifest; None while it is being written."""
        parts = self._folder.manifest().parts
        if not parts or self._end_ns is not None:
            return None
        return max(part.end_ns for part in parts) - self.start_ns

    @cached_property
    def payload_bytes(self) -> int:
        """Give the bytes of all sealed messages."""
        return sum(part.counts.payload_bytes for part in self._folder.manifest().parts)

    def position_at(self, time_ns: int, *, past_end: bool = False) -> int:
        """Give the due time of the first row received at or after a wall-clock time.

        Args:
            time_ns: nanoseconds since the epoch.
            past_end: give a position that far behind the start instead of an error.

        Raises:
            ReplayError: nothing was received at or after it.
        """
        start = self._first_row(self._begin_ns)
        found = self._first_row(time_ns)
        if start is not None and found is None and past_end:
            return time_ns - start[0]
        if start is None or found is None:
            raise ReplayError(
                f"nothing was recorded at or after {ist(time_ns):%H:%M:%S} IST in {self._folder.path}"
            )
        return max(0, found[1] - start[1])

    def _first_row(self, begin_ns: int | None) -> tuple[int, int] | None:
        """Give both clocks of the first row received at or after an instant."""
        columns = ["received_at", "monotonic_ns"]
        for batch in read_transcript(self._folder.path, columns=columns, begin_ns=begin_ns):
            received_at, monotonic_ns = (batch.column(name)[0] for name in columns)
            return received_at.value, monotonic_ns.as_py()
        return None

    def instruments_csv(self) -> bytes | None:
        """Give the dump that was kept with the recording."""
        path = self._folder.instruments_path
        if not path.exists():
            return None
        csv: str = InstrumentDump.from_parquet(path).table.write_csv()
        return csv.encode()

    def batches(self) -> Iterator[TimelineBatch]:
        """Give the received messages, about a megabyte at a time.

        Raises:
            CorruptPartError: a part does not check.
        """
        return self.batches_from(0, due_ns=0)

    def batches_from(self, seq: int, *, due_ns: int) -> Iterator[TimelineBatch]:
        """Give the received messages from this number on; row groups before it are not read."""
        columns = ["seq", "connection", "monotonic_ns", "kind", "payload"]
        if seq and self._monotonic_start_ns is None and (first := self._first_row(self._begin_ns)):
            self._monotonic_start_ns = first[1]
        start_ns = self._monotonic_start_ns
        latest_ns = due_ns
        rows = read_transcript(
            self._folder.path,
            columns=columns,
            begin_ns=self._begin_ns,
            end_ns=self._end_ns,
            seq_range=(seq, _NO_END) if seq else None,
        )
        for batch in rows:
            if not batch.num_rows:
                continue
            monotonic_ns = np.from_dlpack(batch.column("monotonic_ns"))
            if start_ns is None:
                start_ns = self._monotonic_start_ns = int(monotonic_ns[0])
            # A machine that was restarted between two recordings merged into one starts its clock anew; time
            # then stands still in the timeline instead of going back.
            due = np.maximum.accumulate(np.maximum(monotonic_ns - start_ns, latest_ns))
            latest_ns = int(due[-1])
            yield from _cut(self._served(batch, due))

    def _served(
        self, batch: pa.RecordBatch, due_ns: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> TimelineBatch:
        kind = _translate(batch.column("kind"), {str(name): int(code) for name, code in _KINDS.items()})
        names = {name: number for number, name in enumerate(self._connections)}
        connection = _translate(batch.column("connection"), names)
        rows = np.flatnonzero((kind >= 0) & (connection >= 0))
        payloads = batch.column("payload")
        if len(rows) != batch.num_rows:
            payloads = payloads.take(vector(rows))
        return TimelineBatch(
            due_ns=due_ns[rows],
            connection=connection[rows],
            kind=kind[rows].astype(np.uint8),
            payloads=payloads,
            seq=np.asarray(np.from_dlpack(batch.column("seq"))[rows], np.uint64),
        )


def _translate(
    column: pa.DictionaryArray, numbers: dict[str, int]
) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Give each row's word as its number, -1 for a word that has none."""
    table = np.array([numbers.get(word, -1) for word in column.dictionary.to_pylist()], np.int16)
    numbered: np.ndarray[tuple[int], np.dtype[np.int16]] = table[np.from_dlpack(column.indices)]
    return numbered


def _cut(batch: TimelineBatch) -> Iterator[TimelineBatch]:
    """Cut a batch to pieces of about a megabyte."""
    if not len(batch):
        return
    _, _, size = binary_buffers(batch.payloads)
    megabyte = np.cumsum(size) // _BATCH_BYTES
    number = megabyte + np.arange(len(batch)) // _BATCH_ROWS
    begins = np.flatnonzero(np.diff(number, prepend=-1)).tolist()
    for begin, end in zip(begins, [*begins[1:], len(batch)], strict=True):
        yield TimelineBatch(
            due_ns=batch.due_ns[begin:end],
            connection=batch.connection[begin:end],
            kind=batch.kind[begin:end],
            payloads=batch.payloads.slice(begin, end - begin),
            seq=None if batch.seq is None else batch.seq[begin:end],
        )


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(digits or -1), word) for word, digits in re.findall(r"(\D*)(\d*)", name)]
