"""Frames and their packets: split, join and describe whole WebSocket messages, without decoding them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kiterec.errors import DecodeError
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADER_BYTES: Final = 2
"""The packet count before the packets, and the length before each of them: big-endian uint16."""

MAX_FRAME_BYTES: Final = 558_002
"""The largest data frame: a count, and 3,000 instruments of 2 + 184 bytes."""

HEARTBEAT: Final = b"\x00"

_UINT16: Final = struct.Struct(">H")
_MAX_UINT16: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class FrameProblem:
    """Something in a frame that does not fit the format: where, in bytes, and what."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class FrameScan:
    """What a frame holds.

    Attributes:
        packets: offset and length of each whole packet, those of unknown length too.
        problems: in the order of their offsets; empty for a frame of known packets and nothing else.
    """

    packets: list[tuple[int, int]]
    problems: list[FrameProblem]


def is_heartbeat(frame: bytes) -> bool:
    """Tell whether the frame says only that the server is alive: it has no room for a packet count."""
    return len(frame) < HEADER_BYTES


def join_frame(packets: Sequence[bytes]) -> bytes:
    """Give the frame of these packets; the opposite of `split_frame`.

    Raises:
        ValueError: more packets, or a longer one, than a uint16 can say.
    """
    if len(packets) > _MAX_UINT16:
        raise ValueError(f"{len(packets):,} packets do not fit one frame; give {_MAX_UINT16:,} at most")
    pieces = [_UINT16.pack(len(packets))]
    for packet in packets:
        if len(packet) > _MAX_UINT16:
            raise ValueError(f"a packet of {len(packet):,} bytes does not fit; give {_MAX_UINT16:,} at most")
        pieces += (_UINT16.pack(len(packet)), packet)
    return b"".join(pieces)


def split_frame(frame: bytes) -> list[bytes]:
    """Give the packets of a frame, also those of unknown length; none for a heartbeat.

    Raises:
        DecodeError: the frame ends within what it declares, or goes on after it.
    """
    spans, broken = _walk(frame)
    if broken is not None:
        raise DecodeError(broken.reason, offset=broken.offset)
    return [frame[offset : offset + length] for offset, length in spans]


def scan_frame(frame: bytes) -> FrameScan:
    """Describe a frame, whatever its bytes are; never raises."""
    spans, broken = _walk(frame)
    problems = [
        FrameProblem(offset, f"a packet of {length:,} bytes has no layout")
        for offset, length in spans
        if length not in LAYOUTS
    ]
    if broken is not None:
        problems.append(broken)
    return FrameScan(spans, problems)


def _walk(frame: bytes) -> tuple[list[tuple[int, int]], FrameProblem | None]:
    """Give offset and length of each whole packet, and what is wrong after the last of them."""
    spans: list[tuple[int, int]] = []
    if is_heartbeat(frame):
        return spans, None
    (count,) = _UINT16.unpack_from(frame)
    end, offset = len(frame), HEADER_BYTES
    for number in range(1, count + 1):
        if offset + HEADER_BYTES > end:
            return spans, FrameProblem(
                offset, f"the frame ends before the length of packet {number:,} of {count:,}"
            )
        (length,) = _UINT16.unpack_from(frame, offset)
        offset += HEADER_BYTES
        if offset + length > end:
            return spans, FrameProblem(
                offset, f"packet {number:,} of {count:,} declares {length:,} bytes, {end - offset:,} are left"
            )
        spans.append((offset, length))
        offset += length
    if offset < end:
        return spans, FrameProblem(offset, f"{end - offset:,} bytes follow the last of {count:,} packets")
    return spans, None
