"""Puts the packets of several connections into the one order of the recording, before they are decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    """

    packets: Packets
    context: Context
    last_seq: int

    def until(self, last_seq: int) -> tuple[Piece, Piece | None]:
        """Give the packets of frames up to a `seq`, and what is behind them; None if nothing can be."""
        if self.last_seq <= last_seq:
            return self, None
        frames = np.searchsorted(_seqs(self), np.uint64(last_seq), side="right")
        rows = int(np.searchsorted(self.packets.frame, frames))
        head, rest = (self.packets.select(some) for some in (slice(0, rows), slice(rows, None)))
        return Piece(head, self.context, last_seq), Piece(rest, self.context, self.last_seq)


def interleave(streams: Sequence[Iterator[Piece]]) -> Iterator[list[Piece]]:
    """Merge streams, one a connection, that are each in order of `seq`.

    Gives pieces that have packets; all that comes before the next ones. `shifts` tells their order.
    """
    heads: dict[int, Piece] = {}
    live = dict(enumerate(streams))
    while True:
        for number in [number for number in live if number not in heads]:
            piece = next(live[number], None)
            if piece is None:
                del live[number]
            else:
                heads[number] = piece
        if not heads:
            return
        last = min(piece.last_seq for piece in heads.values())
        taken: list[Piece] = []
        for number, piece in list(heads.items()):
            now, later = piece.until(last)
            if len(now.packets):
                taken.append(now)
            if later is None:
                del heads[number]
            else:
                heads[number] = later
        if taken:
            yield taken


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
