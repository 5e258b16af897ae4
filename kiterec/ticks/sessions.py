"""The exchanges' sessions as data, and which one each of many instants is in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from kiterec.clock import IST, NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

DAY_NS: Final = 86_400 * NS_PER_S
IST_NS: Final = int(IST.utcoffset(None).total_seconds()) * NS_PER_S

OUTSIDE: Final = "outside"
"""What is in no session: snapshots in the evening, special sessions, a calendar that is out of date."""

WHOLE_DAY: Final = "regular"
"""The one session of an exchange segment whose hours are in no table."""


@dataclass(frozen=True, slots=True)
class Session:
    """A stretch of every trading day, in IST; half-open.

    Attributes:
        name: such as `pre_open` or `regular`.
        begin: its first instant.
        end: the first instant after it.
    """

    name: str
    begin: time
    end: time

    def __post_init__(self) -> None:
        if self.begin >= self.end:
            raise ValueError(f"the session {self.name} ends at {self.end}, not after its begin {self.begin}")


_CASH: Final = (
    Session("pre_open", time(9), time(9, 15)),
    Session("regular", time(9, 15), time(15, 30)),
    # Since August 2026 stocks that have derivatives are auctioned after the close.
    Session("closing", time(15, 30), time(15, 35)),
)
_DERIVATIVES: Final = (Session("regular", time(9, 15), time(15, 40)),)
_CURRENCY: Final = (Session("regular", time(9), time(17)),)
_COMMODITY: Final = (Session("regular", time(9), time(23, 55)),)

SESSIONS: Final[Mapping[str, tuple[Session, ...]]] = MappingProxyType(
    {
        "NSE": _CASH,
        "BSE": _CASH,
        "INDICES": _CASH,
        "NFO": _DERIVATIVES,
        "BFO": _DERIVATIVES,
        "CDS": _CURRENCY,
        "BCD": _CURRENCY,
        "MCX": _COMMODITY,
    }
)
"""Sessions by exchange segment. Special days (Muhurat, Saturdays) are in no table: give your own for them."""


@dataclass(frozen=True, slots=True)
class Placed:
    """The session of each of some instants.

    Attributes:
        session: its name.
        begin_ns: when it begins on that day; nanoseconds since the epoch.
        end_ns: when it ends.
    """

    session: pl.Series
    begin_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]


class Calendar:
    """Sessions in a form that places many ticks at once.

    Attributes:
        dtype: the names of all sessions, and `outside`.
    """

    def __init__(self, sessions: Mapping[str, Sequence[Session]] = SESSIONS) -> None:
        """Lay the sessions of each exchange segment over the day; what is between them is outside.

        Raises:
            ValueError: two sessions of a segment overlap, or are not in their order.
        """
        names = [session.name for several in sessions.values() for session in several]
        self.dtype = pl.Enum(list(dict.fromkeys([*names, WHOLE_DAY, OUTSIDE])))
        codes = {name: code for code, name in enumerate(self.dtype.categories)}
        self._days = {
            segment: _laid_over_a_day(segment, several, codes) for segment, several in sessions.items()
        }
        self._unknown = np.array([codes[WHOLE_DAY]], np.uint32), np.array([0, DAY_NS])

    def place(self, segment: pl.Series, at_ns: NDArray[np.int64]) -> Placed:
        """Give the session of each instant.

        Args:
            segment: the exchange segment of each, by name.
            at_ns: the instants, nanoseconds since the epoch.
        """
        midnight = (at_ns + IST_NS) // DAY_NS * DAY_NS - IST_NS
        since = at_ns - midnight
        codes = np.empty(at_ns.size, np.uint32)
        begin, end = np.empty_like(at_ns), np.empty_like(at_ns)
        for name in segment.unique():
            here = (segment == name).to_numpy()
            words, edges = self._days.get(name, self._unknown)
            which = np.searchsorted(edges, since[here], side="right") - 1
            codes[here] = words[which]
            begin[here], end[here] = edges[which], edges[which + 1]
        names = pl.Series("session", self.dtype.categories, self.dtype)
        return Placed(names.gather(pl.Series(codes)), midnight + begin, midnight + end)


def _laid_over_a_day(
    segment: str, sessions: Sequence[Session], codes: Mapping[str, int]
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Give the codes of what fills the day without holes, and the edges: one more than there are codes."""
    names: list[str] = []
    edges = [0]
    for session in sessions:
        begin, end = _since_midnight(session.begin), _since_midnight(session.end)
        if begin < edges[-1]:
            raise ValueError(f"the session {session.name} of {segment} begins before the one before it ends")
        if begin > edges[-1]:
            names.append(OUTSIDE)
            edges.append(begin)
        names.append(session.name)
        edges.append(end)
    if edges[-1] < DAY_NS:
        names.append(OUTSIDE)
        edges.append(DAY_NS)
    return np.array([codes[name] for name in names], np.uint32), np.array(edges, np.int64)


def _since_midnight(at: time) -> int:
    seconds = at.hour * 3_600 + at.minute * 60 + at.second
    return seconds * NS_PER_S + at.microsecond * 1_000
