"""Reads `--from` and `--to`: bare times are of the day that the recording began."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kiterec.cli.parameters import wall_time
from kiterec.clock import SYSTEM_CLOCK, to_ns, utc

if TYPE_CHECKING:
    from datetime import datetime

    from kiterec.recording import Recording

Span = tuple["datetime | None", "datetime | None"]


def read_span(recording: Recording, begin: str | None, end: str | None) -> Span:
    """Give both ends as UTC instants; None where none was given.

    Raises:
        click.BadParameter: one is no time.
    """
    created_at = recording.manifest.created_at
    day_ns = SYSTEM_CLOCK.now_ns() if created_at is None else to_ns(created_at)
    return _read(begin, day_ns, "--from"), _read(end, day_ns, "--to")


def _read(text: str | None, day_ns: int, option: str) -> datetime | None:
    if text is None:
        return None
    try:
        return utc(wall_time(text, day_ns=day_ns))
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; write it like 09:15:00.5 or 2026-01-05T09:15", param_hint=option
        ) from None
