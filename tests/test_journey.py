"""The whole way: simulate, record, seal, replay in exact mode, record again: byte for byte the same."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import kiterec
from kiterec.feed.account import Account
from kiterec.record.config import RecordConfig
from kiterec.record.recorder import Recorder
from kiterec.record.result import Ending, RecordResult
from kiterec.replay.recorded import RecordedTimeline
from kiterec.replay.server import ReplayServer
from kiterec.simulate.market import SyntheticMarket
from kiterec.store.options import StoreOptions
from kiterec.store.transcript import read_transcript
from kiterec.wire.transcript import RECEIVED_KINDS

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 90
SEED = 20260105
INSTRUMENTS = 60


async def record(url: str, out: Path, *, until: asyncio.Event | None = None) -> RecordResult:
    config = RecordConfig(
        accounts=[Account(name="main", api_key="key", access_token="token")],
        instruments=["all"],
        url=url,
        out=out,
        # A part is sealed while the next one is written.
        store=StoreOptions(part_bytes=64 << 10),
    )
    return await Recorder(config).run(until)


async def record_until_finished(server: ReplayServer, out: Path) -> RecordResult:
    done = asyncio.Event()
    recording = asyncio.create_task(record(server.url, out, until=done))
    finished = asyncio.create_task(server.finished())
    await asyncio.wait([recording, finished], return_when=asyncio.FIRST_COMPLETED)
    if not finished.done():
        finished.cancel()
    else:
        await finished
    done.set()
    return await recording


async def simulate_and_record(out: Path) -> RecordResult:
    market = SyntheticMarket(instruments=INSTRUMENTS, seed=SEED, duration_s=30)
    async with asyncio.timeout(DEADLINE_S), ReplayServer(market, speed=10, wait_for_clients=3) as server:
        return await record_until_finished(server, out)


async def replay_and_record(path: Path, out: Path, *, speed: float | None) -> RecordResult:
    timeline = RecordedTimeline(path)
    async with asyncio.timeout(DEADLINE_S), ReplayServer(timeline, exact=True, speed=speed) as server:
        return await record_until_finished(server, out)


def received(path: Path) -> dict[str, list[bytes]]:
    payloads: dict[str, list[bytes]] = defaultdict(list)
    for batch in read_transcript(path, columns=["connection", "kind", "payload"]):
        for row in batch.to_pylist():
            if row["kind"] in RECEIVED_KINDS:
                payloads[row["connection"]].append(row["payload"])
    return dict(payloads)


def digest(payloads: list[bytes]) -> str:
    whole = hashlib.sha256()
    for payload in payloads:
        whole.update(len(payload).to_bytes(8) + payload)
    return whole.hexdigest()


def partners(first: dict[str, list[bytes]], again: dict[str, list[bytes]]) -> dict[str, str]:
    """Which connection of the second recording has the payloads of which of the first.

    Exact mode gives its recorded connections to clients in the order in which they connect.
    """
    by_digest = {digest(payloads): name for name, payloads in again.items()}
    return {name: by_digest.get(digest(payloads), "nobody") for name, payloads in first.items()}


def ticks_of(path: Path, connection: str) -> pl.DataFrame:
    mine = kiterec.open(path).ticks().filter(pl.col("connection").cast(pl.String) == connection)
    return mine.drop("seq", "received_at", "connection").collect()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> RecordResult:
    return asyncio.run(simulate_and_record(tmp_path_factory.mktemp("recorded")))


def test_the_market_is_recorded_over_three_connections_and_sealed(recorded: RecordResult) -> None:
    assert recorded.ending is Ending.STOPPED
    assert recorded.failure is None
    recording = kiterec.open(recorded.path)
    assert recording.manifest.status == "complete"
    assert sorted(received(recorded.path)) == ["main-0", "main-1", "main-2"]
    ticks = recording.ticks().collect()
    assert ticks["instrument_token"].n_unique() == INSTRUMENTS
    assert len(recording.manifest.parts) > 3, "no part was sealed while recording"


def test_seq_has_no_holes(recorded: RecordResult) -> None:
    seq = [
        seq for batch in read_transcript(recorded.path, columns=["seq"]) for seq in batch["seq"].to_pylist()
    ]
    assert seq == list(range(len(seq)))


@pytest.mark.parametrize("speed", [None, 10.0, 1.0], ids=["max", "10x", "1x"])
def test_an_exact_replay_recorded_again_is_the_same_byte_for_byte(
    recorded: RecordResult, tmp_path: Path, speed: float | None
) -> None:
    again = asyncio.run(replay_and_record(recorded.path, tmp_path, speed=speed))
    first, second = received(recorded.path), received(again.path)
    assert sorted(second) == sorted(first)
    pairs = partners(first, second)
    assert sorted(pairs.values()) == sorted(second), f"seed {SEED}: {pairs}"
    for name, partner in pairs.items():
        assert_frame_equal(ticks_of(recorded.path, name), ticks_of(again.path, partner))
