"""What is remembered of each key from one batch to the next, so that a day is read with bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

ROWS_AT_ONCE: Final = 1 << 18
"""Rows of a batch: enough for vectors, few enough for the memory of a small machine."""

_FOLD_ROWS: Final = 1 << 19
"""Rows that are gathered before it is worth to merge them."""


def in_batches(table: pl.LazyFrame, *, rows: int | None = None) -> Iterator[pl.DataFrame]:
    """Give a lazy table a batch at a time, in its order; without empty ones."""
    size = rows or ROWS_AT_ONCE
    for batch in table.collect_batches(chunk_size=size, maintain_order=True, engine="streaming"):
        if batch.height:
            yield batch


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows of a batch brought together by key, each key's in their order.

    Attributes:
        order: where each row was in the batch.
        first: where each key's rows begin.
        last: where each key's rows end; included.
        keys: the key of each group, ascending.
    """

    order: NDArray[np.intp]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    keys: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.int64]) -> Groups:
        """Bring equal keys together."""
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        edges = np.flatnonzero(ordered[1:] != ordered[:-1])
        first = np.concatenate([[0], edges + 1]) if keys.size else edges
        last = np.concatenate([edges, [keys.size - 1]]) if keys.size else edges
        return cls(order, first, last, ordered[first])

    def before(self, values: NDArray[np.int64], at_first: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give the value before each in its group; `at_first` has those before each group's first.

        Args:
            values: in the groups' order.
            at_first: one a group.
        """
        previous = np.empty_like(values)
        previous[1:] = values[:-1]
        previous[self.first] = at_first
        return previous


class Carry:
    """The last values of each key so far."""

    def __init__(self, *unknown: int) -> None:
        """Give what stands for a key that has not come yet, one number a value."""
        self._keys = np.empty(0, np.int64)
        self._values = np.empty((len(unknown), 0), np.int64)
        self._unknown = np.array(unknown, np.int64)[:, None]

    def get(self, keys: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give one row a value, one column a key."""
        found = np.repeat(self._unknown, keys.size, axis=1)
        if self._keys.size:
            at = np.minimum(np.searchsorted(self._keys, keys), self._keys.size - 1)
            known = self._keys[at] == keys
            found[:, known] = self._values[:, at[known]]
        return found

    def items(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Give all keys, ascending, and their values, one row a value."""
        return self._keys, self._values

    def set(self, keys: NDArray[np.int64], *values: NDArray[np.int64]) -> None:
        """Remember the values of keys, each of which comes once."""
        every = np.concatenate([keys, self._keys])
        self._keys, at = np.unique(every, return_index=True)
        self._values = np.concatenate([np.array(values), self._values], axis=1)[:, at]


class Fold:
    """Gathers the tables that batches give, merged whenever they have grown to twice what was left."""

    def __init__(self, merge: Callable[[pl.DataFrame], pl.DataFrame], *, rows: int | None = None) -> None:
        """Take what merges tables, and how many rows are worth it.

        Args:
            merge: gives a smaller table of the same columns; merging again changes nothing.
            rows: that are gathered at least; None for half a million.
        """
        self._merge = merge
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self._least = self._limit = rows or _FOLD_ROWS

    def add(self, part: pl.DataFrame) -> None:
        """Take the table of a batch; those of earlier batches come first."""
        self._parts.append(part)
        self._rows += part.height
        if self._rows > self._limit:
            self.result()

    def result(self) -> pl.DataFrame | None:
        """Give what all tables are together; None without any."""
        if not self._parts:
            return None
        if len(self._parts) > 1:
            self._parts = [self._merge(pl.concat(self._parts))]
        self._rows = self._parts[0].height
        self._limit = max(self._least, 2 * self._rows)
        return self._parts[0]
