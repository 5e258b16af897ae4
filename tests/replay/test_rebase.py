"""Exchange times moved to today: in packets, snapshots and answers over HTTP, and nothing else."""

from __future__ import annotations

import asyncio
import json
import random
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from kiteconnect import KiteConnect

import kiterec
from kiterec.cli.replay import replay
from kiterec.clock import IST, NS_PER_S, utc
from kiterec.errors import ReplayError
from kiterec.replay.playback import Stretch
from kiterec.replay.rebased import RebasedTimeline, move_times
from kiterec.replay.server import ReplayServer
from kiterec.wire.frames import is_heartbeat, split_frame
from kiterec.wire.packets import LAYOUTS, Mode
from tests.judges.judge import PYTHON_TICKER, judging
from tests.replay.handmade import DEADLINE_S, MS, HandmadeTimeline, frame, listening, packet, run

if TYPE_CHECKING:
    from kiterec.replay.testing import KiteReplayFactory

RECORDING = Path(__file__).parents[1] / "fixtures/recordings/date=2026-01-05/recording=100000-synthetic"
RECORDED_S = 1_700_000_000
NOW_S = 1_800_000_000


class Dated(HandmadeTimeline):
    start_ns = RECORDED_S * NS_PER_S + 400 * MS


class HandMovedClock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def now_ns(self) -> int:
        return self.now_s * NS_PER_S + 600 * MS

    def monotonic_ns(self) -> int:
        return 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HandMovedClock:
    moved = HandMovedClock()
    monkeypatch.setattr(
        "kiterec.replay.server.RebasedTimeline", lambda timeline: RebasedTimeline(timeline, clock=moved)
    )
    return moved


def ticking(seconds: int, **options) -> Dated:
    """Give a frame a second, each with its second as time, and an index beside it."""
    rows = [(n * 1000, 0, frame(at(RECORDED_S + n), index_at(RECORDED_S + n))) for n in range(seconds)]
    return Dated(rows, **options)


def at(second: int) -> bytes:
    return packet(184, 256, last_price=second % 1000, exchange_timestamp=second, last_trade_time=second - 3)


def index_at(second: int) -> bytes:
    return packet(32, 265, last_price=second % 1000, exchange_timestamp=second)


def times(client) -> list[int]:
    """Give the exchange time of each full packet that the client got."""
    return [int.from_bytes(part[60:64]) for part in client.packets if len(part) == 184]


def moved_by_hand(message: bytes, by_s: int) -> bytes:
    """Move the times of a whole frame, packet by packet."""
    packets = []
    for part in split_frame(message):
        data = bytearray(part)
        for field in LAYOUTS[len(part)].fields if len(part) in LAYOUTS else ():
            second = int.from_bytes(part[field.offset : field.offset + 4])
            if field.unit == "time" and second:
                data[field.offset : field.offset + 4] = ((second + by_s) % (1 << 32)).to_bytes(4)
        packets.append(bytes(data))
    return frame(*packets)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("type_", [pa.binary(), pa.large_binary()])
def test_only_times_are_moved_and_everything_else_stays_byte_for_byte(seed: int, type_: pa.DataType) -> None:
    rng = random.Random(seed)
    by_s = rng.choice([1, -1, 86_400, -(1 << 31), (1 << 32) - 7, rng.randrange(-(10**9), 10**9)])
    frames = []
    for _ in range(30):
        lengths = rng.choices([8, 28, 32, 44, 184, 64, 0], k=rng.randrange(6))
        parts = [bytearray(rng.randbytes(length)) for length in lengths]
        for part in parts:
            if len(part) == 184 and rng.random() < 0.3:
                part[44:48] = part[60:64] = bytes(4)
        frames.append(frame(*map(bytes, parts)))
    frames[7], frames[20] = b"\x00", b""
    payloads = pa.array(frames, type_).slice(3, 25)
    binary = np.array([rng.random() < 0.9 for _ in range(25)])
    moved = move_times(payloads, by_s=by_s, binary=binary).to_pylist()
    expected = [
        moved_by_hand(message, by_s) if is_frame and not is_heartbeat(message) else message
        for message, is_frame in zip(payloads.to_pylist(), binary, strict=True)
    ]
    assert moved == expected, f"seed {seed}, by {by_s}"
    assert payloads.to_pylist() == frames[3:28]
    assert move_times(payloads, by_s=0) is payloads


def test_a_client_sees_the_start_as_now_and_time_pass_as_recorded(clock: HandMovedClock) -> None:
    async def main() -> None:
        timeline = ticking(5)
        async with (
            ReplayServer(timeline, speed=None, rebase="now") as server,
            listening(server.url) as client,
        ):
            await client.want(Mode.FULL, 256, 265)
            await client.until_closed()
            # 400 ms past the second was recorded, it is 600 ms past it now: the whole second is kept.
            assert client.frames == [moved_by_hand(m, NOW_S - RECORDED_S) for _, _, m in timeline.rows]
            assert times(client) == [NOW_S + n for n in range(5)]
            assert server.stats().time_ns == timeline.start_ns + 4 * NS_PER_S

    run(main())


def test_order_updates_keep_their_recorded_dates(clock: HandMovedClock) -> None:
    order = '{"type":"order","data":{"order_id":"1","order_timestamp":"2023-11-14 22:13:20"}}'

    async def main() -> None:
        timeline = Dated([(0, 0, frame(at(RECORDED_S))), (5, 0, order)])
        async with (
            ReplayServer(timeline, speed=None, rebase="now") as server,
            listening(server.url) as client,
        ):
            await client.want(Mode.FULL, 256)
            await client.until_closed()
            assert client.texts[-1] == order
            assert times(client) == [NOW_S]

    run(main())


