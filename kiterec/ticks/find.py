"""Finds all packets of all frames of an Arrow array, without a loop over frames or packets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from kiterec import compiled
from kiterec.store.arrays import numbers_in
from kiterec.ticks.chains import walk_frames
from kiterec.ticks.runs import walk_runs
from kiterec.ticks.walks import KNOWN_LENGTHS, Found, Walk, most_packets, read_words
from kiterec.wire.frames import HEADER_BYTES, scan_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class PacketProblem:
    """Something in a frame that is no whole packet of known length.

    Attributes:
        frame: row of the frame in the array.
        offset: where in the frame, in bytes.
        reason: what is wrong there.
    """

    frame: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Packets:
    """Where the packets of an array of frames are.

    Shape:
        One element a packet, ordered by frame and position; packets of unknown length too.

    Attributes:
        frame: row of the frame in the array.
        packet: position in its frame.
        offset: first byte in `data`.
        length: bytes.
        data: the array's own bytes, not copied.
        frame_start: where each frame begins in `data`.
        frame_size: bytes of each frame (0 for null).
        bad_frames: rows of the frames that hold anything but whole packets of known length.
    """

    frame: NDArray[np.int64]
    packet: NDArray[np.int64]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    data: NDArray[np.uint8]
    frame_start: NDArray[np.int64]
    frame_size: NDArray[np.int64]
    bad_frames: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.offset.size)

    def __getitem__(self, some: slice) -> Packets:
        return self.select(some)

    def __repr__(self) -> str:
        return f"Packets({len(self):,} in {self.frame_size.size:,} frames, {self.bad_frames.size:,} bad)"

    def known(self) -> Packets:
        """Give those whose length has a layout."""
        return self if not self.bad_frames.size else self.select(KNOWN_LENGTHS[self.length])

    def select(self, which: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Packets:
        """Give some of them."""
        return Packets(
            self.frame[which],
            self.packet[which],
            self.offset[which],
            self.length[which],
            self.data,
            self.frame_start,
            self.frame_size,
            self.bad_frames,
        )

    def problems(self) -> Iterator[PacketProblem]:
        """Describe what is wrong in each bad frame, in order."""
        for frame in self.bad_frames.tolist():
            start = self.frame_start[frame]
            payload = self.data[start : start + self.frame_size[frame]].tobytes()
            for problem in scan_frame(payload).problems:
                yield PacketProblem(frame, problem.offset, problem.reason)


def find_packets(
    payloads: Any, *, binary: NDArray[np.bool_] | None = None, by_loop: bool | None = None
) -> Packets:
    """Find every whole packet of every frame.

    Null and heartbeats hold no packets.

    Args:
        payloads: a BinaryArray or LargeBinaryArray, one element a frame; may be a slice.
        binary: which elements are frames; the others are passed over.
        by_loop: go by machine code, or not; None: where Numba is worth its import, which takes a while.

    Raises:
        TypeError: an array of another type.
        ValueError: an array whose elements lie outside its bytes.
    """
    data, start, size = binary_buffers(payloads)
    if binary is not None:
        size = np.where(binary, size, 0)
    if by_loop is None:
        by_loop = compiled.chosen(int(size.sum()))
    found, bad = _by_loop(data, start, size) if by_loop else _by_numpy(data, start, size)
    return Packets(found.frame, found.packet, found.offset, found.length, data, start, size, bad)


def _by_loop(
    data: NDArray[np.uint8], start: NDArray[np.int64], size: NDArray[np.int64]
) -> tuple[Found, NDArray[np.int64]]:
    """Find the packets one after the other, as machine code; give the bad frames too."""
    from kiterec.ticks.walk_loops import walk_packets

    most = most_packets(data, start, size)
    found = Found(*(np.empty(most, np.int64) for _ in range(4)))
    bad = np.empty(size.size, np.bool_)
    held = walk_packets(
        data, start, size, KNOWN_LENGTHS, found.frame, found.packet, found.offset, found.length, bad
    )
    return found.first(held), np.flatnonzero(bad)


def _by_numpy(
    data: NDArray[np.uint8], start: NDArray[np.int64], size: NDArray[np.int64]
) -> tuple[Found, NDArray[np.int64]]:
    """Find runs of packets of one length by arithmetic, and link what is mixed; give the bad frames too."""
    row = np.flatnonzero(size >= HEADER_BYTES)
    count = read_words(data, start[row])
    walk = Walk(row, start[row] + size[row], count, start[row] + HEADER_BYTES, np.zeros(row.size, np.int64))
    pieces, walk = walk_runs(data, walk)
    bad = np.zeros(size.size, bool)
    rest = np.flatnonzero(walk.unfinished())
    if rest.size:
        walked, walk = walk_frames(data, walk.take(rest))
        pieces += walked
        bad[walk.frame[walk.unfinished()]] = True
    joined = _join(pieces, size.size)
    bad[joined.frame[~KNOWN_LENGTHS[joined.length]]] = True
    return joined, np.flatnonzero(bad)


def binary_buffers(payloads: Any) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Give the bytes of a binary array, and where each element begins and how long it is (0 for null).

    Raises:
        TypeError: an array of another type.
        ValueError: an array whose elements lie outside its bytes.
    """
    if pa.types.is_large_binary(payloads.type):
        width: np.dtype[Any] = np.dtype(np.int64)
    elif pa.types.is_binary(payloads.type):
        width = np.dtype(np.int32)
    else:
        raise TypeError(f"frames are {payloads.type}; give binary or large_binary")
    _, offsets, values = payloads.buffers()
    data = np.frombuffer(values, np.uint8) if values is not None and values.size else np.empty(0, np.uint8)
    if offsets is None or not len(payloads):
        return data, np.empty(0, np.int64), np.empty(0, np.int64)
    bound = np.frombuffer(offsets, width, len(payloads) + 1, payloads.offset * width.itemsize)
    start = bound[:-1].astype(np.int64)
    size = np.diff(bound).astype(np.int64)
    # Each bound is looked at, for a difference of two that are far outside may wrap and seem right.
    if bound.min() < 0 or bound.max() > data.size or size.min() < 0:
        raise ValueError(f"elements lie outside the {data.size:,} bytes of their array: it is damaged")
    if payloads.null_count:
        size[numbers_in(payloads.is_null().cast(pa.uint8())) != 0] = 0
    return data, start, size


def _join(pieces: list[Found], frames: int) -> Found:
    """Put the packets of all pieces into the order of frame and position."""
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return Found(*(np.empty(0, np.int64) for _ in range(4)))
    frame = np.concatenate([piece.frame for piece in pieces])
    packet = np.concatenate([piece.packet for piece in pieces])
    held = np.bincount(frame, minlength=frames)
    slot = (np.cumsum(held) - held)[frame] + packet
    joined = Found(*(np.empty(frame.size, np.int64) for _ in range(4)))
    joined.frame[slot] = frame
    joined.packet[slot] = packet
    joined.offset[slot] = np.concatenate([piece.offset for piece in pieces])
    joined.length[slot] = np.concatenate([piece.length for piece in pieces])
    return joined
