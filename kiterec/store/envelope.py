"""Arrow's encapsulated IPC messages, cut out of bytes that nobody vouches for.

Source:
    https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format and, for the few fields
    that are read here before the checksum is known to hold, the table layout of FlatBuffers.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from kiterec.errors import CorruptPartError
from kiterec.store.checksum import crc32

MARKER: Final = b"\xff\xff\xff\xff"
MAX_METADATA_BYTES: Final = 64 << 10
MAX_BODY_BYTES: Final = 64 << 20
"""Longer lengths are damage: the writer makes no such messages, so nothing is allocated for them."""

NO_CHECKSUM: Final = b"00000000"
_HEADER_TYPE, _BODY_LENGTH, _CUSTOM_METADATA = 1, 3, 4  # fields of the table Message
SCHEMA, DICTIONARY, RECORD_BATCH = 1, 2, 3  # values of the union MessageHeader


class BrokenMessageError(CorruptPartError):
    """Bytes that are no whole message.

    Attributes:
        needed: the message would be whole with this many bytes; None: it can never be.
    """

    def __init__(self, reason: str, *, needed: int | None = None) -> None:
        self.reason = reason
        self.needed = needed
        super().__init__(reason, needed)

    def __str__(self) -> str:
        return self.reason


class Envelope(NamedTuple):
    """One message: where it is, and what its metadata says (before any check).

    Attributes:
        start: its first byte, an offset into what was read.
        end: one past its last byte.
        header_type: `SCHEMA`, `DICTIONARY` or `RECORD_BATCH`.
        custom: its custom metadata.
        checksum_at: where the eight digits of the custom metadata `crc32` are; None without them.
    """

    start: int
    end: int
    header_type: int
    custom: dict[str, str]
    checksum_at: int | None


def read_envelope(data: memoryview, start: int = 0) -> Envelope:
    """Read the lengths and the custom metadata of the message at `start`.

    Raises:
        BrokenMessageError: there is none; `needed` is given if it only lacks bytes at the end.
    """
    room = len(data) - start
    if room < 8:
        if bytes(data[start : start + 4]) != MARKER[: min(room, 4)]:
            raise BrokenMessageError("no message begins here")
        raise BrokenMessageError("the message is cut in its first 8 bytes", needed=8)
    if bytes(data[start : start + 4]) != MARKER:
        raise BrokenMessageError("no message begins here")
    (metadata_length,) = struct.unpack_from("<i", data, start + 4)
    if not 16 <= metadata_length <= MAX_METADATA_BYTES or metadata_length % 8:
        raise BrokenMessageError(f"a message with {metadata_length} bytes of metadata")
    if room < 8 + metadata_length:
        raise BrokenMessageError("the message is cut in its metadata", needed=8 + metadata_length)
    metadata = data[start + 8 : start + 8 + metadata_length]
    try:
        header_type, body_length, custom, checksum_at = _read_message_table(metadata)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise BrokenMessageError("the message's metadata is garbage") from error
    if not 0 <= body_length <= MAX_BODY_BYTES or body_length % 8:
        raise BrokenMessageError(f"a message with a body of {body_length} bytes")
    size = 8 + metadata_length + body_length
    if room < size:
        raise BrokenMessageError("the message is cut in its body", needed=size)
    at = None if checksum_at is None else start + 8 + checksum_at
    return Envelope(start, start + size, header_type, custom, at)


def checksum_place(head: memoryview) -> int:
    """Give where the eight digits of the checksum are in a message of which only the metadata is there.

    Raises:
        BrokenMessageError: the message has no custom metadata `crc32`.
    """
    _, _, _, checksum_at = _read_message_table(head[8:])
    if checksum_at is None:
        raise BrokenMessageError("a batch without a checksum")
    return 8 + checksum_at


def checksum(data: memoryview, envelope: Envelope, header_crc: int) -> int:
    """Give the message's crc32, its own eight digits read as zeros, continued from the header's."""
    if envelope.checksum_at is None:
        return crc32(data[envelope.start : envelope.end], header_crc)
    crc = crc32(data[envelope.start : envelope.checksum_at], header_crc)
    crc = crc32(NO_CHECKSUM, crc)
    return crc32(data[envelope.checksum_at + 8 : envelope.end], crc)


def _read_message_table(metadata: memoryview) -> tuple[int, int, dict[str, str], int | None]:
    table = _follow(metadata, 0)
    header_at = _field(metadata, table, _HEADER_TYPE)
    length_at = _field(metadata, table, _BODY_LENGTH)
    custom_at = _field(metadata, table, _CUSTOM_METADATA)
    header_type = metadata[header_at] if header_at else 0
    body_length = struct.unpack_from("<q", metadata, length_at)[0] if length_at else 0
    custom: dict[str, str] = {}
    checksum_at = None
    if custom_at:
        vector = _follow(metadata, custom_at)
        (count,) = struct.unpack_from("<I", metadata, vector)
        if count > 16:
            raise IndexError(count)
        for pair in range(count):
            entry = _follow(metadata, vector + 4 + 4 * pair)
            key, _ = _string(metadata, _field(metadata, entry, 0))
            custom[key], value_at = _string(metadata, _field(metadata, entry, 1))
            if key == "crc32" and len(custom[key]) == len(NO_CHECKSUM):
                checksum_at = value_at
    return header_type, body_length, custom, checksum_at


def _follow(data: memoryview, at: int) -> int:
    (offset,) = struct.unpack_from("<I", data, at)
    return at + int(offset)


def _field(data: memoryview, table: int, number: int) -> int:
    """Give where a table's field is; 0 if the table does not have it."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if vtable < 0:
        raise IndexError(vtable)
    (vtable_size,) = struct.unpack_from("<H", data, vtable)
    if 4 + 2 * number + 2 > vtable_size:
        return 0
    (offset,) = struct.unpack_from("<H", data, vtable + 4 + 2 * number)
    return table + int(offset) if offset else 0


def _string(data: memoryview, at: int) -> tuple[str, int]:
    begin = _follow(data, at) + 4
    (length,) = struct.unpack_from("<I", data, begin - 4)
    if begin + length > len(data):
        raise IndexError(length)
    return bytes(data[begin : begin + length]).decode("ascii"), begin