def test_now_is_when_the_clients_are_there_and_where_the_stretch_begins(clock: HandMovedClock) -> None:
    async def main() -> None:
        server = ReplayServer(
            ticking(9, rows_per_batch=2), speed=None, rebase="now", stretch=Stretch(begin_ns=5 * NS_PER_S)
        )
        async with server, listening(server.url) as client:
            clock.now_s += 1_000  # somebody kept us waiting
            await client.want(Mode.FULL, 256)
            await client.until_closed()
            now_s = NOW_S + 1_000
            assert times(client)[-4:] == [now_s + n for n in range(4)]
            # Before, the client may have been told the state as of the server's start, and as of now.
            assert set(times(client)[:-4]) <= {NOW_S - 1, now_s - 1}

    run(main())


def test_a_jump_keeps_the_shift_and_a_new_round_is_now_again(clock: HandMovedClock) -> None:
    async def main() -> None:
        server = ReplayServer(ticking(4), speed=None, rebase="now", paused=True, at_end="loop")
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await server.step(3)
            clock.now_s += 50
            await server.seek(position_s=1)
            await server.step()
            await client.until(lambda: len(times(client)) >= 5)
            # Three frames, the state after the jump, and the second frame again.
            assert times(client) == [NOW_S, NOW_S + 1, NOW_S + 2, NOW_S, NOW_S + 1]
            await server.step(3)
            await client.until(lambda: times(client)[-1] == NOW_S + 50)

    run(main())


@pytest.mark.parametrize("state", ["snapshot", "quote"])
def test_snapshots_and_quotes_say_the_moved_times(clock: HandMovedClock, state: str) -> None:
    async def main() -> None:
        timeline = ticking(3, universe=[frame(packet(184, 256, exchange_timestamp=RECORDED_S - 1))])
        server = ReplayServer(timeline, rebase="now", paused=True, wait_for_clients=0)
        async with server:
            kite = KiteConnect("k", "t", root=server.http_url, timeout=DEADLINE_S)
            kite.reqsession.trust_env = False
            for known in (NOW_S - 1, NOW_S):
                if state == "quote":
                    quote = (await asyncio.to_thread(kite.quote, ["256"]))["256"]
                    assert quote["timestamp"].replace(tzinfo=IST).timestamp() == known
                else:
                    async with listening(server.url) as client:
                        await client.want(Mode.FULL, 256)
                        await client.until(lambda: client.frames)
                        assert times(client) == [known]
                await server.step()

    run(main())


def test_what_knows_no_date_or_is_exact_is_not_rebased() -> None:
    with pytest.raises(ReplayError, match="does not know when it was"):
        ReplayServer(HandmadeTimeline([]), rebase="now")
    with pytest.raises(ValueError, match="byte for byte"):
        ReplayServer(ticking(1), rebase="now", exact=True)
    with pytest.raises(ValueError, match="now or None"):
        ReplayServer(ticking(1), rebase="today")  # type: ignore[arg-type]
    refused = CliRunner().invoke(replay, [str(RECORDING), "--exact", "--rebase", "now"])
    assert refused.exit_code == 2
    assert "--rebase changes it; give one" in refused.output


def test_the_official_client_sees_today(kite_replay: KiteReplayFactory, tmp_path: Path) -> None:
    begun = int(time.time())
    kite = kite_replay(RECORDING, rebase="now", at_end="hold")
    opened = kiterec.open(RECORDING)
    tokens = opened.ticks().collect()["instrument_token"].unique().to_list()

    async def hear() -> list[dict]:
        async with (
            asyncio.timeout(2 * DEADLINE_S),
            judging(PYTHON_TICKER, kite.url, json.dumps({"full": tokens}), log=tmp_path / "log") as judge,
        ):
            await asyncio.to_thread(kite.wait_finished)
            sent = sum(isinstance(each.payload, bytes) for each in kite.sent)
            await judge.until(lambda: sum(len(data) > 4 for data in judge.frames) == sent)
            return judge.ticks

    ticks = asyncio.run(hear())
    today = {utc(second * NS_PER_S).date() for second in (begun, int(time.time()) + 120)}
    seen = {
        datetime.fromisoformat(tick["exchange_timestamp"]) for tick in ticks if "exchange_timestamp" in tick
    }
    assert {each.date() for each in seen} <= today
    assert max(seen) - min(seen) < timedelta(minutes=2)
    assert kite.stats().time_ns < begun * NS_PER_S

    rest = KiteConnect("k", "t", root=kite.rest_url, timeout=DEADLINE_S)
    rest.reqsession.trust_env = False
    begin = datetime.fromtimestamp(begun - 120, IST)
    found = rest.historical_data(
        tokens[0], f"{begin:%Y-%m-%d %H:%M:%S}", f"{begin + timedelta(hours=1):%Y-%m-%d %H:%M:%S}", "minute"
    )
    assert sum(each["date"] >= begin for each in found) == len(found) >= 1
    mine = opened.ticks().collect().filter(instrument_token=tokens[0])
    assert found[-1]["close"] == mine["last_price"][-1]
    assert max(each["high"] for each in found) == mine["last_price"].max()
