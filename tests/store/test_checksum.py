"""The checksum is the crc32 that everybody has."""

from __future__ import annotations

import random
import zlib

from kiterec.store.checksum import crc32


def test_it_is_the_crc32_of_zlib_for_any_bytes_and_beginnings() -> None:
    assert crc32(b"123456789") == 0xCBF43926
    rng = random.Random(3)
    for size in (0, 1, 7, 64, 1_000, 300_001):
        data, begin = rng.randbytes(size), rng.getrandbits(32)
        assert crc32(data, begin) == zlib.crc32(data, begin)
        assert crc32(memoryview(bytearray(data))) == zlib.crc32(data)
