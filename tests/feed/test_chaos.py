"""A few seconds of chaos; `make chaos` runs a minute of it."""

from __future__ import annotations

import random

from tests.feed.chaos import chaos
from tests.feed.exchange import run


def test_every_packet_is_delivered_or_lies_in_a_reported_gap() -> None:
    seed = random.randrange(2**32)
    outcome = run(chaos(seed, 3.0))
    assert not outcome.missing, f"seed {seed}: {outcome}"
    assert not outcome.doubled, f"seed {seed}: {outcome}"
    assert outcome.delivered > 0, f"seed {seed}: {outcome}"
