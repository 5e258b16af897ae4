"""The work of `merge`: rows in their new order, on one clock, without the packets that others had before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from kiterec.clock import NS_PER_S
from kiterec.store.arrays import vector, words
from kiterec.store.schema import READ_SCHEMA
from kiterec.store.summary import summarize
from kiterec.store.transcript import read_transcript
from kiterec.ticks.find import find_packets
from kiterec.ticks.kernels import read_tokens
from kiterec.upkeep.by_time import interleave_by_time
from kiterec.upkeep.filled_gaps import FilledGap, GapLedger, OpenGap
from kiterec.upkeep.passing import is_binary
from kiterec.upkeep.reframing import keep_packets
from kiterec.upkeep.twins import TwinFinder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder
    from kiterec.store.interleave import Run


class MergedInput(msgspec.Struct, kw_only=True):
    """What became of one input.

    Attributes:
        path: the recording.
        connections: its connections' names, and those that they have now.
        clock_shift_ns: added to its monotonic times, so that all inputs share the first one's clock.
        rows: rows that it had.
        packets: whole packets of known length that it had.
        twins: those of them that were left out, because another input had them before.
    """

    path: str
    connections: dict[str, str]
    clock_shift_ns: int = 0
    rows: int = 0
    packets: int = 0
    twins: int = 0


class Merging:
    """The rows of several recordings in one order, and what is counted on the way.

    Attributes:
        everyone: all connections by their new names.
        inputs: what became of each input so far.
    """

    def __init__(
        self, folders: Sequence[RecordingFolder], names: Sequence[dict[str, str]], *, window_s: float | None
    ) -> None:
        """Take the inputs.

        Args:
            folders: the inputs, in their order.
            names: of each, its connections' names and those that they get.
            window_s: leave out packets that another input had this shortly before; None: leave out none.
        """
        self.everyone = [new for mapping in names for new in mapping.values()]
        self.inputs = [
            MergedInput(path=str(folder.path), connections=mapping)
            for folder, mapping in zip(folders, names, strict=True)
        ]
        self._folders = folders
        self._dictionary = words(self.everyone)
        self._base: int | None = None
        self._twins = (
            None if window_s is None else TwinFinder(len(folders), window_ns=round(window_s * NS_PER_S))
        )
        self._ledger = GapLedger(list(self._open_gaps()))

    @property
    def passed(self) -> int:
        """Rows read so far."""
        return sum(it.rows for it in self.inputs)

    def gaps(self) -> list[FilledGap]:
        """Give the inputs' gaps, and who filled them."""
        return self._ledger.report([it.path for it in self.inputs], self.everyone)

    def run(self) -> Iterator[pa.RecordBatch]:
        """Give the rows in their new order, without the twins if that was asked for."""
        for run in interleave_by_time([self._rows_of(number) for number in range(len(self._folders))]):
            for number, rows in enumerate(np.bincount(run.source, minlength=len(self.inputs)).tolist()):
                self.inputs[number].rows += rows
            yield self._without_twins(run)

    def _rows_of(self, number: int) -> Iterator[pa.RecordBatch]:
        """Give the rows of an input with their new connections, on the first input's clock."""
        mine = self.inputs[number]
        shift: int | None = None
        for batch in read_transcript(self._folders[number]):
            if shift is None:
                shift = mine.clock_shift_ns = self._shift(batch)
            yield _moved(batch, mine.connections, self._dictionary, shift)

    def _shift(self, first: pa.RecordBatch) -> int:
        offset = first.column("received_at")[0].value - first.column("monotonic_ns")[0].as_py()
        if self._base is None:
            self._base = offset
        return int(offset - self._base)

    def _open_gaps(self) -> Iterator[OpenGap]:
        for number, folder in enumerate(self._folders):
            for connection in summarize(folder.path).connections:
                code = self.everyone.index(self.inputs[number].connections[connection.connection])
                yield from (OpenGap(number, code, gap) for gap in connection.gaps)

    def _without_twins(self, run: Run) -> pa.RecordBatch:
        batch = run.batch
        packets = find_packets(batch.column("payload"), binary=is_binary(batch))
        if packets.bad_frames.size:
            # A frame that does not decode to its end stays as it came; so its packets are nobody's twins.
            packets = packets.select(~np.isin(packets.frame, packets.bad_frames))
        source = run.source[packets.frame]
        self._count("packets", source)
        self._ledger.add(
            read_tokens(packets),
            np.asarray(np.from_dlpack(batch.column("connection").indices), np.int64)[packets.frame],
            source,
            np.asarray(np.from_dlpack(batch.column("received_at").cast(pa.int64())), np.int64)[packets.frame],
        )
        if self._twins is None:
            return batch
        twins = self._twins.find(packets, source, run.key[packets.frame])
        self._count("twins", source[twins])
        changed = np.zeros(batch.num_rows, np.bool_)
        changed[packets.frame[twins]] = True
        return keep_packets(batch, packets, ~twins, changed=changed)

    def _count(self, what: str, sources: NDArray[np.int16]) -> None:
        for number, times in enumerate(np.bincount(sources, minlength=len(self.inputs)).tolist()):
            setattr(self.inputs[number], what, getattr(self.inputs[number], what) + times)


def _moved(
    batch: pa.RecordBatch, names: dict[str, str], dictionary: pa.Array, shift_ns: int
) -> pa.RecordBatch:
    codes = {new: code for code, new in enumerate(dictionary.to_pylist())}
    connection = batch.column("connection")
    table = np.array([codes[names[name]] for name in connection.dictionary.to_pylist()], np.int16)
    moved = pa.DictionaryArray.from_arrays(vector(table[np.from_dlpack(connection.indices)]), dictionary)
    clock = np.from_dlpack(batch.column("monotonic_ns")) + shift_ns
    columns = {"connection": moved, "monotonic_ns": vector(clock)}
    return pa.RecordBatch.from_arrays(
        [columns.get(field.name, batch.column(field.name)) for field in READ_SCHEMA], schema=READ_SCHEMA
    )
