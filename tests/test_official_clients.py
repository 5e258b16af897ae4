"""The vendor's own clients as judges: they cannot tell replay from Kite, and their values are ours.

Each runs unmodified in a process of its own, over one recording, at speed max. Both lose their connection
in the middle and come back by themselves; both stay connected through twelve seconds of pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import kiterec
from kiterec.clock import IST, NS_PER_S, utc
from kiterec.replay.fault_kinds import Reset
from kiterec.replay.faults import FaultInjector
from kiterec.replay.recorded import RecordedTimeline
from kiterec.replay.scenario import Scenario
from kiterec.replay.server import ReplayServer
from kiterec.simulate import VIRTUAL_START
from kiterec.ticks.candles import candles
from kiterec.wire.frames import is_heartbeat, split_frame
from kiterec.wire.packets import cut_packet
from tests.judges import judge as judges
from tests.judges import judged
from tests.judges.judge import Judge, answer, judging, why_no_js
from tests.judges.readings import as_js, as_python

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("kiteconnect")

DEADLINE_S = 90
PAUSE_S = 12
RESET_AT, PAUSED_AT = 15, 25
TOKEN = judged.TOKENS[3]
STRETCH = ("2026-01-05 10:00:00", "2026-01-05 10:30:00")


@dataclass
class Heard:
    """What one client said, and how many lines of it were there before and after the pause."""

    modes: judged.Modes
    judge: Judge
    before: int = 0
    after: int = 0


@dataclass
class Hearing:
    """Everything that the tests below look at."""

    recording: Path
    python: Heard
    js: Heard | None
    rest: dict[str, dict[str, Any]]
    clients: list[list[str]]


@pytest.fixture(scope="module")
def hearing(tmp_path_factory: pytest.TempPathFactory) -> Hearing:
    return asyncio.run(hear(tmp_path_factory.mktemp("judged")))


async def hear(folder: Path) -> Hearing:
    recording = judged.record(folder)
    faults = FaultInjector(Scenario(faults=(Reset(at_frame=RESET_AT),)))
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(asyncio.timeout(DEADLINE_S))
        server = await stack.enter_async_context(
            ReplayServer(
                RecordedTimeline(recording), speed=None, lockstep=True, paused=True, at_end="hold",
                hook=faults, wait_for_clients=1 if why_no_js() else 2,
            )
        )  # fmt: skip

        async def start(command: list[str], turn: int) -> Heard:
            modes = judged.modes(turn)
            log = folder / f"client-{turn}.log"
            judge = judging(command, server.url, json.dumps(modes), log=log)
            return Heard(modes, await stack.enter_async_context(judge))

        python = await start(judges.PYTHON_TICKER, 0)
        js = None if why_no_js() else await start(judges.JS_TICKER, 1)
        everybody = [each for each in (python, js) if each]
        await server.step(PAUSED_AT)
        for each in everybody:
            await each.judge.until(lambda each=each: has_frame(each, PAUSED_AT - 1))
            each.before = len(each.judge.said)
        clients = [[client.name for client in server.clients()]]
        rest, _ = await asyncio.gather(ask(server, js=js is not None), asyncio.sleep(PAUSE_S))
        clients.append([client.name for client in server.clients()])
        for each in everybody:
            each.after = len(each.judge.said)
        server.resume()
        for each in everybody:
            await each.judge.until(lambda each=each: each.judge.orders)
    return Hearing(recording, python, js, rest, clients)


def has_frame(each: Heard, number: int) -> bool:
    """Tell whether the client has got the frame of this number."""
    price = (100_000 + number) / 100
    return any(tick["instrument_token"] == TOKEN and tick["last_price"] == price for tick in each.judge.ticks)


async def ask(server: ReplayServer, *, js: bool) -> dict[str, dict[str, Any]]:
    """Let the REST classes read the market while the replay is paused."""
    symbols = json.dumps([judged.symbol(token) for token in judged.TOKENS])
    arguments = (server.http_url, symbols, str(TOKEN), *STRETCH)
    commands = {"python": judges.PYTHON_REST, **({"js": judges.JS_REST} if js else {})}
    answers = await asyncio.gather(*(answer(command, *arguments) for command in commands.values()))
    return dict(zip(commands, answers, strict=True))


def client(hearing: Hearing, name: str) -> Heard:
    heard = hearing.python if name == "python" else hearing.js
    if heard is None:
        pytest.skip(why_no_js())
    return heard


@pytest.mark.parametrize(("name", "reading"), [("python", as_python), ("js", as_js)])
def test_a_clients_ticks_are_those_of_decode_field_by_field(
    hearing: Hearing, name: str, reading: Any
) -> None:
    judge = client(hearing, name).judge
    data = [frame for frame in judge.frames if not is_heartbeat(frame)]
    expected = [reading(row) for row in kiterec.decode(data).to_dicts()]
    assert len(expected) >= judged.FRAMES * len(judged.TOKENS)
    for ours, theirs in zip(expected, judge.ticks, strict=True):
        assert theirs == ours, f"seed {judged.SEED}"
    assert judge.orders == [judged.ORDER]


@pytest.mark.parametrize("name", ["python", "js"])
def test_a_client_gets_each_recorded_packet_in_its_mode_though_it_was_away_once(
    hearing: Hearing, name: str
) -> None:
    heard = client(hearing, name)
    expected = judged.expected_packets(heard.modes)
    got: dict[int, list[bytes]] = {token: [] for token in judged.TOKENS}
    for frame in heard.judge.frames:
        for packet in () if is_heartbeat(frame) else split_frame(frame):
            got[int.from_bytes(packet[:4])].append(packet)
    for mode, tokens in heard.modes.items():
        for token in tokens:
            # Between subscribe and mode a slow client may be told a snapshot in quote mode.
            mine = [packet for packet in got[token] if packet in expected[token]]
            others = {cut_packet(packet, "quote") for packet in judged.recorded_packets(token)}
            assert {packet for packet in got[token] if packet not in expected[token]} <= others
            assert [packet for packet, _ in groupby(mine)] == expected[token], (name, mode, token)


@pytest.mark.parametrize("name", ["python", "js"])
def test_a_client_comes_back_once_and_stays_connected_through_the_pause(hearing: Hearing, name: str) -> None:
    heard = client(hearing, name)
    assert heard.judge.events == ["connect", "close", "connect"]
    during = heard.judge.said[heard.before : heard.after]
    assert len([line for line in during if line.get("frame") == "00"]) >= 3
    assert [line for line in during if "event" in line] == []
    assert hearing.clients[0] == hearing.clients[1]


@pytest.mark.parametrize("name", ["python", "js"])
def test_a_clients_rest_class_reads_the_instant_of_the_pause(hearing: Hearing, name: str) -> None:
    client(hearing, name)
    read = hearing.rest[name]
    recording = kiterec.open(hearing.recording)
    listed = [each for each in read["instruments"] if each["instrument_token"]]
    assert [int(each["instrument_token"]) for each in listed] == judged.TOKENS
    assert [f"{each['exchange']}:{each['tradingsymbol']}" for each in listed] == [*read["quote"]]

    until = utc(VIRTUAL_START + PAUSED_AT * judged.FRAME_S * NS_PER_S)
    ticks = recording.ticks(end=until)
    for row in ticks.group_by("instrument_token").last().collect().to_dicts():
        quote = read["quote"][judged.symbol(row["instrument_token"])]
        short = {name: row[name] for name in ("instrument_token", "last_price")}
        ohlc = {name: row[name] for name in ("open", "high", "low", "close")}
        assert {"ohlc": ohlc, **short}.items() <= quote.items()
        assert read["ohlc"][judged.symbol(row["instrument_token"])] == {"ohlc": ohlc, **short}
        assert read["ltp"][judged.symbol(row["instrument_token"])] == short
        if row["buy_price"] is not None:
            assert [level["price"] for level in quote["depth"]["buy"]] == row["buy_price"]
            assert [level["orders"] for level in quote["depth"]["sell"]] == row["sell_orders"]
            assert (quote["volume"], quote["oi"]) == (row["volume_traded"], row["oi"])

    mine = ticks.filter(pl.col("instrument_token") == TOKEN)
    expected = [
        {"close": row["close"], "high": row["high"], "low": row["low"], "oi": row["oi"], "open": row["open"],
         "volume": row["volume"], "minute": row["begin"].astimezone(IST).strftime("%H:%M")}
        for row in candles(mine, "1m").sort("begin").collect().to_dicts()
    ]  # fmt: skip
    found = read["candles"]
    assert len(found) == 2
    for ours, theirs in zip(expected, found, strict=True):
        begin = f"{utc(VIRTUAL_START).astimezone(IST):%Y-%m-%d} {ours.pop('minute')}:00+05:30"
        date = theirs.pop("date")
        assert pl.Series([date, begin]).str.to_datetime(time_zone="UTC").n_unique() == 1
        assert theirs == ours
