"""Going back in a timeline: from the nearest known state, and to the same as from the start."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from kiterec.replay import checkpoints
from kiterec.replay.checkpoints import Checkpoint, Checkpoints, Place
from kiterec.replay.market import Market
from kiterec.replay.server import ReplayServer
from kiterec.replay.transport import Target
from kiterec.wire.frames import is_heartbeat
from kiterec.wire.packets import Mode
from tests.replay.handmade import HandmadeTimeline, batch_of, frame, listening, packet, run
from tests.replay.test_shares import enter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.replay.timeline import TimelineBatch
    from tests.replay.handmade import Listener

TOKENS = (256, 512, 768, 1024)


class Resumable(HandmadeTimeline):
    """A timeline that notes from where it was read."""

    def __init__(self, rows, **options) -> None:
        super().__init__(rows, **options)
        self.read_from: list[int] = []

    def batches(self) -> Iterator[TimelineBatch]:
        return self.batches_from(0, due_ns=0)

    def batches_from(self, seq: int, *, due_ns: int) -> Iterator[TimelineBatch]:
        self.read_from.append(seq)
        for begin in range(seq, len(self.rows), self._step):
            batch = batch_of(self.rows[begin : begin + self._step])
            assert int(batch.due_ns[0]) >= due_ns
            numbers = np.arange(begin, begin + len(batch), dtype=np.uint64)
            yield replace(batch, seq=numbers)


def random_rows(rng: random.Random, count: int) -> list:
    """Give rows of two connections that share instruments, with losses and copies of texts."""
    rows: list = []
    for n in range(count):
        connection = rng.randrange(2)
        tokens = rng.sample(TOKENS, rng.randrange(1, 4))
        message: bytes | str | None = frame(*(packet(184, token, last_price=n) for token in tokens))
        if rng.random() < 0.05:
            message = rng.choice([None, '{"type":"order","data":{}}', '{"type":"message","data":"x"}'])
        rows.append((n * 500, connection, message))
    return rows


def heard(client: Listener) -> list[bytes | str]:
    return [message for message in client.messages if isinstance(message, str) or not is_heartbeat(message)]


async def states_after_seeks(timeline: HandmadeTimeline, seeks: list[Target], *, exact: bool) -> list:
    """Give what a client gets after each of the seeks, up to two messages further."""
    got = []
    server = ReplayServer(timeline, speed=None, paused=True, exact=exact, wait_for_clients=1, at_end="hold")
    async with server, listening(server.url) as client:
        if not exact:
            await client.want(Mode.FULL, *TOKENS)
            await client.until(lambda: client.messages)
        for target in seeks:
            before = len(heard(client))
            if target.position_ns is None:
                await server.seek(seq=target.seq)
            else:
                await server.seek(position_s=target.position_ns / 1e9)
            await server.step(2)
            await client.until(lambda before=before: len(heard(client)) >= before + (2 if exact else 3))
            got.append(heard(client)[before:])
    return got


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_after_going_back_all_is_as_if_read_from_the_start(
    seed: int, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    rows = random_rows(rng, 300)
    seeks = [Target(position_ns=120_000_000_000)]
    for _ in range(6):
        place = rng.randrange(20, 240)
        seeks.append(Target(seq=place) if rng.random() < 0.5 else Target(position_ns=place * 500_000_000))
    names = ("main-0", "main-1")

    async def main() -> None:
        timeline = Resumable(rows, connections=names, rows_per_batch=rng.randrange(1, 20))
        got = await states_after_seeks(timeline, seeks, exact=exact)
        assert max(timeline.read_from) > 0, f"seed {seed}: read {timeline.read_from}"
        monkeypatch.setattr(Checkpoints, "before", lambda self, target: None)
        plain = Resumable(rows, connections=names, rows_per_batch=7)
        expected = await states_after_seeks(plain, seeks, exact=exact)
        assert set(plain.read_from) == {0}
        assert got == expected, f"seed {seed}"

    run(main())


def test_what_is_remembered_does_not_change_afterwards() -> None:
    market = Market(connections=2)
    first = enter(market, batch_of([(0, 0, frame(packet(184, 256, last_price=1)))]))
    market.advance(first, 1)
    memory = market.memory()
    later = [(n, 1, frame(packet(184, 256, last_price=n), packet(8, 512))) for n in range(5_000, 5_100)]
    for row in later:
        batch = enter(market, batch_of([row]))
        market.advance(batch, 1)
    for _ in range(2):
        market.recall(memory)
        rows, length = market.last_packets(market.index.find(np.array([256, 512], np.uint32)))
        assert length.tolist() == [184, 0]
        assert rows[0].tobytes() == packet(184, 256, last_price=1)
        batch = enter(market, batch_of([later[0]]))
        market.advance(batch, 1)
        _, length = market.last_packets(market.index.find(np.array([512], np.uint32)))
        assert length.tolist() == [8]


def test_checkpoints_are_bounded_and_spread_over_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MAX_PLACES", 16)
    kept = Checkpoints()
    for second in range(20_000):
        kept.offer(Place(second, second * 10**9), None)
        assert len(kept) <= 16
    for second in range(2_600, 20_000, 777):
        found = kept.before(Target(position_ns=second * 10**9))
        assert isinstance(found, Checkpoint)
        assert second - 2_600 <= found.place.seq < second
        assert kept.before(Target(seq=second)) in {found, kept.before(Target(position_ns=second * 10**9 + 1))}
    assert kept.before(Target(position_ns=0)) is None


def test_states_count_by_their_bytes() -> None:
    market = Market(connections=1)
    tokens = range(256, 256 + 9_000)
    batch = enter(market, batch_of([(0, 0, frame(*(packet(184, token) for token in tokens)))]))
    market.advance(batch, 1)
    kept = Checkpoints()
    for minute in range(1, 200):
        kept.offer(Place(minute, minute * 60 * 10**9), market)
        assert sum(each.size() for each in kept._kept) <= checkpoints.MAX_BYTES
    assert len(kept) > 5
