"""The candles of the REST twin: made a piece at a time, and the same as those of the whole tick table."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

import kiterec
from kiterec.clock import IST, to_ns
from kiterec.errors import CorruptPartError
from kiterec.replay.rest.candle_log import CandleLog
from kiterec.replay.rest.history import history
from kiterec.ticks.candles import candles
from tests.replay.handmade import MS, HandmadeTimeline, frame, packet

NSE, INDEX, MCX = 408065, 265, 263 << 8 | 7
EVERY_MS = 7_000
START = datetime(2026, 1, 5, 8, 57, tzinfo=IST)
FROM = START - timedelta(hours=1)
END = START + timedelta(hours=2)
INTERVALS = {"minute": "1m", "3minute": "3m", "10minute": "10m", "60minute": "1h"}


class Morning(HandmadeTimeline):
    """Across the pre-open and the opening; heartbeats, modes of all kinds, counters that are overtaken."""

    start_ns = to_ns(START)
    begun = 0

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        rows: list[tuple[float, int, bytes | str | None]] = []
        volume = 0
        for number in range(800):
            volume += rng.randrange(50)
            shown = max(0, volume - rng.choice([0, 0, 0, 20]))
            packets = [packet(8, NSE, last_price=rng.randrange(900, 1100))]
            if rng.random() < 0.7:
                packets.append(packet(44, NSE, last_price=rng.randrange(900, 1100), volume_traded=shown))
            if rng.random() < 0.3:
                packets.append(packet(32, INDEX, last_price=rng.randrange(900, 1100)))
                packets.append(
                    packet(184, MCX, last_price=rng.randrange(90, 110), volume_traded=volume, oi=volume)
                )
            rows += [(number * EVERY_MS, 0, frame(*packets)), (number * EVERY_MS, 0, b"\x00")]
        super().__init__(rows, rows_per_batch=rng.choice([40, 100, 5000]))

    def batches(self):
        self.begun += 1
        return super().batches()


def expected(timeline: Morning, token: int, interval: str, until_ns: int) -> list[list]:
    rows = [(ms, data) for ms, _, data in timeline.rows if ms * MS <= until_ns and len(data) > 1]
    at = np.array([timeline.start_ns + round(ms) * MS for ms, _ in rows], np.int64)
    ticks = kiterec.decode([data for _, data in rows], received_at=at)
    made = candles(ticks.lazy(), INTERVALS[interval]).collect().filter(pl.col("instrument_token") == token)
    return [
        [f"{row['begin'].astimezone(IST):%Y-%m-%dT%H:%M:%S%z}", row["open"], row["high"], row["low"],
         row["close"], row["volume"] or 0, row["oi"] or 0]
        for row in made.sort("begin").to_dicts()
    ]  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_candles_made_piece_by_piece_are_those_of_the_whole_table(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiterec.replay.rest.candle_log.CHUNK_TICKS", 150)
    timeline = Morning(seed)
    log = CandleLog(timeline)
    begun = 0
    for position, readings in (
        (-1, 1),
        (1_000, 1),
        (1_000, 1),
        (2_503, 1),
        (5_600, 1),
        (1_500, 2),
        (9_999, 2),
    ):
        until_ns = position * 1000 * MS
        while not log.advance(until_ns, start_ns=timeline.start_ns, within_s=0):
            begun += 1
        for token in (NSE, INDEX, MCX, 999):
            for interval in INTERVALS:
                found = history(log.minutes(token), interval, begin=FROM, end=END, with_oi=True)
                assert found == expected(timeline, token, interval, until_ns), (
                    seed,
                    position,
                    token,
                    interval,
                )
        assert timeline.begun == readings + 1
    assert begun >= 3


def test_another_start_is_another_log_and_a_failure_is_no_end() -> None:
    timeline = Morning(1)
    log = CandleLog(timeline)
    later_ns = timeline.start_ns + 3_600_000 * MS
    for start_ns in (timeline.start_ns, later_ns):
        assert log.advance(100_000 * MS, start_ns=start_ns, within_s=10)
        assert log.minutes(NSE)["begin"].cast(pl.Int64)[0] == start_ns

    def torn():
        yield next(Morning(1).batches())
        raise CorruptPartError("part-1 is damaged")

    timeline.batches = torn
    for _ in range(2):
        with pytest.raises(CorruptPartError):
            log.advance(10_000_000 * MS, start_ns=timeline.start_ns, within_s=10)
    del timeline.batches
    assert log.advance(10_000_000 * MS, start_ns=timeline.start_ns, within_s=10)
    assert history(log.minutes(NSE), "minute", begin=FROM, end=END, with_oi=True) == expected(
        timeline, NSE, "minute", 10_000_000 * MS
    )
