"""Reads `--from` and `--to`: bare times are of the day that the recording began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kiterec.amounts import ist_instant
from kiterec.cli.parameters import wall_time
from kiterec.clock import SYSTEM_CLOCK, to_ns, utc

if TYPE_CHECKING:
    from datetime import datetime

    from kiterec.recording import Recording

Span = tuple["datetime | None", "datetime | None"]


def read_span(recording: Recording, begin: str | None, end: str | None) -> Span:
    """Give both ends as UTC instants; None where none was given.

    Raises:
        click.BadParameter: one is no time, or the begin is not before the end.
    """
    created_at = recording.manifest.created_at
    day_ns = SYSTEM_CLOCK.now_ns() if created_at is None else to_ns(created_at)
    span = _read(begin, day_ns, "--from"), _read(end, day_ns, "--to")
    if span[0] is not None and span[1] is not None and span[0] >= span[1]:
        raise click.BadParameter(
            f"{begin!r} is not before --to {end!r}; {_held(recording)}", param_hint="--from"
        )
    return span


def say_if_outside(recording: Recording, span: Span) -> None:
    """Say on stderr what a recording holds, when a span has nothing of it."""
    begin, end = span
    if begin is None and end is None:
        return
    first, last = _ends(recording)
    if first is None or last is None:
        return
    if (begin is not None and to_ns(begin) > last) or (end is not None and to_ns(end) <= first):
        click.echo(f"kiterec: nothing was received between --from and --to; {_held(recording)}", err=True)


def _held(recording: Recording) -> str:
    first, last = _ends(recording)
    if first is None or last is None:
        return f"{recording.path} is empty"
    return f"{recording.path} has {ist_instant(first)} to {ist_instant(last)} IST"


def _ends(recording: Recording) -> tuple[int | None, int | None]:
    from kiterec.store.summary import summarize

    summary = summarize(recording.path)
    return summary.begin_ns, summary.end_ns


def _read(text: str | None, day_ns: int, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        return utc(wall_time(text, day_ns=day_ns))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; write it like 09:15:00.5 or 2026-01-05T09:15", param_hint=option
        ) from None
