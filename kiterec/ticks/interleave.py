"""Puts the packets of several connections into the one order of the recording, before they are decoded."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from kiterec.ticks.context import Context
    from kiterec.ticks.find import Packets


@dataclass(frozen=True, slots=True)
class Piece:
    """Packets of one connection.

    Attributes:
        packets: in order of their frames.
        context: of the frames; every one has a `seq`.
        last_seq: what comes later of the same connection has a greater one.
        held_bytes: of the rows that it keeps in memory, however few of their packets it has.
    """

    packets: Packets
    context: Context
    last_seq: int
    held_bytes: int

    def until(self, last_seq: int) -> tuple[Piece, Piece | None]:
        """Give the packets of frames up to a `seq`, and what is behind them; None if nothing can be."""
        if self.last_seq <= last_seq:
            return self, None
        frames = np.searchsorted(_seqs(self), np.uint64(last_seq), side="right")
        rows = int(np.searchsorted(self.packets.frame, frames))
        head, rest = (self.packets.select(some) for some in (slice(0, rows), slice(rows, None)))
        return replace(self, packets=head, last_seq=last_seq), replace(self, packets=rest)


def interleave(streams: Iterable[Iterator[Piece]], *, packets: int, held_bytes: int) -> Iterator[list[Piece]]:
    """Merge streams, one a connection, that are each in order of `seq`.

    Gives pieces that have packets and come before all that is still to come; `shifts` tells their order.

    Args:
        streams: of pieces.
        packets: about so many are given at a time, fewer at the end.
        held_bytes: or fewer, when the rows of all that waits are as long as this together.
    """
    live = [_Stream(stream, deque()) for stream in streams]
    while True:
        live = [stream for stream in live if stream.waiting or stream.read()]
        if not live:
            return
        slowest = min(live, key=_Stream.last_seq)
        while (
            sum(stream.ready(slowest.last_seq()) for stream in live) < packets
            and sum(stream.held_bytes() for stream in live) < held_bytes
            and slowest.read()
        ):
            slowest = min(live, key=_Stream.last_seq)
        last_seq = slowest.last_seq()
        if taken := [piece for stream in live for piece in stream.take(last_seq)]:
            yield taken


@dataclass(frozen=True, slots=True)
class _Stream:
    """A connection's pieces, and those that wait for other connections."""

    pieces: Iterator[Piece]
    waiting: deque[Piece]

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
        """Give the packets of the pieces that are wholly within a `seq`."""
        return sum(len(piece.packets) for piece in self.waiting if piece.last_seq <= last_seq)

    def held_bytes(self) -> int:
        """Give the bytes of frames that wait."""
        return sum(piece.held_bytes for piece in self.waiting)

    def take(self, last_seq: int) -> Iterator[Piece]:
        """Take what is up to a `seq`."""
        while self.waiting:
            now, later = self.waiting.popleft().until(last_seq)
            if len(now.packets):
                yield now
            if later is not None:
                self.waiting.appendleft(later)
                return


def shifts(pieces: Sequence[Piece]) -> list[NDArray[np.int64]]:
    """Give for each frame of each piece by how many rows its packets move when the pieces are merged.

    The packet in row n of its piece, of frame f, gets the row `n + shift[f]` of all.
    """
    sizes = [_seqs(piece).size for piece in pieces]
    first = [
        np.searchsorted(piece.packets.frame, np.arange(size))
        for piece, size in zip(pieces, sizes, strict=True)
    ]
    held = np.concatenate(
        [np.diff(begin, append=len(piece.packets)) for begin, piece in zip(first, pieces, strict=True)]
    )
    order = np.argsort(np.concatenate([_seqs(piece) for piece in pieces]), kind="stable")
    begins = np.empty(order.size, np.int64)
    begins[order] = np.cumsum(held[order]) - held[order]
    return np.split(begins - np.concatenate(first), np.cumsum(sizes)[:-1])


def _seqs(piece: Piece) -> NDArray[np.uint64]:
    """Give the `seq` of each frame."""
    if piece.context.seq is None:
        raise ValueError("frames without a seq have no order")
    return piece.context.seq
