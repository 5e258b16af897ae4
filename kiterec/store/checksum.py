"""The crc32 of the format's checksums, as fast as it can be had: every byte that is read is checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zlib import crc32
else:
    try:  # the extra `fast`: the same numbers, by the processor's own instructions
        from isal.isal_zlib import crc32
    except ImportError:
        from zlib import crc32

__all__ = ["crc32"]
