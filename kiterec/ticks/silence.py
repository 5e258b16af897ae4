"""Instruments that were silent for much longer than they usually are."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kiterec.ticks.carry import Carry, Fold, Groups, in_batches
from kiterec.ticks.missed import is_missed, merge_presence, presence
from kiterec.ticks.schema import INSTANT
from kiterec.ticks.sessions import OUTSIDE, SESSIONS, Calendar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from kiterec.ticks.sessions import Session

MIN_SILENCE: Final = timedelta(seconds=60)
HABIT: Final = 20
"""A silence is unusual when it is this many times as long as the mean of the others of its session.

Of an instrument whose ticks come by pure chance, one silence in 500 million is.
"""

MIN_INTERVALS: Final = 10
"""Below this an instrument has no habit."""

_NEVER: Final = -1
_SECOND: Final = 10**9


def silent_instruments(
    ticks: pl.LazyFrame,
    connection_gaps: pl.DataFrame,
    until_ns: int,
    *,
    limit: timedelta = MIN_SILENCE,
    sessions: Mapping[str, Sequence[Session]] = SESSIONS,
) -> pl.DataFrame:
    """Give the silences of instruments, each within a session, that no gap of a connection explains.

    Shape:
        One row a silence: kind (`instrument`), instrument_token, begin (the last tick before), end (the next
        tick, the end of the session or `until_ns`), reason.

    Args:
        ticks: the tick table, or its received_at, connection, instrument_token and segment.
        connection_gaps: as for `is_missed`.
        until_ns: when the recording ends.
        limit: shorter silences are none.
        sessions: hours by exchange segment.
    """
    watch = _Watch(limit // timedelta(microseconds=1) * 1_000, Calendar(sessions))
    for batch in in_batches(ticks.select("received_at", "connection", "instrument_token", "segment")):
        watch.add(batch)
    found, heard = watch.silences(until_ns), watch.heard.result()
    if heard is None:
        return found
    return found.filter(
        ~is_missed(found.with_columns(pl.col("begin", "end").cast(pl.Int64)), connection_gaps, heard)
    )


class _Watch:
    """Sees every tick go by and remembers the long silences and each instrument's habit."""

    def __init__(self, limit_ns: int, calendar: Calendar) -> None:
        self._limit_ns = limit_ns
        self._calendar = calendar
        self._carry = Carry(_NEVER, _NEVER, 0, 0)
        self._long: list[NDArray[np.int64]] = []
        self.heard = Fold(merge_presence)

    def add(self, ticks: pl.DataFrame) -> None:
        """Take the next ticks."""
        at_ns = ticks["received_at"].cast(pl.Int64).to_numpy()
        placed = self._calendar.place(ticks["segment"].cast(pl.String), at_ns)
        # An instrument's session of one day; the begin of a session is in whole seconds.
        keys = placed.begin_ns // _SECOND << 32 | ticks["instrument_token"].cast(pl.UInt32).to_numpy()
        inside = (placed.session != OUTSIDE).to_numpy()
        at_ns, keys, end_ns = at_ns[inside], keys[inside], placed.end_ns[inside]
        if not keys.size:
            return
        groups = Groups.of(keys)
        at_ns = at_ns[groups.order]
        first, last, _, count = self._carry.get(groups.keys)
        before = groups.before(at_ns, last)
        silent = np.flatnonzero((before != _NEVER) & (at_ns - before > self._limit_ns))
        self._long.append(np.array([keys[groups.order[silent]], before[silent], at_ns[silent]]))
        self._carry.set(
            groups.keys,
            np.where(first == _NEVER, at_ns[groups.first], first),
            at_ns[groups.last],
            end_ns[groups.order[groups.last]],
            count + groups.last - groups.first + 1,
        )
        self.heard.add(presence(ticks))

    def silences(self, until_ns: int) -> pl.DataFrame:
        """Give what was unusual, the silence before the end of each session included."""
        keys, (first, last, session_end, count) = self._carry.items()
        to_the_end = np.array([keys, last, np.minimum(session_end, until_ns)])
        long = np.concatenate([*self._long, to_the_end], axis=1)
        key, begin, end = long
        at = np.searchsorted(keys, key)
        # The silence at the end is between no two ticks, so it is not among those that the habit is made of.
        is_last = begin == last[at]
        others = count[at] - 1 - np.where(is_last, 0, 1)
        length = end - begin
        usual = (last - first)[at] - np.where(is_last, 0, length)
        unusual = (length > self._limit_ns) & (others >= MIN_INTERVALS) & (length / HABIT * others > usual)
        mean_s = usual[unusual] / others[unusual] / _SECOND
        return pl.DataFrame(
            {
                "instrument_token": (key & 0xFFFFFFFF)[unusual],
                "begin": begin[unusual],
                "end": end[unusual],
                "reason": [f"it usually comes every {mean:.3g} s" for mean in mean_s.tolist()],
            },
            {"instrument_token": pl.UInt32(), "begin": pl.Int64(), "end": pl.Int64(), "reason": pl.String()},
        ).with_columns(pl.lit("instrument").alias("kind"), pl.col("begin", "end").cast(INSTANT))
