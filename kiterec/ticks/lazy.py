"""Lazy Polars tables of what Python reads; what a query asks is answered in the order that it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from polars.io.plugins import register_io_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import polars as pl


class Source(Protocol):
    """Answers one collect."""

    def __call__(
        self,
        with_columns: list[str] | None,
        predicate: pl.Expr | None,
        n_rows: int | None,
        batch_size: int | None,
        /,
    ) -> Iterator[pl.DataFrame]:
        """Give tables of these columns (None: all) with the rows that are wanted, `n_rows` at most."""
        ...


def lazy_table(source: Source, schema: pl.Schema, *, name: str, detail: str | None = None) -> pl.LazyFrame:
    """Give the lazy table of a source, which is never given a predicate together with `n_rows`.

    Polars gives both for `table.head(20).filter(…)`, and then the rows are counted before the predicate
    decides: what it drops counts too.

    Source:
        https://docs.pola.rs/user-guide/plugins/io_plugins/
    """

    def answered(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        if predicate is None or n_rows is None:
            yield from source(with_columns, predicate, n_rows, batch_size)
            return
        roots = predicate.meta.root_names()
        needed = None if with_columns is None else list(dict.fromkeys([*with_columns, *roots]))
        for frame in source(needed, None, n_rows, batch_size):
            held = frame.filter(predicate)
            yield held if with_columns is None else held.select(with_columns)

    return register_io_source(answered, schema=schema, explain_name=name, explain_detail=detail)


def first_rows(frames: Iterable[pl.DataFrame], n_rows: int | None) -> Iterator[pl.DataFrame]:
    """Give frames until there are enough rows; all for None."""
    left = n_rows
    for frame in frames:
        if left is None:
            yield frame
            continue
        if left > 0:
            yield frame.head(left)
        left -= frame.height
        if left <= 0:
            return
