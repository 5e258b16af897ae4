"""What went wrong, one record for each fault that happened."""

from __future__ import annotations

import msgspec


class FaultEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that happened.

    Attributes:
        kind: the word that it has in TOML.
        seat: whose, from 1; 0 for an attempt to connect.
        number: its n-th frame, snapshot or attempt.
        seq: the row of the recording that was reached.
        at_s: seconds of the timeline.
    """

    kind: str
    seat: int
    number: int
    seq: int
    at_s: float
