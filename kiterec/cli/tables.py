"""Plain tables that fit the terminal: long texts are shortened first, then columns are left out, aloud."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Rows = Sequence[Mapping[str, str]]

GAP: Final = "  "
ELLIPSIS: Final = "…"


class Column(NamedTuple):
    """A column: its title, which is the key of its cells, and when it gives way.

    Attributes:
        rank: the columns of the highest rank are left out first; those of rank 0 never.
        left: text begins at the left; numbers end at the right.
        least: characters that a long text keeps at least; longer cells are shortened where room lacks. None:
            cells are never shortened, as a number that lacks a digit would be another one.
        keeps: which end of a long text stays.
    """

    title: str
    rank: int = 0
    left: bool = False
    least: int | None = None
    keeps: Literal["begin", "end", "both"] = "both"


class Fitted(NamedTuple):
    """A table as text, and the titles of the columns that had no room."""

    text: str
    hidden: list[str]


def table(rows: Rows, columns: Sequence[Column]) -> str:
    """Give the rows as lines of text under a line of titles, for stdout; say on stderr what had no room.

    Everything is shown where stdout is no terminal.

    Args:
        rows: cells by title; a missing one is empty.
        columns: from left to right; one without any content is left out.
    """
    fitted = fit(rows, columns, width=room())
    if fitted.hidden:
        click.echo(f"no room for {', '.join(fitted.hidden)}; a wider terminal or a pipe shows all", err=True)
    return fitted.text


def room() -> int | None:
    """Give the characters in a line of stdout; None: as many as are wanted, since it is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def fit(rows: Rows, columns: Sequence[Column], *, width: int | None) -> Fitted:
    """Give the rows as lines that are no wider than the width, if that can be; None is no limit.

    Which columns are shown depends on what texts need at least, not on how long they are.
    """
    shown = [column for column in columns if column.rank == 0 or any(row.get(column.title) for row in rows)]
    sizes = {c.title: max([len(c.title), *(len(row.get(c.title, "")) for row in rows)]) for c in shown}
    hidden: list[str] = []
    if width is not None:
        needed = sizes | {c.title: max(len(c.title), c.least) for c in shown if c.least is not None}
        while _width(shown, needed) > width and any(column.rank for column in shown):
            shown.remove(gone := max(shown, key=lambda column: column.rank))
            hidden.append(gone.title)
        _shorten(shown, sizes, needed, width)
        hidden.sort(key=[column.title for column in columns].index)
    lines = [{column.title: column.title for column in shown}, *rows]
    text = "\n".join(GAP.join(_cell(line, column, sizes) for column in shown).rstrip() for line in lines)
    return Fitted(text, hidden)


def _shorten(shown: Sequence[Column], sizes: dict[str, int], needed: Mapping[str, int], width: int) -> None:
    """Take from the longest texts what is too much, down to what they need at least."""
    while (excess := _width(shown, sizes) - width) > 0:
        spare = {c.title: sizes[c.title] - needed[c.title] for c in shown if sizes[c.title] > needed[c.title]}
        if not spare:
            return
        most = max(spare, key=lambda title: spare[title])
        sizes[most] -= min(excess, spare[most])


def _width(columns: Sequence[Column], sizes: Mapping[str, int]) -> int:
    return sum(sizes[column.title] for column in columns) + len(GAP) * (len(columns) - 1)


def _cell(row: Mapping[str, str], column: Column, sizes: Mapping[str, int]) -> str:
    text, size = row.get(column.title, ""), sizes[column.title]
    if len(text) > size:
        text = _shortened(text, size, column.keeps)
    return text.ljust(size) if column.left else text.rjust(size)


def _shortened(text: str, size: int, keeps: str) -> str:
    left = size - len(ELLIPSIS)
    behind = {"begin": 0, "end": left}.get(keeps, left // 2)
    return text[: left - behind] + ELLIPSIS + text[len(text) - behind :]
