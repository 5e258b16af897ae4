"""Times as the vendor writes them in text: IST wall time without a zone, or ISO 8601 with one."""

from __future__ import annotations

from datetime import UTC, datetime

from kiterec.clock import IST


def read_time(value: object) -> datetime | None:
    """Give the UTC instant of a time in text; None for anything that is no time."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=IST)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def ist_wall_time(instant: datetime) -> str:
    """Give `2022-03-03 09:24:25`, what clocks in India show at an instant; the opposite of `read_time`.

    Raises:
        ValueError: the datetime has no zone.
    """
    if instant.tzinfo is None:
        raise ValueError(f"{instant} has no time zone; give one, such as UTC")
    return instant.astimezone(IST).replace(tzinfo=None).isoformat(sep=" ")
