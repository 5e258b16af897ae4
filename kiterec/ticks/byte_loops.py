"""Big-endian numbers of packets, and getting their bytes in time, as part of compiled loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from kiterec.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_U1: Final = np.uint64(1)
_U2: Final = np.uint64(2)
_U3: Final = np.uint64(3)
_BYTE: Final = np.uint64(8)

AHEAD: Final = np.uint64(8 << 10)
"""Bytes from a packet to those that are fetched meanwhile: memory answers while so much is walked over."""

LINE: Final = 64
"""Bytes that a processor fetches at a time; packets that are no longer it fetches in time by itself."""


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


def _prefetch(_: Any, data: Any, at: Any) -> Any:
    """Say how Numba makes a call of `prefetch`."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, value=arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        # To be read, to stay in all caches, and data.
        builder.call(fetch, [place, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(data, at), emit


prefetch: Final[Any] = intrinsic(_prefetch)
"""`prefetch(data, at)` has the processor fetch what will be read soon; a place outside the data is no harm.

The data are bytes one behind the other.

Source:
    https://llvm.org/docs/LangRef.html#llvm-prefetch-intrinsic
"""
