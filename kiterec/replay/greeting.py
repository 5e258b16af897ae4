"""The first text that a client gets: how many instruments there are and which version of their list."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from kiterec.replay.timeline import TimelineKind
from kiterec.wire.messages import InstrumentsMeta, decode_text, encode_text

if TYPE_CHECKING:
    from kiterec.replay.timeline import Timeline, TimelineBatch


def greeting_of(timeline: Timeline, instruments_csv: bytes | None) -> str:
    """Give the instruments_meta text: as recorded if the timeline begins with it, else made from the dump."""
    recorded = _recorded(timeline)
    if recorded is not None:
        return recorded
    csv = instruments_csv or b""
    count = max(0, csv.count(b"\n") - 1)
    return encode_text(InstrumentsMeta(count, f'W/"{zlib.crc32(csv):08x}-{len(csv):x}"'))


def _recorded(timeline: Timeline) -> str | None:
    batches = timeline.batches()
    try:
        first = next((batch for batch in batches if len(batch)), None)
    finally:
        if (close := getattr(batches, "close", None)) is not None:
            close()
    return None if first is None else _meta_in(first)


def _meta_in(batch: TimelineBatch) -> str | None:
    for row in (batch.kind == TimelineKind.TEXT).nonzero()[0].tolist():
        payload = batch.payloads[row].as_py()
        if isinstance(decode_text(payload), InstrumentsMeta):
            return payload.decode()  # type: ignore[no-any-return]
    return None
