"""Plain tables that fit the terminal: columns that have no room are left out, cells are never cut."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GAP = "  "


class Column(NamedTuple):
    """A column: its title, which is the key of its cells, and when it gives way.

    Attributes:
        rank: the columns of the highest rank are left out first; those of rank 0 never.
        left: text begins at the left; numbers end at the right.
    """

    title: str
    rank: int = 0
    left: bool = False


def table(rows: Sequence[Mapping[str, str]], columns: Sequence[Column], *, width: int | None = None) -> str:
    """Give the rows as lines of text under a line of titles.

    Args:
        rows: cells by title; a missing one is empty.
        columns: from left to right; one without any content is left out.
        width: room in characters; None takes the terminal's, which is 80 without a terminal.
    """
    room = shutil.get_terminal_size().columns if width is None else width
    shown = [column for column in columns if column.rank == 0 or any(row.get(column.title) for row in rows)]
    sizes = {c.title: max([len(c.title), *(len(row.get(c.title, "")) for row in rows)]) for c in shown}
    while _width(shown, sizes) > room and any(column.rank for column in shown):
        shown.remove(max(shown, key=lambda column: column.rank))
    lines = [{column.title: column.title for column in shown}, *rows]
    return "\n".join(GAP.join(_cell(line, column, sizes) for column in shown).rstrip() for line in lines)


def _width(columns: Sequence[Column], sizes: Mapping[str, int]) -> int:
    return sum(sizes[column.title] for column in columns) + len(GAP) * (len(columns) - 1)


def _cell(row: Mapping[str, str], column: Column, sizes: Mapping[str, int]) -> str:
    text, size = row.get(column.title, ""), sizes[column.title]
    return text.ljust(size) if column.left else text.rjust(size)
