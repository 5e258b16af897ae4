"""Puts the packets of several connections, or their ticks, into the one order of the recording."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import polars as pl

from kiterec.ticks.find import Packets
from kiterec.ticks.table import in_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from kiterec.ticks.context import Context

Rows = TypeVar("Rows", Packets, pl.DataFrame)


@dataclass(frozen=True, slots=True)
class Piece(Generic[Rows]):
    """Rows of one connection, a packet each.

    Attributes:
        rows: found packets, or the ticks that they were decoded to; in order of their frames.
        first: how many of the rows precede those of each frame, and at last how many there are. A frame may
            have none here, as those do that `until` has left to the other half.
        context: of the frames; every one has a `seq`.
        last_seq: what comes later of the same connection has a greater one.
        held_bytes: of what was read to find them, however few they are, or of the ticks if those are more.
    """

    rows: Rows
    first: NDArray[np.int64]
    context: Context
    last_seq: int
    held_bytes: int

    @classmethod
    def of_packets(cls, packets: Packets, context: Context, *, held_bytes: int) -> Piece[Packets]:
        """Give found packets of frames, of which there is at least one."""
        seq = seq_of(context)
        first = np.searchsorted(packets.frame, np.arange(seq.size + 1)).astype(np.int64)
        return Piece(packets, first, context, int(seq[-1]), held_bytes)

    @classmethod
    def of_ticks(
        cls, ticks: pl.DataFrame, first: NDArray[np.int64], context: Context, *, read_bytes: int
    ) -> Piece[pl.DataFrame]:
        """Give decoded ticks of frames, of which there is at least one."""
        held_bytes = max(read_bytes, int(ticks.estimated_size()))
        return Piece(ticks, first, context, int(seq_of(context)[-1]), held_bytes)

    def until(self, last_seq: int) -> tuple[Piece[Rows], Piece[Rows] | None]:
        """Give the rows of frames up to a `seq`, and what is behind them; None if nothing can be."""
        if self.last_seq <= last_seq:
            return self, None
        frames = np.searchsorted(seq_of(self.context), np.uint64(last_seq), side="right")
        cut = int(self.first[frames])
        head = replace(self, rows=self.rows[:cut], first=np.minimum(self.first, cut), last_seq=last_seq)
        return head, replace(self, rows=self.rows[cut:], first=np.maximum(self.first - cut, 0))


def interleave(
    streams: Iterable[Iterator[Piece[Rows]]], *, rows: int, held_bytes: int
) -> Iterator[list[Piece[Rows]]]:
    """Merge streams, one a connection, that are each in order of `seq`.

    Gives pieces that have rows and come before all that is still to come; `shifts` and `in_order` tell or
    make their order.

    Args:
        streams: of pieces.
        rows: about so many are given at a time, fewer at the end.
        held_bytes: or fewer, when what all that waits was read from is as long as this together.

    Raises:
        Exception: whatever a stream raises, after what comes before that.
    """
    live = [_Stream(stream, deque[Piece[Rows]]()) for stream in streams]
    while True:
        live = [stream for stream in live if stream.waiting or stream.read()]
        if not live:
            return
        failure: Exception | None = None
        slowest = min(live, key=_Stream.last_seq)
        try:
            while (
                sum(stream.ready(slowest.last_seq()) for stream in live) < rows
                and sum(stream.held_bytes() for stream in live) < held_bytes
                and slowest.read()
            ):
                slowest = min(live, key=_Stream.last_seq)
        except Exception as error:  # noqa: BLE001 -- it is raised behind what came before it
            failure = error
        last_seq = slowest.last_seq()
        if taken := [piece for stream in live for piece in stream.take(last_seq)]:
            yield taken
        del taken  # before more is read
        if failure is not None:
            raise failure


@dataclass(frozen=True, slots=True)
class _Stream(Generic[Rows]):
    """A connection's pieces, and those that wait for other connections."""

    pieces: Iterator[Piece[Rows]]
    waiting: deque[Piece[Rows]]

    def read(self) -> bool:
        """Read one more piece; false at the end."""
        if (piece := next(self.pieces, None)) is None:
            return False
        self.waiting.append(piece)
        return True

    def last_seq(self) -> int:
        """Give the `seq` up to which everything of this connection is known."""
        return self.waiting[-1].last_seq

    def ready(self, last_seq: int) -> int:
        """Count the rows of the pieces that are wholly within a `seq`."""
        return sum(len(piece.rows) for piece in self.waiting if piece.last_seq <= last_seq)

    def held_bytes(self) -> int:
        """Give the bytes that what waits was read from."""
        return sum(piece.held_bytes for piece in self.waiting)

    def take(self, last_seq: int) -> Iterator[Piece[Rows]]:
        """Take what is up to a `seq`."""
        while self.waiting:
            now, later = self.waiting.popleft().until(last_seq)
            if len(now.rows):
                yield now
            if later is not None:
                self.waiting.appendleft(later)
                return


def shifts(pieces: Sequence[Piece[Packets]]) -> list[NDArray[np.int64]]:
    """Give for each frame of each piece by how many rows its packets move when the pieces are merged.

    The packet in row n of its piece, of frame f, gets the row `n + shift[f]` of all.
    """
    first = [piece.first[:-1] for piece in pieces]
    held = np.concatenate([np.diff(piece.first) for piece in pieces])
    order = _order(pieces)
    begins = np.empty(order.size, np.int64)
    begins[order] = np.cumsum(held[order]) - held[order]
    return np.split(begins - np.concatenate(first), np.cumsum([some.size for some in first])[:-1])


def in_order(pieces: Sequence[Piece[pl.DataFrame]]) -> pl.DataFrame:
    """Merge the ticks of pieces."""
    ticks = pl.concat([piece.rows for piece in pieces], rechunk=False)
    order = _order(pieces)
    if (np.diff(order) == 1).all():
        return ticks
    held = np.concatenate([np.diff(piece.first) for piece in pieces])
    begin = np.cumsum(held) - held
    order = order[held[order] > 0]
    begin, held = begin[order], held[order]
    # Frames that stay together are one run.
    heads = np.flatnonzero(begin[1:] != begin[:-1] + held[:-1]) + 1
    heads = np.concatenate([[0], heads])
    return in_runs(ticks, begin[heads], np.add.reduceat(held, heads))


def _order(pieces: Sequence[Piece[Any]]) -> NDArray[np.int64]:
    """Give the order of all frames of all pieces."""
    return np.argsort(np.concatenate([seq_of(piece.context) for piece in pieces]), kind="stable")


def seq_of(context: Context) -> NDArray[np.uint64]:
    """Give the `seq` of each frame."""
    if context.seq is None:
        raise ValueError("frames without a seq have no order")
    return context.seq
