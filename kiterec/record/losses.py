"""What of a recording is missing, in plain sentences."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kiterec.clock import NS_PER_S
from kiterec.store.manifest import Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kiterec.errors import KiterecError
    from kiterec.record.result import Ending
    from kiterec.store.summary import ConnectionSummary, Summary

logger = logging.getLogger(__name__)


def tell_the_end(path: Path, ending: Ending, summary: Summary | None) -> None:
    """Log that a recording has ended, and warn when nothing of the market is in it."""
    if summary is None:
        return  # why it could not be finished has been told
    logger.info(
        "recording ended: path=%s because=%s frames=%d ticks=%d", path, ending, summary.frames, summary.ticks
    )
    if summary.ticks:
        return
    if summary.wire_bytes:
        because = "the server sent no ticks; is the market open, and are the instruments in today's dump?"
    else:
        because = "the server sent not a single message"
    logger.warning("nothing was received: %s", because)


def find_losses(
    summary: Summary | None, *, refusals: Mapping[str, int] | None = None, failure: KiterecError | None = None
) -> tuple[str, ...]:
    """Give a sentence for each thing that is missing or damaged; none when all is there.

    Args:
        summary: of the recording; None when it could not be closed.
        refusals: how often the server refused something, by connection.
        failure: is told elsewhere, and not repeated.
    """
    if summary is None:
        return ("the recording was not finished; kiterec recover seals what is there",)
    found = []
    if summary.lost_rows:
        found.append(f"{summary.lost_rows:,} rows that were received are not in the recording")
    if summary.damage:
        found.append(f"{len(summary.damage):,} ranges are damaged")
    if summary.status is Status.RECORDING:
        found.append("not all of it could be sealed; kiterec recover does it when there is room")
    found += [sentence for sentence in (*summary.problems, *summary.notes) if sentence != str(failure)]
    found += [_missed(entry) for entry in summary.connections if entry.gaps]
    found += [
        f"{name}: the server refused {count:,} request{'s' * (count > 1)}; the refused rows say what"
        for name, count in (refusals or {}).items()
        if count and not any(line.startswith(f"{name} missed") for line in found)
    ]
    return tuple(found)


def _missed(entry: ConnectionSummary) -> str:
    seconds = sum(gap.to_ns - gap.from_ns for gap in entry.gaps) / NS_PER_S
    count = f"{len(entry.gaps):,} gaps" if len(entry.gaps) > 1 else "1 gap"
    return (
        f"{entry.connection} missed {seconds:,.1f} s in {count}; the last one because {entry.gaps[-1].reason}"
    )
