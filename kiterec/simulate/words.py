"""Where each field of a packet is in a row of 32-bit words, read from the wire's own table."""

from __future__ import annotations

from typing import Final

from kiterec.wire.packets import DEPTH_ENTRY_BYTES, DEPTH_FIELDS, DEPTH_LEVELS, LAYOUTS

TRADABLE: Final = LAYOUTS[184]
INDEX: Final = LAYOUTS[32]
ROW_WORDS: Final = TRADABLE.length // 4

WORD: Final = {field.name: field.offset // 4 for field in TRADABLE.fields}
"""Field of a tradable instrument's full packet → word."""

INDEX_WORD: Final = {field.name: field.offset // 4 for field in INDEX.fields}
"""Field of an index's full packet → word."""

_DEPTH: Final = (TRADABLE.depth_offset or 0) // 4
_DEPTH_ENTRIES: Final = 2 * DEPTH_LEVELS
_ENTRY_WORDS: Final = DEPTH_ENTRY_BYTES // 4
_DEPTH_WORD: Final = {field.name: _DEPTH + field.offset // 4 for field in DEPTH_FIELDS}


def _column(name: str) -> slice:
    first = _DEPTH_WORD[name]
    return slice(first, _DEPTH + _DEPTH_ENTRIES * _ENTRY_WORDS, _ENTRY_WORDS)


DEPTH_QUANTITY: Final = _column("quantity")
DEPTH_PRICE: Final = _column("price")
DEPTH_ORDERS: Final = _column("orders")
"""The count of orders is the upper half of its word; two bytes of padding are the lower half."""

ORDERS_SHIFT: Final = 16
