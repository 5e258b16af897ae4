"""What each client gets, compared with a model that looks at one packet after the other."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest

from kiterec.replay.client_view import ExactView, SubscribedView
from kiterec.replay.market import Market, MarketBatch
from kiterec.replay.packet_batch import locate_packets
from kiterec.replay.subscriptions import Subscriptions
from kiterec.replay.timeline import TimelineKind
from kiterec.wire.frames import is_heartbeat, join_frame, scan_frame
from kiterec.wire.packets import LAYOUTS, Mode, length_in_mode
from kiterec.wire.requests import SetMode
from tests.replay.handmade import batch_of, frame, packet

pytestmark = pytest.mark.usefixtures("each_engine")


class Model:
    """The rules of replay, said packet by packet."""

    def __init__(self, modes: dict[int, Mode]) -> None:
        self.modes = modes
        self.last: dict[int, bytes] = {}

    def share(self, message: bytes) -> bytes | None:
        if is_heartbeat(message):
            return None
        out = []
        for offset, length in scan_frame(message).packets:
            if length not in LAYOUTS:
                continue
            whole = message[offset : offset + length]
            token = int.from_bytes(whole[:4], "big")
            before, self.last[token] = self.last.get(token, b""), whole
            if token not in self.modes:
                continue
            cut = whole[: length_in_mode(length, self.modes[token])]
            if len(cut) == length or before[: len(cut)] != cut:
                out.append(cut)
        return join_frame(out) if out else None


def random_packet(rng: random.Random, token: int) -> bytes:
    length = rng.choice([8, 28, 32] if token & 1 else [8, 44, 184])
    data = bytearray(packet(length, token, last_price=rng.randrange(3)))
    for _ in range(rng.randrange(3)):
        at = rng.randrange(4, length)
        data[at] = rng.randrange(2)
    return bytes(data)


def random_message(rng: random.Random, tokens: list[int]) -> bytes:
    if rng.random() < 0.05:
        return b"\x00"
    packets = [random_packet(rng, token) for token in rng.choices(tokens, k=rng.randrange(6))]
    if rng.random() < 0.1:
        packets.insert(rng.randrange(len(packets) + 1), bytes(rng.choice([0, 7, 12, 185, 500])))
    data = join_frame(packets)
    if rng.random() < 0.05:
        data = data[: rng.randrange(2, len(data) + 1)]
    if rng.random() < 0.05:
        data += b"\x01" * rng.randrange(1, 4)
    return data


@pytest.mark.parametrize("seed", range(25))
def test_every_client_gets_what_the_packetwise_model_gives(seed: int) -> None:
    rng = random.Random(seed)
    tokens = [rng.randrange(1 << 32) for _ in range(rng.randrange(1, 12))]
    messages = [random_message(rng, tokens) for _ in range(rng.randrange(1, 120))]
    wishes = [
        {token: rng.choice(list(Mode)) for token in rng.sample(tokens, rng.randrange(len(tokens) + 1))}
        for _ in range(3)
    ]
    wishes.append(dict.fromkeys(tokens, Mode.FULL))
    got = serve(rng, messages, wishes)
    for number, modes in enumerate(wishes):
        model = Model(modes)
        expected = [share for message in messages if (share := model.share(message))]
        assert got[number] == expected, f"seed {seed}, client {number}"


def serve(
    rng: random.Random, messages: list[bytes], wishes: list[dict[int, Mode]]
) -> list[list[bytes | str]]:
    market = Market(connections=2)
    views = []
    for modes in wishes:
        subscriptions = Subscriptions(limit=100)
        for token, mode in modes.items():
            subscriptions.apply(SetMode(mode, (token,)))
        views.append(SubscribedView(market, subscriptions))
    got: list[list[bytes | str]] = [[] for _ in wishes]
    while messages:
        count = rng.randrange(1, 40)
        rows, messages = messages[:count], messages[count:]
        source = batch_of([(0, 0, row) for row in rows])
        batch = enter(market, source)
        begin = 0
        while begin < len(rows):
            end = min(len(rows), begin + rng.randrange(1, 10))
            market.advance(batch, end)
            for view, out in zip(views, got, strict=True):
                out.extend(view.share(batch, begin, end).messages().values())
            begin = end
    return got


def enter(market: Market, source) -> MarketBatch:
    return market.enter(source, locate_packets(source.payloads, binary=source.kind == TimelineKind.BINARY))


def view_of(market: Market, modes: dict[int, Mode]) -> SubscribedView:
    subscriptions = Subscriptions(limit=3000)
    for token, mode in modes.items():
        subscriptions.apply(SetMode(mode, (token,)))
    return SubscribedView(market, subscriptions)


def test_a_frame_that_is_wanted_whole_is_the_recorded_object_for_every_client() -> None:
    market = Market(connections=2)
    batch = enter(market, batch_of([(0, 0, frame(packet(184, 256), packet(32, 521), packet(44, 512)))]))
    modes = dict.fromkeys((256, 521, 512), Mode.FULL)
    first, second = (view_of(market, modes).share(batch, 0, 1).messages() for _ in range(2))
    assert first[0] is second[0]
    assert first[0] == batch.source.payloads[0].as_py()


def test_a_recorded_quote_is_never_made_a_full_packet() -> None:
    market = Market(connections=2)
    batch = enter(market, batch_of([(0, 0, frame(packet(44, 256, last_price=5)))]))
    assert view_of(market, {256: Mode.FULL}).share(batch, 0, 1).messages() == {
        0: frame(packet(44, 256, last_price=5))
    }


def test_an_unchanged_price_is_not_sent_again_in_ltp_mode() -> None:
    market = Market(connections=2)
    rows = [(0, 0, frame(packet(184, 256, last_price=5, oi=oi))) for oi in (1, 2)]
    batch = enter(market, batch_of([*rows, (0, 0, frame(packet(184, 256, last_price=6)))]))
    view = view_of(market, {256: Mode.LTP})
    assert [*view.share(batch, 0, 3).messages().values()] == [
        frame(packet(8, 256, last_price=price)) for price in (5, 6)
    ]


def test_an_index_whose_time_alone_moved_is_not_sent_in_quote_mode() -> None:
    market = Market(connections=2)
    view = view_of(market, {521: Mode.QUOTE})
    got = []
    for second in (1, 2, 3):
        data = frame(packet(32, 521, last_price=second // 3, exchange_timestamp=second))
        batch = enter(market, batch_of([(0, 0, data)]))
        market.advance(batch, 1)
        got += view.share(batch, 0, 1).messages().values()
    assert got == [frame(packet(28, 521)), frame(packet(28, 521, last_price=1))]


def test_a_snapshot_is_the_state_at_the_instant_between_two_frames() -> None:
    market = Market(connections=2)
    batch = enter(market, batch_of([(0, 0, frame(packet(184, 256, last_price=n))) for n in range(3)]))
    view = view_of(market, {256: Mode.QUOTE, 999: Mode.FULL})
    assert view.snapshot([256, 999]) is None
    for n in range(3):
        market.advance(batch, n + 1)
        assert view.snapshot([256, 999]) == frame(packet(44, 256, last_price=n))
    enter(market, batch_of([(0, 0, b"\x00")]))
    assert view.snapshot([256]) == frame(packet(44, 256, last_price=2))


def test_two_recorded_connections_with_the_same_instrument_do_not_double_it() -> None:
    market = Market(connections=2)
    rows = []
    for n in range(20):
        data = frame(packet(184, 256, last_price=n), packet(184, 512, last_price=n))
        rows += [(n * 250, n % 2, data), (n * 250 + 20, 1 - n % 2, data)]
    batch = enter(market, batch_of(rows))
    got = [*view_of(market, {256: Mode.FULL, 512: Mode.FULL}).share(batch, 0, len(rows)).messages().values()]
    assert got == [frame(packet(184, 256, last_price=n), packet(184, 512, last_price=n)) for n in range(20)]


def test_when_a_connection_falls_silent_the_other_takes_its_instruments_over() -> None:
    market = Market(connections=2)
    rows = [(n * 250, 0, frame(packet(184, 256, last_price=n))) for n in range(8)]
    rows += [(n * 250 + 20, 1, frame(packet(184, 256, last_price=n))) for n in range(40)]
    rows.sort(key=lambda row: row[0])
    batch = enter(market, batch_of(rows))
    got = [*view_of(market, {256: Mode.LTP}).share(batch, 0, len(rows)).messages().values()]
    prices = [int.from_bytes(data[-4:], "big") for data in got if isinstance(data, bytes)]
    assert prices[:8] == list(range(8))
    assert prices[8:] == list(range(prices[8], 40))
    assert prices[8] == 15, "the owner's last packet is at 1.75 s, this one at 3.77 s"


def test_a_recorded_disconnect_frees_the_instruments_at_once() -> None:
    market = Market(connections=2)
    enter(market, batch_of([(0, 0, frame(packet(8, 256, last_price=1))), (10, 0, None)]))
    batch = enter(market, batch_of([(20, 1, frame(packet(8, 256, last_price=2)))]))
    assert view_of(market, {256: Mode.LTP}).share(batch, 0, 1).messages() == {
        0: frame(packet(8, 256, last_price=2))
    }


def test_a_connection_that_has_more_of_an_instrument_takes_it_over() -> None:
    market = Market(connections=2)
    rows = []
    for n in range(5):
        rows += [
            (n * 250, 0, frame(packet(44, 256, last_price=n))),
            (n * 250 + 5, 1, frame(packet(184, 256, last_price=n))),
        ]
    batch = enter(market, batch_of(rows))
    got = [*view_of(market, {256: Mode.FULL}).share(batch, 0, len(rows)).messages().values()]
    assert got == [frame(packet(44, 256)), *(frame(packet(184, 256, last_price=n)) for n in range(5))]


def test_an_exact_view_passes_everything_of_its_connection_on() -> None:
    texts = ['{"type":"order","data":{}}', "not json"]
    rows = [
        (0, 1, b"\x00"),
        (1, 0, b"other"),
        (2, 1, texts[0]),
        (3, 1, b""),
        (4, 1, b"\xff\xff"),
        (5, 1, None),
    ]
    batch = MarketBatch.untouched(batch_of([*rows, (6, 1, texts[1])]))
    assert [*ExactView(1).share(batch, 0, 7).messages().values()] == [
        b"\x00",
        texts[0],
        b"",
        b"\xff\xff",
        texts[1],
    ]


def test_positions_of_instruments_never_move() -> None:
    market = Market(connections=2)
    first = market.index.add(np.array([900, 100], np.uint32))
    market.index.add(np.array([500, 50, 500], np.uint32))
    assert market.index.find(np.array([900, 100], np.uint32)).tolist() == first.tolist()
    assert sorted(market.index.find(np.array([900, 100, 500, 50], np.uint32)).tolist()) == [0, 1, 2, 3]
    assert market.index.find(np.array([7], np.uint32)).tolist() == [-1]


def test_of_large_batches_few_are_kept_and_the_state_is_that_of_all() -> None:
    """Last packets are copied when the batches that they lie in have become too many."""
    tokens = [256 * n for n in range(1, 1001)]
    market, before = Market(connections=1), pa.total_allocated_bytes()
    for price in range(40):
        asked = tokens[price:]  # what is not said again lies in a batch that is given up
        whole = frame(*(packet(184, token, last_price=price) for token in asked))
        batch = batch_of([(price, 0, whole)] * 20)
        market.advance(market.enter(batch, locate_packets(batch.payloads)), len(batch))
        assert pa.total_allocated_bytes() - before < 64 << 20, price
    packets, _ = market.last_packets(market.index.find(np.array(tokens, np.uint32)))
    shown = [int.from_bytes(row[4:8].tobytes()) for row in packets]
    assert shown == [min(place, 39) for place in range(len(tokens))]
