"""What one client gets of a stretch of messages: rows as they were recorded, and messages made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.replay.wire_frames import websocket_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from kiterec.replay.market import MarketBatch

_WRITE_BYTES: Final = 1 << 16
"""Smaller pieces are put together, so that a frame of 200 bytes does not cost a system call of its own."""


class Share:
    """A client's messages out of a stretch of a batch.

    Args:
        batch: what it is of.
        recorded: rows of binary messages that go out byte for byte, rising.
        made: what goes out in place of other rows: rebuilt frames, and texts; rows rising.
    """

    __slots__ = ("_batch", "_made", "_recorded", "_size", "_writes")

    def __init__(
        self, batch: MarketBatch, recorded: npt.NDArray[np.int64], made: dict[int, bytes | str]
    ) -> None:
        self._batch = batch
        self._recorded = recorded
        self._made = made
        self._size: int | None = None
        self._writes: list[bytes | memoryview] | None = None

    def __len__(self) -> int:
        return len(self._recorded) + len(self._made)

    def messages(self) -> dict[int, bytes | str]:
        """Give the messages by row, in their order; a recorded one is the same object for every client."""
        recorded: dict[int, bytes | str] = {row: self._batch.message(row) for row in self._recorded.tolist()}
        if not self._made:
            return recorded
        return dict(sorted((recorded | self._made).items()))

    def payload_bytes(self) -> int:
        """Give the size of all messages."""
        if self._size is not None:
            return self._size
        made = sum(
            len(message.encode() if isinstance(message, str) else message) for message in self._made.values()
        )
        before = self._batch.bytes_before()
        return made + int((before[self._recorded + 1] - before[self._recorded]).sum())

    def writes(self) -> Iterator[bytes | memoryview]:
        """Give the messages as WebSocket frames in few pieces; large ones are not copied."""
        return _gathered(self._pieces()) if self._writes is None else iter(self._writes)

    def prepare(self) -> None:
        """Do all the work that sending needs."""
        self._size = self.payload_bytes()
        self._writes = list(self.writes())

    def _pieces(self) -> Iterator[bytes | memoryview]:
        recorded, wire = self._recorded, self._batch.wire()
        begin = 0
        if self._made:
            ends = np.searchsorted(recorded, np.fromiter(self._made, np.int64, len(self._made))).tolist()
            for message, end in zip(self._made.values(), ends, strict=True):
                yield from wire.pieces(recorded[begin:end])
                yield websocket_frame(message)
                begin = end
        yield from wire.pieces(recorded[begin:])


def _gathered(pieces: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Put small pieces together, and before a large one with its beginning."""
    small: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        small.append(piece[:_WRITE_BYTES])
        size += len(small[-1])
        if size >= _WRITE_BYTES:
            yield b"".join(small) if len(small) > 1 else piece
            if len(small) > 1 and len(piece) > _WRITE_BYTES:
                yield memoryview(piece)[_WRITE_BYTES:]
            small, size = [], 0
    if small:
        yield b"".join(small)
