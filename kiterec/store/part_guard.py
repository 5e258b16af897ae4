"""What Parquet has no checksum for: a part's footer and page headers, guarded by a block of our own.

It stands right before the footer, where Parquet readers do not look: they find the footer by the length at
the end of the file. Altered bytes there may make a reader of Parquet take gigabytes, or end its process.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

import msgspec

from kiterec.errors import CorruptPartError
from kiterec.store.checksum import crc32

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAGIC: Final = b"KREC"
PARQUET_MAGIC: Final = b"PAR1"
_TAIL: Final = struct.Struct("<III4s")
"""crc32 of the JSON before it, length of that, crc32 of the footer with its length and magic, our magic."""

_PARQUET_TAIL: Final = struct.Struct("<I4s")
_MAX_BYTES: Final = 1 << 20
"""A longer footer or block is damage: a part has some twenty row groups."""


class RowGroup(NamedTuple):
    """A row group: what its rows span, and its bytes.

    Attributes:
        seq: the least and the greatest.
        received_at: the earliest and the latest, ns since the epoch.
        begin: its first byte in the file.
        end: one past its last byte.
        crc32: of these bytes.
    """

    seq: tuple[int, int]
    received_at: tuple[int, int]
    begin: int
    end: int
    crc32: int


class UnreadablePartError(CorruptPartError):
    """A file that does not read as a part.

    Attributes:
        where: the file.
        reason: what is wrong with it.
    """

    def __init__(self, where: Path, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(where, reason)

    def __str__(self) -> str:
        return (
            f"{self.where} does not read as a part: {self.reason}; bring it back from a copy, or ask for "
            "other times; kiterec verify names all that is damaged"
        )


def guard(groups: Sequence[RowGroup], footer: bytes) -> bytes:
    """Give the block that goes before a footer (with its length and magic)."""
    said = msgspec.json.encode(groups)
    return said + _TAIL.pack(crc32(said), len(said), crc32(footer), MAGIC)


def guard_footer(file: BinaryIO) -> None:
    """Put the block before the footer of another Parquet file of ours, whose row groups it does not list.

    Args:
        file: open for reading and writing; whole.
    """
    size = file.seek(0, 2)
    file.seek(size - _PARQUET_TAIL.size)
    footer_at = size - _PARQUET_TAIL.size - _PARQUET_TAIL.unpack(file.read())[0]
    file.seek(footer_at)
    footer = file.read()
    file.seek(footer_at)
    file.write(guard([], footer) + footer)


def read_guard(source: Any, *, where: Path, max_bytes: int = _MAX_BYTES) -> list[RowGroup]:
    """Check the footer of an open part and give its row groups.

    Args:
        source: the file.
        where: its path, for what is raised.
        max_bytes: a longer footer is damage.

    Raises:
        UnreadablePartError: it is no part, or its end was altered.
    """
    size = source.size()
    footer_bytes, magic = _PARQUET_TAIL.unpack(_read(source, size - _PARQUET_TAIL.size, size))
    footer_at = size - _PARQUET_TAIL.size - footer_bytes
    if magic != PARQUET_MAGIC or footer_bytes > max_bytes or footer_at < _TAIL.size:
        raise UnreadablePartError(where, "its end is no end of one")
    said_crc, said_bytes, footer_crc, own = _TAIL.unpack(_read(source, footer_at - _TAIL.size, footer_at))
    said_at = footer_at - _TAIL.size - said_bytes
    if own != MAGIC or said_bytes > _MAX_BYTES or said_at < 0:
        raise UnreadablePartError(where, "its footer has no guard")
    said = _read(source, said_at, footer_at - _TAIL.size)
    if crc32(said) != said_crc or crc32(_read(source, footer_at, size)) != footer_crc:
        raise UnreadablePartError(where, "its footer was altered")
    try:
        return msgspec.json.decode(said, type=list[RowGroup])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadablePartError(where, str(error)) from error


def check_bytes(source: Any, group: RowGroup, *, where: Path) -> None:
    """Refuse a row group whose bytes are not those that were written.

    Raises:
        UnreadablePartError: they are not.
    """
    crc = crc32(source.read_at(group.end - group.begin, group.begin))
    if crc != group.crc32:
        raise UnreadablePartError(
            where,
            f"seq {group.seq[0]:,} to {group.seq[1]:,} (bytes {group.begin:,} to {group.end:,}) "
            f"have crc32 {crc:08x}, not {group.crc32:08x}",
        )


def _read(source: Any, begin: int, end: int) -> bytes:
    """Read some bytes; fewer than asked, as zeros at the end, where the file is shorter."""
    if begin < 0:
        return bytes(end - begin)
    return bytes(source.read_at(end - begin, begin)).ljust(end - begin, b"\0")
