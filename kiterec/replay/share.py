"""What one client gets of a stretch of messages: rows as they were recorded, and messages made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kiterec.replay.wire_frames import LARGE_BYTES, websocket_frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from kiterec.replay.market import MarketBatch


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
        if self._size is None:
            made = sum(
                len(message.encode() if isinstance(message, str) else message)
                for message in self._made.values()
            )
            before = self._batch.bytes_before()
            self._size = made + int((before[self._recorded + 1] - before[self._recorded]).sum())
        return self._size

    def writes(self) -> Iterator[bytes | memoryview]:
        """Give the messages as WebSocket frames in few pieces, each made when it is its turn."""
        return _gathered(self._pieces()) if self._writes is None else iter(self._writes)

    def prepare(self) -> None:
        """Do all the work that sending needs."""
        self.payload_bytes()
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
    """Put small pieces together, so that a frame of 200 bytes does not cost a system call of its own."""
    small: list[bytes | memoryview] = []
    size = 0
    for piece in pieces:
        if small and size + len(piece) > LARGE_BYTES:
            yield _joined(small)
            small, size = [], 0
        if len(piece) > LARGE_BYTES:
            yield piece  # before the next one is made
        else:
            small.append(piece)
            size += len(piece)
    if small:
        yield _joined(small)


def _joined(pieces: list[bytes | memoryview]) -> bytes:
    # A copy of one, too: as long as a client does not read, a view would keep the whole batch in memory.
    return b"".join(pieces)
