"""Golden packets and frames, written with `struct` from the vendor's page, not with the tables under test."""

from __future__ import annotations

import struct

INFY = 408065  # NSE
NIFTY = 256265  # INDICES
USDINR = 1000 << 8 | 3  # CDS

LTP = struct.pack(">Ii", INFY, 157370)
QUOTE = struct.pack(
    ">Ii Ii III iiii", INFY, 157370, 7, 157037, 1192471, 256443, 363009, 156915, 157500, 156105, 156780
)
DEPTH = b"".join(
    struct.pack(">Ii Hxx", quantity, price, orders)
    for quantity, price, orders in [
        *[(5, 157340, 1), (140, 157300, 2), (2, 157295, 1), (219, 157290, 7), (50, 157285, 1)],
        *[(172, 157370, 3), (44, 157375, 3), (302, 157385, 3), (141, 157390, 2), (724, 157395, 65535)],
    ]
)
FULL = QUOTE + struct.pack(">IIIII", 1625461887, 4_000_000_000, 3, 2, 1625461887) + DEPTH
INDEX_QUOTE = struct.pack(">Ii iiii i", NIFTY, 2_500_000, 2_510_000, 2_480_000, 2_490_000, 2_505_000, -5_000)
INDEX_FULL = INDEX_QUOTE + struct.pack(">I", 1625461887)
NEGATIVE = struct.pack(">Ii", USDINR, -37_500_000)


def frame(*packets: bytes) -> bytes:
    """Give a frame, by hand."""
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(p)) + p for p in packets)


FRAMES = {
    "one of each length": frame(LTP, QUOTE, FULL, INDEX_QUOTE, INDEX_FULL),
    "full": frame(FULL),
    "quotes and ltp": frame(QUOTE, NEGATIVE, LTP, QUOTE),
    "an unknown length between known ones": frame(LTP, b"what is this", INDEX_FULL),
    "an empty packet": frame(b"", LTP),
    "no packets": frame(),
}
