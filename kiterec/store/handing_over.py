"""Giving large things away one by one, so that the memory of each goes when its reader is done with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    Item = TypeVar("Item")


def handed_over(items: list[Item]) -> Iterator[Item]:
    """Give the items of a list, in their order; the list is empty afterwards.

    A loop over the list, or a generator with a name for the item that it has just given, would keep them.
    """
    items.reverse()
    while items:
        yield items.pop()
