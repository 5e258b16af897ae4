"""Big-endian numbers of packets, as part of compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U1: Final = np.uint64(1)
_U2: Final = np.uint64(2)
_U3: Final = np.uint64(3)
_BYTE: Final = np.uint64(8)


@compiled()
def u16(data: NDArray[np.uint8], at: np.uint64) -> np.uint64:
    """Give the big-endian uint16 at a place."""
    return np.uint64((np.uint64(data[at]) << _BYTE) | np.uint64(data[at + _U1]))


@compiled()
def u32(data: NDArray[np.uint8], at: np.uint64) -> np.uint32:
    """Give the big-endian uint32 at a place."""
    high = (np.uint32(data[at]) << np.uint32(24)) | (np.uint32(data[at + _U1]) << np.uint32(16))
    low = (np.uint32(data[at + _U2]) << np.uint32(8)) | np.uint32(data[at + _U3])
    return np.uint32(high | low)


@compiled()
def i32(data: NDArray[np.uint8], at: np.uint64) -> np.int32:
    """Give the big-endian int32 at a place."""
    return np.int32(u32(data, at))
