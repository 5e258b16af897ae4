"""The REST twin, asked by the vendor's own client and by hand."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import threading
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kiteconnect import KiteConnect
from kiteconnect.exceptions import GeneralException, InputException, TokenException

import kiterec
from kiterec.clock import IST, NS_PER_S, to_ns
from kiterec.errors import CorruptPartError
from kiterec.replay.admission import Admission
from kiterec.replay.background import BackgroundReplay
from kiterec.replay.rest.asked import Asked
from kiterec.replay.rest.body_reader import BodyReader
from kiterec.replay.rest.instant import Instant
from kiterec.replay.rest.routes import RestTwin
from kiterec.replay.server import ReplayServer
from kiterec.replay.stats import Tally
from kiterec.wire.packets import Mode
from tests.replay.handmade import DEADLINE_S, HandmadeTimeline, frame, listening, packet, run

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKSUM = "0" * 64
DAY = ("2026-01-05 09:15:00", "2026-01-05 15:30:00")


@contextlib.contextmanager
def serving(timeline, **options) -> Iterator[tuple[ReplayServer, KiteConnect]]:
    server = ReplayServer(timeline, **{"speed": None, "at_end": "hold", **options})
    with BackgroundReplay(server) as background:
        if not options.get("paused"):
            background.wait(server.finished, timeout=DEADLINE_S)
        yield server, official(server)


def official(server: ReplayServer, access_token: str = "t") -> KiteConnect:
    client = KiteConnect("k", access_token, root=server.http_url, timeout=DEADLINE_S)
    client.reqsession.trust_env = False
    return client


def ask(server: ReplayServer, request: bytes) -> tuple[int, dict]:
    """Send bytes; give status and body of the answer."""

    async def main() -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(request)
            answer = await reader.read()
            writer.close()
            return answer

    head, _, body = asyncio.run(main()).partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else {}


@pytest.fixture(scope="module")
def market() -> kiterec.SyntheticMarket:
    return kiterec.SyntheticMarket(instruments=40, seed=7, duration_s=150)


@pytest.fixture(scope="module")
def ticks(market: kiterec.SyntheticMarket) -> pl.DataFrame:
    """Give all ticks of the market, with their time."""
    frames, at = [], []
    for batch in market.batches():
        binary = [n for n, kind in enumerate(batch.kind) if kind == 0]
        frames += [batch.payloads[n].as_py() for n in binary]
        at += [market.start_ns + int(batch.due_ns[n]) for n in binary]
    return kiterec.decode(frames, received_at=at)


@pytest.fixture(scope="module")
def served(market: kiterec.SyntheticMarket) -> Iterator[tuple[ReplayServer, KiteConnect]]:
    with serving(market, wait_for_clients=0) as both:
        yield both


def test_the_official_client_reads_the_instruments(served, market) -> None:
    _, kite = served
    found = kite.instruments()
    assert [each["instrument_token"] for each in found] == market.instrument_tokens
    assert {each["exchange"] for each in kite.instruments("NFO")} == {"NFO"}


def test_the_official_client_reads_quotes_equal_to_the_last_ticks(served, market, ticks) -> None:
    _, kite = served
    symbols = {f"{each['exchange']}:{each['tradingsymbol']}": each for each in kite.instruments()}
    quotes = kite.quote(list(symbols))
    assert set(quotes) == set(symbols)
    last = {row["instrument_token"]: row for row in ticks.group_by("instrument_token").last().to_dicts()}
    for symbol, each in symbols.items():
        token = each["instrument_token"]
        quote, tick = quotes[symbol], last[token]
        assert quote["instrument_token"] == token
        assert quote["last_price"] == tick["last_price"]
        assert quote["ohlc"] == {name: tick[name] for name in ("open", "high", "low", "close")}
        assert quote["volume"] == (tick["volume_traded"] or 0)
        assert quote["oi"] == (tick["oi"] or 0)
        assert quote["timestamp"].replace(tzinfo=IST) == tick["exchange_timestamp"]
        assert [level["price"] for level in quote["depth"]["buy"]] == list(tick["buy_price"] or [0] * 5)
        assert [level["orders"] for level in quote["depth"]["sell"]] == list(tick["sell_orders"] or [0] * 5)
    ohlc, ltp = kite.ohlc(list(symbols)), kite.ltp(list(symbols))
    for symbol, quote in quotes.items():
        assert ohlc[symbol] == {name: quote[name] for name in ("instrument_token", "last_price", "ohlc")}
        assert ltp[symbol] == {name: quote[name] for name in ("instrument_token", "last_price")}


def test_instruments_can_be_asked_by_token_and_unknown_ones_are_left_out(served, market) -> None:
    _, kite = served
    token = market.instrument_tokens[0]
    assert set(kite.ltp([str(token), "NSE:NOSUCHTHING", "999999999"])) == {str(token)}
    assert kite.ltp(["NSE:NOSUCHTHING"]) == {}


@pytest.mark.parametrize(("interval", "candles"), [("minute", 3), ("5minute", 1), ("day", 1)])
def test_the_official_client_reads_candles_made_of_the_ticks(
    served, market, ticks, interval, candles
) -> None:
    _, kite = served
    token = market.instrument_tokens[3]
    found = kite.historical_data(token, *DAY, interval, oi=True)
    mine = ticks.filter(pl.col("instrument_token") == token)
    assert len(found) == candles
    assert found[0]["open"] == mine["last_price"][0]
    assert found[-1]["close"] == mine["last_price"][-1]
    assert max(each["high"] for each in found) == mine["last_price"].max()
    assert sum(each["volume"] for each in found) == mine["volume_traded"][-1] - mine["volume_traded"][0]
    assert found[0]["date"].utcoffset() == dt.timedelta(hours=5, minutes=30)
    if interval == "day":
        assert found[0]["date"] == dt.datetime(2026, 1, 5, tzinfo=IST)
        assert kite.historical_data(token, "2026-01-06", "2026-01-07", interval) == []
    if interval == "minute":
        assert found[0]["date"] == dt.datetime(2026, 1, 5, 10, 0, tzinfo=IST)
        second = kite.historical_data(token, "2026-01-05 10:01:00", "2026-01-05 10:01:59", interval)
        assert [each["date"] for each in second] == [found[1]["date"]]


def test_a_day_has_one_candle_with_the_prices_of_its_trading_hours() -> None:
    def frame_of(last_price: int, volume: int) -> bytes:
        return frame(packet(184, 408065, last_price=last_price, volume_traded=volume))

    class Morning(HandmadeTimeline):
        start_ns = to_ns(dt.datetime(2026, 1, 5, 8, 30, tzinfo=IST))

    minutes = {0: (99_00, 0), 40: (98_00, 100), 46: (101_00, 300), 60: (103_00, 700), 430: (90_00, 700)}
    rows = [(60_000 * at, 0, frame_of(*each)) for at, each in minutes.items()]
    with serving(Morning(rows), wait_for_clients=0) as (_, kite):
        (day,) = kite.historical_data(408065, "2026-01-05 09:15:00", "2026-01-05 15:30:00", "day")
    assert day == {
        "date": dt.datetime(2026, 1, 5, tzinfo=IST), "open": 101, "high": 103, "low": 101, "close": 103,
        "volume": 700,
    }  # fmt: skip


def test_answers_are_of_the_replays_instant(market, ticks) -> None:
    token = market.instrument_tokens[3]
    server = ReplayServer(market, speed=1, paused=True, wait_for_clients=0)
    with BackgroundReplay(server) as background:
        reached = background.wait(lambda: server.seek(position_s=71.3), timeout=DEADLINE_S)
        assert reached == 71.3
        until = market.start_ns + 71_300_000_000
        mine = ticks.filter(
            (pl.col("instrument_token") == token)
            & (pl.col("received_at") < pl.lit(until).cast(ticks.schema["received_at"]))
        )
        kite = official(server)
        assert kite.ltp([token])[str(token)]["last_price"] == mine["last_price"][-1]
        found = kite.historical_data(token, *DAY, "minute")
        assert len(found) == 2
        assert found[-1]["close"] == mine["last_price"][-1]
        rise = mine["volume_traded"][-1] - mine["volume_traded"][0]
        assert sum(each["volume"] for each in found) == rise
        assert kite.quote(["NSE:NIFTY 50", token])[str(token)]["volume"] == mine["volume_traded"][-1]


def test_quotes_and_candles_know_nothing_that_is_not_out_yet() -> None:
    """At an instant before its message, where a step, a seek or a start leaves a replay."""

    class Dated(HandmadeTimeline):
        start_ns = to_ns(dt.datetime(2026, 1, 5, 10, tzinfo=IST))
        length_ns = 5 * NS_PER_S

    rows = [(1_000 * n, 0, frame(packet(184, 408065, last_price=100 * n + 100))) for n in range(5)]
    server = ReplayServer(Dated(rows), wait_for_clients=0, paused=True, at_end="hold")
    with BackgroundReplay(server) as background:
        kite = official(server)

        def known() -> list[float]:
            quotes = [each["last_price"] for each in kite.ltp(["408065"]).values()]
            return quotes + [each["close"] for each in kite.historical_data(408065, *DAY, "minute")]

        seen = [known()]
        for move in (
            lambda: server.seek(position_s=2),
            server.step,
            lambda: server.seek(seq=1),
            lambda: server.seek(position_s=0),
        ):
            background.wait(move, timeout=DEADLINE_S)
            seen.append(known())
        assert seen == [[], [2, 2], [3, 3], [1, 1], []]
        assert server.stats().seq == -1


def test_a_question_that_was_given_up_does_not_disturb_the_next_one() -> None:
    reads, go_on = threading.Event(), threading.Event()

    class Slow(HandmadeTimeline):
        start_ns = to_ns(dt.datetime(2026, 1, 5, 10, tzinfo=IST))
        length_ns = NS_PER_S

        def batches(self):
            reads.set()
            assert go_on.wait(DEADLINE_S)
            yield from super().batches()

    async def main() -> None:
        timeline = Slow([(0, 0, frame(packet(184, 408065, last_price=100)))])
        admission = Admission(credentials=None, connections_per_api_key=3, seats=None)
        tally = Tally()
        tally.seq = 0
        instant = Instant(timeline, market=None, tally=tally)
        twin = RestTwin(instant, admission=admission, instruments_csv=None)
        asked = Asked(
            method="GET", path="/instruments/historical/408065/minute", query="from=2026-01-05&to=2026-01-06"
        )
        given_up = asyncio.create_task(twin.answer(asked))
        await asyncio.to_thread(reads.wait, DEADLINE_S)
        given_up.cancel()
        await asyncio.wait([given_up])
        answer = asyncio.create_task(twin.answer(asked))
        await asyncio.wait([answer], timeout=0.2)
        go_on.set()
        page = await answer
        assert page is not None
        assert (page.status, len(json.loads(page.body)["data"]["candles"])) == (200, 1)

    run(main())


def test_a_login_gives_a_token_that_opens_the_socket_until_it_is_invalidated() -> None:
    timeline = HandmadeTimeline([(0, 0, frame(packet(8, 256)))])
    with serving(timeline, credentials={"k": "secret"}, wait_for_clients=0) as (server, _):
        kite = official(server, "")
        with pytest.raises(TokenException, match="Incorrect `api_key`"):
            kite.profile()
        session = kite.generate_session("request-token", api_secret="s")
        assert session["api_key"] == "k"
        assert session["access_token"] != "secret"
        assert kite.profile()["broker"] == "ZERODHA"

        async def greeted(access_token: str) -> bool:
            async with listening(server.url, f"api_key=k&access_token={access_token}") as client:
                await client.until(lambda: client.messages)
                return True

        assert asyncio.run(greeted(session["access_token"]))
        assert kite.invalidate_access_token() is True
        with pytest.raises(TokenException):
            kite.profile()
        with pytest.raises(Exception, match="403"):
            asyncio.run(greeted(session["access_token"]))
        assert asyncio.run(greeted("secret"))
        stranger = KiteConnect("other", root=server.http_url)
        stranger.reqsession.trust_env = False
        with pytest.raises(TokenException, match="Invalid `api_key`"):
            stranger.generate_session("request-token", api_secret="s")


def test_without_credentials_everybody_may_ask(served) -> None:
    _, kite = served
    assert kite.profile()["user_id"]
    kite.set_access_token("")
    assert kite.profile()["user_id"]


def test_wrong_questions_are_answered_in_the_vendors_words(served, market) -> None:
    _, kite = served
    token = market.instrument_tokens[0]
    with pytest.raises(InputException, match="empty field `i`"):
        kite.quote()
    with pytest.raises(InputException, match="Maximum of 500 instruments"):
        kite.quote([str(n) for n in range(501)])
    with pytest.raises(InputException, match="invalid interval"):
        kite.historical_data(token, *DAY, "2minute")
    with pytest.raises(InputException, match="invalid token"):
        kite.historical_data("NSE", *DAY, "minute")
    with pytest.raises(InputException, match="invalid from date"):
        kite.historical_data(token, "yesterday", DAY[1], "minute")
    with pytest.raises(InputException, match="exceeds max limit: 60 days"):
        kite.historical_data(token, "2025-11-05", DAY[1], "minute")
    with pytest.raises(InputException, match="invalid token"):
        kite.historical_data(999_999, *DAY, "minute")
    with pytest.raises(InputException, match="invalid token"):
        kite.historical_data(1 << 32, *DAY, "minute")
    with pytest.raises(Exception, match="Route not found"):
        kite.margins()
    with pytest.raises(Exception, match="Route not found"):
        kite.place_order(
            "regular", exchange="NSE", tradingsymbol="INFY", transaction_type="BUY", quantity=1,
            product="CNC", order_type="MARKET",
        )  # fmt: skip


def test_a_timeline_that_cannot_be_read_is_the_servers_error_in_the_vendors_shape(market) -> None:
    class Torn(kiterec.SyntheticMarket):
        torn = False

        def batches(self):
            if self.torn:
                raise CorruptPartError("part-0 is damaged at byte 7")
            return super().batches()

    timeline = Torn(instruments=10, seed=1, duration_s=1)
    with serving(timeline, wait_for_clients=0) as (_, kite):
        timeline.torn = True
        with pytest.raises(GeneralException, match="Internal server error") as raised:
            kite.historical_data(timeline.instrument_tokens[0], *DAY, "minute")
        assert raised.value.code == 500
        assert kite.ltp([timeline.instrument_tokens[0]])


def test_an_exact_replay_has_no_quotes_and_says_so() -> None:
    timeline = HandmadeTimeline([(0, 0, frame(packet(8, 256)))])
    with (
        serving(timeline, exact=True, wait_for_clients=0) as (_, kite),
        pytest.raises(Exception, match="without --exact"),
    ):
        kite.quote("256")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /session/token HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 403),
        (b"DELETE /instruments HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"PUT /quote/ltp?i=1 HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /session/token HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /quote/../ltp?i=1 HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /quote/ltp?" + b"i=1&" * 1500 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 200),
    ],
)
def test_requests_by_hand_are_answered(served, request_bytes: bytes, status: int) -> None:
    server, _ = served
    assert ask(server, request_bytes)[0] == status


def test_a_body_that_comes_in_pieces_is_read_whole(served) -> None:
    server, _ = served
    form = b"api_key=k&request_token=r&checksum=" + CHECKSUM.encode()
    head = b"POST /session/token HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(form)

    async def main() -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            for byte in head + form:
                writer.write(bytes([byte]))
                await writer.drain()
            answer = await reader.read()
            writer.close()
            return answer

    assert b'"access_token":"' in asyncio.run(main())


@given(st.binary(max_size=300), st.lists(st.integers(1, 40), max_size=5))
def test_what_begins_like_a_get_passes_through_untouched(data: bytes, cuts: list[int]) -> None:
    data = b"GET " + data
    reader, out = BodyReader(), b""
    while data:
        piece, data = data[: (cuts or [50])[0]], data[(cuts or [50])[0] :]
        out += reader.feed(piece)
    assert out.startswith(b"GET ")
    assert len(out) >= 4


@given(st.binary(max_size=400))
def test_the_reader_of_bodies_never_raises_and_holds_little(data: bytes) -> None:
    reader = BodyReader()
    for n in range(0, len(data), 7):
        reader.feed(data[n : n + 7])


def test_a_request_without_end_is_handed_on_and_not_gathered_for_ever() -> None:
    reader = BodyReader()
    handed = b"".join(reader.feed(b"P" * 1000) for _ in range(100))
    assert len(handed) == 100_000


def test_the_socket_of_a_client_is_not_disturbed_by_questions(market) -> None:
    async def main() -> None:
        server = ReplayServer(market, speed=None, wait_for_clients=1)
        async with server, listening(server.url) as client:
            await client.want(Mode.LTP, *market.instrument_tokens)
            kite = official(server)
            await asyncio.to_thread(kite.profile)
            await client.until_closed()
            assert len(client.frames) > 100

    run(main())
