"""Messages as WebSocket frames, made by the batch: what goes out as it was recorded is only handed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kiterec.ticks.find import binary_buffers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from kiterec.replay.timeline import Payloads

_FIN: Final = 0x80
_TEXT: Final = 0x1
_BINARY: Final = 0x2
_SHORT: Final = 125
_MEDIUM: Final = 0xFFFF
LARGE_BYTES: Final = 1 << 16
"""Messages this large on average are not copied before somebody gets them."""


def websocket_frame(message: bytes | str) -> bytes:
    """Give a message as one frame of a server: final, not masked, without extensions.

    Source:
        RFC 6455, 5.2: a length of 126 is followed by 16 bits of length, 127 by 64 bits.
    """
    data, opcode = (message.encode(), _TEXT) if isinstance(message, str) else (message, _BINARY)
    return _head(len(data), opcode) + data


class WireRows(Protocol):
    """The messages of a batch as binary WebSocket frames."""

    def pieces(self, rows: npt.NDArray[np.int64]) -> Iterator[bytes | memoryview]:
        """Give the frames of these rows, which rise, in pieces that follow each other."""
        ...


def wire_rows(payloads: Payloads) -> WireRows:
    """Make the WebSocket frames of a batch of messages, with no work per message where those are small."""
    if payloads.nbytes >= LARGE_BYTES * len(payloads):
        return LargeRows(payloads)
    return SmallRows(payloads)


class LargeRows:
    """Messages that are put behind their heads when it is their turn.

    What goes out together is joined: waking a client less often saves more than the copy costs.
    """

    __slots__ = ("_data", "_size", "_start")

    def __init__(self, payloads: Payloads) -> None:
        data, start, size = binary_buffers(payloads)
        self._data = memoryview(data.data)
        self._start, self._size = start.tolist(), size.tolist()

    def pieces(self, rows: npt.NDArray[np.int64]) -> Iterator[bytes | memoryview]:
        """Give all as one piece."""
        parts: list[bytes | memoryview] = []
        for row in rows.tolist():
            start, size = self._start[row], self._size[row]
            parts += (_head(size, _BINARY), self._data[start : start + size])
        if parts:
            # What a socket does not take at once, asyncio would copy out of bytes (Python 3.11).
            yield memoryview(b"".join(parts))


class SmallRows:
    """Messages with their heads one behind the other."""

    __slots__ = ("_begin", "_data")

    def __init__(self, payloads: Payloads) -> None:
        # Not `pa.scalar`, which loads pandas where it is installed.
        nothing = pa.Array.from_buffers(payloads.type, 1, [None, pa.py_buffer(bytes(16)), pa.py_buffer(b"")])
        joined = pc.binary_join_element_wise(_heads(payloads), payloads, nothing[0])
        data, start, size = binary_buffers(joined)
        self._data = memoryview(data.data)
        self._begin = np.zeros(len(size) + 1, np.int64)
        np.cumsum(size, out=self._begin[1:])
        self._begin += int(start[0]) if len(start) else 0

    def pieces(self, rows: npt.NDArray[np.int64]) -> Iterator[bytes | memoryview]:
        """Give neighbours as one piece."""
        if not len(rows):
            return
        begin = self._begin
        gaps = np.flatnonzero(np.diff(rows) != 1)
        if not len(gaps):
            yield self._data[int(begin[rows[0]]) : int(begin[rows[-1] + 1])]
            return
        begins = begin[rows[np.concatenate([[0], gaps + 1])]]
        ends = begin[rows[np.concatenate([gaps, [len(rows) - 1]])] + 1]
        for first, last in zip(begins.tolist(), ends.tolist(), strict=True):
            yield self._data[first:last]


def _head(size: int, opcode: int) -> bytes:
    if size <= _SHORT:
        return bytes([_FIN | opcode, size])
    if size <= _MEDIUM:
        return bytes([_FIN | opcode, 126]) + size.to_bytes(2, "big")
    return bytes([_FIN | opcode, 127]) + size.to_bytes(8, "big")


def _heads(payloads: Payloads) -> Payloads:
    _, _, size = binary_buffers(payloads)
    short, long = size <= _SHORT, size > _MEDIUM
    width = np.where(short, 2, np.where(long, 10, 4))
    head = np.empty((len(size), 10), np.uint8)
    head[:, 0] = _FIN | _BINARY
    head[:, 1] = np.where(short, size, np.where(long, 127, 126))
    head[:, 2:] = size.astype(">u8").view(np.uint8).reshape(-1, 8)
    head[:, 2:4] = np.where(long[:, None], head[:, 2:4], head[:, 8:])
    offset = np.zeros(len(size) + 1, np.int64 if pa.types.is_large_binary(payloads.type) else np.int32)
    np.cumsum(width, out=offset[1:])
    data = head[np.arange(10) < width[:, None]]
    buffers = [None, pa.py_buffer(offset), pa.py_buffer(data)]
    heads: Payloads = pa.Array.from_buffers(payloads.type, len(size), buffers)
    return heads
