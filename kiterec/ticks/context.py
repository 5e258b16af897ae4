"""What is known of each frame beside its bytes, and how the ticks take it over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Context:
    """What is known of each frame beside its bytes.

    Attributes:
        seq: position in the recording; None: the row is it.
        received_at: nanoseconds since the epoch; None where it is not known.
        connection: code into `names`; None when all are of its only one.
        names: the connections, a Categorical series.
    """

    seq: NDArray[np.uint64] | None = None
    received_at: NDArray[np.int64] | None = None
    connection: NDArray[np.integer[Any]] | None = None
    names: pl.Series | None = None

    def known(self) -> frozenset[str]:
        """Give the columns of which there is a number for each packet."""
        given = {name for name in ("received_at", "connection") if getattr(self, name) is not None}
        return frozenset({"seq", "packet"} | given)
