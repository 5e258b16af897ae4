"""Puts the ticks of several connections into the one order of the recording, mostly without a copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

LONG_RUN: Final = 128
"""Rows of a connection between two of another: from here on they are given as a slice, not copied."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Ticks of one connection.

    Attributes:
        seq: of each frame that has a row here, ascending.
        first: the first row of each of these frames, and then the number of rows.
        last_seq: what comes later of the same connection has a greater one.
        table: the ticks.
    """

    seq: NDArray[np.uint64]
    first: NDArray[np.int64]
    last_seq: int
    table: pl.DataFrame

    @classmethod
    def of(cls, table: pl.DataFrame, frame: NDArray[np.int64], seq: NDArray[np.uint64]) -> Piece:
        """Give the piece of a table: `frame` is the frame of each row, `seq` that of each frame."""
        begins = np.flatnonzero(frame[1:] != frame[:-1]) + 1
        first = np.concatenate([np.zeros(min(1, frame.size), np.int64), begins, [frame.size]])
        return cls(seq[frame[first[:-1]]], first, int(seq[-1]), table)

    def until(self, last_seq: int) -> tuple[Piece, Piece | None]:
        """Give the rows of frames up to a `seq`, and what is behind them; None if nothing can be."""
        if self.last_seq <= last_seq:
            return self, None
        frames = int(np.searchsorted(self.seq, np.uint64(last_seq), side="right"))
        rows = int(self.first[frames])
        head = Piece(self.seq[:frames], self.first[: frames + 1], last_seq, self.table.head(rows))
        rest = self.first[frames:] - rows
        return head, Piece(self.seq[frames:], rest, self.last_seq, self.table.slice(rows))


def interleave(streams: Sequence[Iterator[Piece]]) -> Iterator[pl.DataFrame]:
    """Merge streams, one a connection, that are each in order of `seq`; gives no empty tables."""
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
            if now.table.height:
                taken.append(now)
            if later is None:
                del heads[number]
            else:
                heads[number] = later
        if taken:
            yield taken[0].table if len(taken) == 1 else _merged(taken)


def _merged(pieces: list[Piece]) -> pl.DataFrame:
    """Put the rows of pieces into the order of their frames."""
    order = np.argsort(np.concatenate([piece.seq for piece in pieces]), kind="stable")
    owner = np.repeat(np.arange(len(pieces)), [piece.seq.size for piece in pieces])[order]
    frames = np.concatenate([[0], np.flatnonzero(owner[1:] != owner[:-1]) + 1, [owner.size]])
    # Frames of one piece keep their order, so each run of it goes on where the last one ended.
    owners = owner[frames[:-1]]
    lengths = np.diff(frames)
    rows = np.empty(lengths.size, np.int64)
    begins = np.empty(lengths.size, np.int64)
    for number, piece in enumerate(pieces):
        mine = owners == number
        ends = np.cumsum(lengths[mine])
        begins[mine] = piece.first[ends - lengths[mine]]
        rows[mine] = piece.first[ends] - begins[mine]
    if int(rows.sum()) >= LONG_RUN * rows.size:
        merged = pieces[0].table.clear()
        for one, begin, size in zip(owners.tolist(), begins.tolist(), rows.tolist(), strict=True):
            merged.vstack(pieces[one].table.slice(begin, size), in_place=True)
        return merged
    base = np.cumsum([0, *(piece.table.height for piece in pieces[:-1])])
    return _gathered(pieces, base[owners] + begins, rows)


def _gathered(pieces: list[Piece], begins: NDArray[Any], rows: NDArray[Any]) -> pl.DataFrame:
    together = pl.concat([piece.table for piece in pieces])
    place = np.arange(int(rows.sum())) + np.repeat(begins - (np.cumsum(rows) - rows), rows)
    return together.select(pl.all().gather(pl.Series(place)))
