"""The kinds of values that options take: durations, sizes, speeds, instants."""

from __future__ import annotations

import re
from datetime import datetime, time
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from kiterec.clock import IST, SYSTEM_CLOCK, ist, to_ns

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SECONDS: Final = {"ms": 0.001, "s": 1, "": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}
_BYTES: Final = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", re.IGNORECASE)


class Place(click.Path):
    """A path; where a verb only reads a recording, also the URL of one elsewhere, which stays text."""

    def __init__(self, *, anywhere: bool) -> None:
        super().__init__(path_type=Path)
        self._anywhere = anywhere

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give a Path or, of a URL, the text as it is."""
        if not isinstance(value, str) or not _URL.match(value):
            return super().convert(value, param, ctx)
        if not self._anywhere:
            self.fail("it takes a folder on a disk; copy the recording there first", param, ctx)
        return value


RECORDING: Final = Place(anywhere=True)
"""A recording that is only read."""

ON_DISK: Final = Place(anywhere=False)
"""A recording, or a folder of recordings, that is locked, checked or changed where it is."""


class Target(click.Path):
    """A path that is written to; a URL, which may have a password, must not become a folder's name."""

    def __init__(self, *, dir_okay: bool = True) -> None:
        super().__init__(path_type=Path, dir_okay=dir_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give a Path."""
        if isinstance(value, str) and _URL.match(value):
            self.fail("it writes to a disk only; give a path, and copy from there", param, ctx)
        return super().convert(value, param, ctx)


TARGET: Final = Target()
"""A folder that is written."""

TARGET_FILE: Final = Target(dir_okay=False)
"""A file that is written."""


def _refuse(text: str, what: str, like: str) -> NoReturn:
    raise click.BadParameter(f"{text!r} is no {what}; write it like {like}")


def duration(text: str) -> float:
    """Read `250ms`, `30s`, `15m`, `1.5h` or a bare number of seconds; gives seconds."""
    found = _AMOUNT.fullmatch(text.strip())
    factor = _SECONDS.get(found[2].lower()) if found else None
    if found is None or factor is None:
        _refuse(text, "duration", "250ms, 30s, 15m or 1.5h")
    return float(found[1]) * factor


def duration_or_none(text: str) -> float | None:
    """Read a duration, or the word `none`, which gives None."""
    return None if text.lower() == "none" else duration(text)


def size(text: str) -> int:
    """Read `64MiB`, `1GB` or a bare number of bytes; gives bytes."""
    found = _AMOUNT.fullmatch(text.strip())
    factor = _BYTES.get(found[2].lower()) if found else None
    if found is None or factor is None:
        _refuse(text, "size", "64MiB or 1GB")
    return round(float(found[1]) * factor)


def speed(text: str) -> float | None:
    """Read a factor such as `10` or `0.5x`, or `max`, which gives None."""
    if text == "max":
        return None
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        _refuse(text, "speed", "0.5, 10 or max")
    return factor


def instant(text: str) -> int:
    """Read a time of today or a date and time, in IST unless it has a zone; gives nanoseconds UTC."""
    try:
        return wall_time(text, day_ns=SYSTEM_CLOCK.now_ns())
    except ValueError:
        _refuse(text, "time", "15:30, 09:15:00.5 or 2026-01-05T09:15 (IST)")


def wall_time(text: str, *, day_ns: int) -> int:
    """Read a wall-clock time in IST.

    Args:
        text: `HH:MM[:SS[.f]]`, which is completed with a date, or an ISO date and time.
        day_ns: an instant of the day that completes a bare time.

    Returns:
        Nanoseconds since the epoch, UTC.

    Raises:
        ValueError: the text is neither.
    """
    text = text.strip()
    if text[4:5] == "-":
        read = datetime.fromisoformat(text)
    else:
        read = datetime.combine(ist(day_ns).date(), time.fromisoformat(text))
    return to_ns(read if read.tzinfo else read.replace(tzinfo=IST))
