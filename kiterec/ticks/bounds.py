"""What a query's predicate says about rows that need not be read or decoded at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from kiterec.clock import to_ns
from kiterec.store.transcript import read_streams, read_transcript
from kiterec.ticks.schema import INSTANT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from kiterec.store.folder import RecordingFolder

_MIRRORED: Final = {"Lt": "Gt", "LtEq": "GtEq", "Gt": "Lt", "GtEq": "LtEq", "Eq": "Eq"}
_FIRST_NS: Final = -(1 << 63)
_MAX: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Bounds:
    """Half-open intervals that the wanted rows are in; a row outside is not wanted, one inside may be.

    Attributes:
        begin_ns: first `received_at`, nanoseconds since the epoch; None for no bound.
        end_ns: first `received_at` that is too late.
        first_seq: first `seq`.
        end_seq: first `seq` that is too late.
        connections: names; None for all.
    """

    begin_ns: int | None = None
    end_ns: int | None = None
    first_seq: int | None = None
    end_seq: int | None = None
    connections: tuple[str, ...] | None = None

    def narrowed(self, other: Bounds) -> Bounds:
        """Give what lies in both."""
        both = other.connections
        if self.connections is not None and both is not None:
            both = tuple(name for name in self.connections if name in other.connections)  # type: ignore[operator]
        return Bounds(
            _tighter(max, self.begin_ns, other.begin_ns),
            _tighter(min, self.end_ns, other.end_ns),
            _tighter(max, self.first_seq, other.first_seq),
            _tighter(min, self.end_seq, other.end_seq),
            both if both is not None else self.connections,
        )

    def read(
        self, folder: RecordingFolder, *, columns: Sequence[str] | None = None
    ) -> Generator[pa.RecordBatch]:
        """Read the transcript within the bounds.

        Raises:
            StorageError: no recording, a part that does not check, or an unknown connection.
        """
        if self._empty():
            return (batch for batch in list[pa.RecordBatch]())
        return read_transcript(folder, columns=columns, **self._asked())

    def read_streams(
        self, folder: RecordingFolder, *, columns: Sequence[str], in_memory: int
    ) -> dict[str, Generator[pa.RecordBatch]]:
        """Read the transcript of each connection by itself within the bounds; errors as for `read`."""
        if self._empty():
            return {}
        return read_streams(folder, columns=columns, in_memory=in_memory, **self._asked())

    def _asked(self) -> dict[str, Any]:
        return {
            "connections": self.connections,
            "begin_ns": self.begin_ns,
            "end_ns": self.end_ns,
            "seq_range": self._seq_range(),
        }

    def _empty(self) -> bool:
        return (
            self.connections == ()
            or (self.begin_ns is not None and self.end_ns is not None and self.begin_ns >= self.end_ns)
            or (self.first_seq is not None and self.end_seq is not None and self.first_seq >= self.end_seq)
        )

    def _seq_range(self) -> tuple[int, int] | None:
        if self.first_seq is None and self.end_seq is None:
            return None
        return max(0, self.first_seq or 0), _MAX if self.end_seq is None else self.end_seq


def time_bounds(
    begin: datetime | None, end: datetime | None, connections: Sequence[str] | None = None
) -> Bounds:
    """Give bounds of the times that a caller gave.

    Raises:
        ValueError: a time without zone.
    """
    return Bounds(
        None if begin is None else _storable(begin),
        None if end is None else _storable(end),
        connections=None if connections is None else tuple(connections),
    )


def _storable(instant: datetime) -> int:
    """Give nanoseconds of an instant; of one beyond the years that 64 bits reach, the last that they do.

    Raises:
        TypeError: it is no datetime.
        ValueError: it has no zone.
    """
    if not isinstance(instant, datetime):
        raise TypeError(f"{instant!r} is no time; give a datetime with a zone")
    return min(max(to_ns(instant), _FIRST_NS), _MAX)


def split_predicate(predicate: pl.Expr | None) -> list[pl.Expr]:
    """Give the conditions that a predicate joins by `&`, in their order."""
    if predicate is None:
        return []
    shape = _shape(predicate)
    if shape.get("BinaryExpr", {}).get("op") == "And":
        return [part for half in reversed(predicate.meta.pop()) for part in split_predicate(half)]
    return [predicate]


def joined(conditions: Iterable[pl.Expr]) -> pl.Expr:
    """Give the one condition that all of these hold."""
    return pl.all_horizontal(list(conditions))


def find_bounds(conditions: Iterable[pl.Expr], connections: Sequence[str]) -> Bounds:
    """Give the bounds that follow from conditions; those that are not understood bound nothing.

    Args:
        conditions: that all hold.
        connections: that there are.
    """
    bounds = Bounds()
    for condition in conditions:
        for bound in _bounds_of(condition, connections):
            bounds = bounds.narrowed(bound)
    return bounds


def _bounds_of(condition: pl.Expr, connections: Sequence[str]) -> Iterator[Bounds]:
    roots = condition.meta.root_names()
    if roots == ["connection"]:
        names = pl.DataFrame({"connection": list(connections)}, schema={"connection": pl.Categorical()})
        yield Bounds(connections=tuple(names.filter(condition).get_column("connection").to_list()))
    elif roots in (["seq"], ["received_at"]):
        for op, value in _comparisons(condition, roots[0]):
            yield _interval(roots[0], op, value)


def _comparisons(condition: pl.Expr, name: str) -> Iterator[tuple[str, int]]:
    """Give the comparisons of a column with a number that a condition makes."""
    shape = _shape(condition)
    parts = condition.meta.pop()[::-1]
    column = {"Column": name}
    if binary := shape.get("BinaryExpr"):
        op = binary["op"]
        if op in _MIRRORED and binary["left"] == column:
            yield from _with_value(op, parts[1], name)
        elif op in _MIRRORED and binary["right"] == column:
            yield from _with_value(_MIRRORED[op], parts[0], name)
    elif between := shape.get("Function"):
        is_between = "IsBetween" in (between.get("function", {}).get("Boolean") or ())
        if is_between and between["input"][0] == column:
            # An open end is read as a closed one: bounds may be wide, the predicate itself is exact.
            yield from _with_value("GtEq", parts[1], name)
            yield from _with_value("LtEq", parts[2], name)


def _with_value(op: str, side: pl.Expr, name: str) -> Iterator[tuple[str, int]]:
    """Give the comparison if the side is one constant."""
    try:
        number = pl.select(side.cast(INSTANT if name == "received_at" else pl.Int64())).to_series()
    except pl.exceptions.PolarsError:
        return
    if number.len() == 1 and number[0] is not None:
        yield op, int(number.cast(pl.Int64())[0])


def _interval(name: str, op: str, value: int) -> Bounds:
    """Give the interval of a comparison."""
    begin = value if op in {"GtEq", "Eq"} else value + 1 if op == "Gt" else None
    end = value + 1 if op in {"LtEq", "Eq"} else value if op == "Lt" else None
    if name == "seq":
        return Bounds(first_seq=begin, end_seq=end)
    return Bounds(begin_ns=begin, end_ns=end)


def _shape(expression: pl.Expr) -> dict[str, Any]:
    """Give the expression as data; empty where this Polars cannot."""
    try:
        shape = json.loads(expression.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, ValueError):
        return {}
    return shape if isinstance(shape, dict) else {}


def _tighter(pick: Any, one: int | None, other: int | None) -> int | None:
    """Give the tighter of two bounds."""
    given = [bound for bound in (one, other) if bound is not None]
    return pick(given) if given else None
