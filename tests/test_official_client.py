"""The vendor's own client as the judge: it cannot tell replay from Kite, and its values are ours.

Its reading differs from `kiterec.decode` in three places, each of which is checked here:

- it reads prices unsigned, so a negative price is 2^32 wire units too high;
- a time of 0 is 1970-01-01 for it and null for us;
- its times are naive and local, so it runs here with TZ=UTC; ours are UTC instants.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kiterec
from kiterec.replay.server import ReplayServer
from kiterec.wire.frames import is_heartbeat, split_frame
from kiterec.wire.packets import DEPTH_FIELDS, DEPTH_LEVELS, LAYOUTS, Mode, cut_packet
from kiterec.wire.segments import SEGMENTS
from tests.replay.handmade import HandmadeTimeline, frame, packet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytest.importorskip("kiteconnect")

TICKER = Path(__file__).parent / "replay" / "official_ticker.py"
DEADLINE_S = 60
SEED = 20_261_120
FRAMES = 40
INDEX_SEGMENT = 9
TOKENS = [
    (number << 8) + segment
    for number, segment in enumerate([1, 2, 3, 4, 5, 6, 7, 8, INDEX_SEGMENT, 12] * 5, start=1_000)
]
MODES = {
    mode.value: [token for position, token in enumerate(TOKENS) if position // 10 % 3 == mode.rank]
    for mode in Mode
}
UNTRADED, NEGATIVE = TOKENS[20], TOKENS[21]
"""Both in full mode."""

NEGATIVE_PRICE = -250

ORDER = json.dumps({"type": "order", "data": {"order_id": "151220000000000", "status": "TRIGGER PENDING"}})


def full_packet(rng: random.Random, token: int, number: int) -> bytes:
    """Make a packet whose last price counts the frames, so that each changes in every mode."""
    length = 32 if token & 0xFF == INDEX_SEGMENT else 184
    fields = {
        field.name: 1_763_700_000 + number if field.unit == "time" else rng.randrange(1, 2_000_000_000)
        for field in LAYOUTS[length].fields[1:]
    }
    fields["last_price"] = NEGATIVE_PRICE if token == NEGATIVE else 100_000 + number
    if token == UNTRADED:
        fields |= {"last_trade_time": 0, "open": 0, "high": 0, "low": 0}
    data = packet(length, token, **fields)
    if length == 184:
        data = data[: LAYOUTS[length].depth_offset] + rng.randbytes(120)
    return data


def market() -> HandmadeTimeline:
    rng = random.Random(SEED)
    rows: list[tuple[float, int, bytes | str | None]] = [
        (50 * number, 0, frame(*(full_packet(rng, token, number) for token in TOKENS)))
        for number in range(FRAMES)
    ]
    return HandmadeTimeline([*rows, (50 * FRAMES, 0, ORDER)])


def unsigned(price: float, divisor: int) -> float:
    return price if price >= 0 else (round(price * divisor) + (1 << 32)) / divisor


def as_official(row: dict[str, Any]) -> dict[str, Any]:
    """Give a row of `kiterec.decode` as the official client says it."""
    divisor = SEGMENTS.of(row["instrument_token"]).divisor
    tick = {name: row[name] for name in ("tradable", "mode", "instrument_token")}
    tick["last_price"] = unsigned(row["last_price"], divisor)
    if row["mode"] == "ltp":
        return tick
    tick["ohlc"] = {name: unsigned(row[name], divisor) for name in ("open", "high", "low", "close")}
    close = tick["ohlc"]["close"]
    tick["change"] = (tick["last_price"] - close) * 100 / close
    if row["last_price"] >= 0:
        assert row["change"] == pytest.approx(tick["change"], rel=1e-12)
    index = row["instrument_token"] & 0xFF == INDEX_SEGMENT
    names = (
        []
        if index
        else ["volume_traded", "last_traded_quantity", "total_buy_quantity", "total_sell_quantity"]
    )
    if row["mode"] == "full":
        tick["exchange_timestamp"] = naive(row["exchange_timestamp"])
        names += [] if index else ["oi", "oi_day_high", "oi_day_low"]
    tick |= {name: row[name] for name in names}
    if not index:
        tick["average_traded_price"] = unsigned(row["average_traded_price"], divisor)
    if row["mode"] == "full" and not index:
        tick["last_trade_time"] = naive(row["last_trade_time"])
        tick["depth"] = {side: depth(row, side, divisor) for side in ("buy", "sell")}
    return tick


def depth(row: dict[str, Any], side: str, divisor: int) -> list[dict[str, float]]:
    levels = [
        {field.name: row[f"{side}_{field.name}"][level] for field in DEPTH_FIELDS}
        for level in range(DEPTH_LEVELS)
    ]
    return [level | {"price": unsigned(level["price"], divisor)} for level in levels]


def naive(instant: datetime | None) -> str:
    return (instant.replace(tzinfo=None) if instant else datetime(1970, 1, 1)).isoformat()


@contextlib.asynccontextmanager
async def official_ticker(root: str, log: Path) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Run the client; give what it says, line by line."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W", "ignore",
            str(TICKER),
            root,
            json.dumps(MODES),
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            limit=1 << 24,
            env={**os.environ, "TZ": "UTC", "NO_PROXY": "*"},
        )  # fmt: skip
        try:
            yield lines(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[dict[str, Any]]:
    assert process.stdout
    while line := await process.stdout.readline():
        yield json.loads(line)


def last_wire_price(token: int) -> int:
    return NEGATIVE_PRICE + (1 << 32) if token == NEGATIVE else 100_000 + FRAMES - 1


async def listen(log: Path) -> tuple[list[dict[str, Any]], set[tuple[int, str]]]:
    """Listen until the client has the last price of every instrument in its mode, and the order.

    Gives what it said, and what is missing still at the deadline.
    """
    wanted = {(token, mode) for mode, tokens in MODES.items() for token in tokens}
    said: list[dict[str, Any]] = []
    with contextlib.suppress(TimeoutError):
        async with (
            asyncio.timeout(DEADLINE_S),
            ReplayServer(market(), at_end="hold") as server,
            official_ticker(server.url, log) as ticker,
            contextlib.aclosing(ticker) as client,
        ):
            async for line in client:
                said.append(line)
                for tick in line.get("ticks", ()):
                    divisor = SEGMENTS.of(tick["instrument_token"]).divisor
                    if round(tick["last_price"] * divisor) == last_wire_price(tick["instrument_token"]):
                        wanted.discard((tick["instrument_token"], tick["mode"]))
                if not wanted and any("order" in line for line in said):
                    break
    return said, wanted


def test_the_official_client_reads_the_same_values_from_replay_as_decode(tmp_path: Path) -> None:
    log = tmp_path / "ticker.log"
    said, missing = asyncio.run(listen(log))
    assert not missing, f"seed {SEED}: the client says {log.read_text()[-2000:]}"
    assert json.loads(said[0]["text"])["type"] == "instruments_meta"
    assert [line["order"] for line in said if "order" in line] == [json.loads(ORDER)["data"]]

    frames = [bytes.fromhex(line["frame"]) for line in said if "frame" in line]
    theirs = [tick for line in said for tick in line.get("ticks", ())]
    ours = [as_official(row) for row in kiterec.decode(frames).to_dicts()]
    assert len(theirs) >= len(TOKENS) * FRAMES // 2
    for expected, tick in zip(ours, theirs, strict=True):
        assert tick == expected, f"seed {SEED}"

    seen = {(tick["instrument_token"], tick["mode"]) for tick in theirs}
    assert {(token, mode) for mode, tokens in MODES.items() for token in tokens} <= seen
    recorded = [data for _, _, message in market().rows[:FRAMES] for data in split_frame(message)]
    possible = {cut_packet(data, mode) for data in recorded for mode in Mode}
    assert {
        data for received in frames if not is_heartbeat(received) for data in split_frame(received)
    } <= possible
