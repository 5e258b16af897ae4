"""The last packet of each instrument on each connection: the state of the market at an instant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from kiterec.store.arrays import blobs, integers, words
from kiterec.store.schema import KINDS, READ_SCHEMA
from kiterec.ticks.decode import find_in_batch
from kiterec.ticks.kernels import read_tokens
from kiterec.wire.frames import join_frame
from kiterec.wire.transcript import Kind, lifecycle_payload

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAME_PACKETS: Final = 3_000
"""Packets of a frame of the state: what one connection of Kite holds."""


class LastPackets:
    """Keeps the last packet of each instrument on each connection."""

    def __init__(self, tokens: NDArray[np.uint32] | None = None) -> None:
        """Take the instruments that are wanted; None for all."""
        self._tokens = tokens
        self._packets: dict[str, dict[int, bytes]] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take the next rows of a transcript."""
        packets, context = find_in_batch(batch)
        tokens = read_tokens(packets)
        if self._tokens is not None:
            wanted = np.isin(tokens, self._tokens)
            packets, tokens = packets.select(wanted), tokens[wanted]
        if not len(packets) or context.connection is None:
            return
        names = batch.column("connection").dictionary.to_pylist()
        key = context.connection[packets.frame].astype(np.int64) << 32 | tokens
        _, from_end = np.unique(key[::-1], return_index=True)
        last = packets.select(key.size - 1 - from_end)
        for owner, offset, length in zip(
            (key[key.size - 1 - from_end]).tolist(), last.offset.tolist(), last.length.tolist(), strict=True
        ):
            mine = self._packets.setdefault(names[owner >> 32], {})
            mine[owner & 0xFFFFFFFF] = last.data[offset : offset + length].tobytes()

    def rows(self, *, at_ns: int, monotonic_ns: int) -> pa.RecordBatch:
        """Give the state as rows: per connection a `marker`, and frames of all its instruments.

        Shape:
            The columns of `READ_SCHEMA`; `seq` is 0, the builder gives it.

        Args:
            at_ns: `received_at` of the rows.
            monotonic_ns: their monotonic time.
        """
        made: list[tuple[str, Kind, bytes]] = []
        for name, packets in sorted(self._packets.items()):
            ordered = [packets[token] for token in sorted(packets)]
            state = lifecycle_payload(what="state before the cut", instruments=len(ordered), at=at_ns)
            made.append((name, Kind.MARKER, state))
            made += [
                (name, Kind.BINARY, join_frame(ordered[first : first + FRAME_PACKETS]))
                for first in range(0, len(ordered), FRAME_PACKETS)
            ]
        columns: dict[str, Any] = {
            "connection": _words([name for name, _, _ in made], words(sorted(self._packets))),
            "seq": integers([0] * len(made), pa.uint64()),
            "received_at": integers([at_ns] * len(made), READ_SCHEMA.field("received_at").type),
            "monotonic_ns": integers([monotonic_ns] * len(made), pa.int64()),
            "kind": _words([kind.value for _, kind, _ in made], KINDS),
            "payload": blobs([payload for _, _, payload in made]),
        }
        arrays = [columns[field.name].cast(field.type) for field in READ_SCHEMA]
        return pa.RecordBatch.from_arrays(arrays, schema=READ_SCHEMA)


def _words(values: list[str], dictionary: pa.Array) -> pa.DictionaryArray:
    numbers = {word: number for number, word in enumerate(dictionary.to_pylist())}
    return pa.DictionaryArray.from_arrays(
        integers([numbers[word] for word in values], pa.int16()), dictionary
    )
