"""Which positions of a recording were seen: a bit a row, so that holes and repetitions are found exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PAGE_BITS: Final = 1 << 16
MAX_PAGES: Final = 4_096
"""32 MB of pages that are neither empty nor full: a quarter of a billion rows, in any order."""


class SeqSet:
    """A set of `seq`, in pages of bits; a page that is full takes no memory.

    Attributes:
        repeated: positions that were added more than once.
        first_repeated: the first of those; None: there is none.
        overflowed: positions lay too far apart for the memory, so that not all of them are known.
    """

    def __init__(self) -> None:
        self._pages: dict[int, NDArray[np.uint8]] = {}
        self._full: set[int] = set()
        self.repeated = 0
        self.first_repeated: int | None = None
        self.overflowed = False

    def add(self, seqs: NDArray[np.uint64]) -> None:
        """Add positions, in any order."""
        if not seqs.size:
            return
        pages = seqs // np.uint64(PAGE_BITS)
        places = (seqs % np.uint64(PAGE_BITS)).astype(np.intp)
        order = np.argsort(pages, kind="stable")
        numbers, begins = np.unique(pages[order], return_index=True)
        for page, mine in zip(numbers.tolist(), np.split(places[order], begins[1:]), strict=True):
            if page not in self._pages and len(self._pages) >= MAX_PAGES:
                self.overflowed = True
            else:
                self._add_to_page(page, mine)

    def _add_to_page(self, page: int, places: NDArray[np.intp]) -> None:
        bits = self._bits(page)
        unique, times = np.unique(places, return_counts=True)
        again = unique[bits[unique] | (times > 1)]
        if again.size:
            here = page * PAGE_BITS + int(again[0])
            self.repeated += int(again.size)
            self.first_repeated = here if self.first_repeated is None else min(self.first_repeated, here)
        bits[unique] = True
        if bits.all():
            self._full.add(page)
            self._pages.pop(page, None)
        else:
            self._pages[page] = np.packbits(bits)

    def _bits(self, page: int) -> NDArray[np.bool_]:
        if page in self._full:
            return np.ones(PAGE_BITS, np.bool_)
        if page not in self._pages:
            return np.zeros(PAGE_BITS, np.bool_)
        return np.unpackbits(self._pages[page]).view(np.bool_)

    def holes(self) -> Iterator[tuple[int, int]]:
        """Give what is missing between 0 and the last position: stretches, their ends excluded."""
        missing_from: int | None = 0
        next_page = 0
        for page in sorted({*self._pages, *self._full}):
            if page > next_page and missing_from is None:
                missing_from = next_page * PAGE_BITS
            next_page = page + 1
            bits = self._bits(page)
            begins = np.flatnonzero(np.diff(bits, prepend=not bits[0]))
            for begin, is_there in zip(
                (begins + page * PAGE_BITS).tolist(), bits[begins].tolist(), strict=True
            ):
                if not is_there:
                    missing_from = begin if missing_from is None else missing_from
                    continue
                if missing_from is not None and missing_from < begin:
                    yield missing_from, begin
                missing_from = None
