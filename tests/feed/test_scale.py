"""All that Kite allows: 3 connections of 3,000 instruments, and two accounts of that, simulated."""

from __future__ import annotations

import asyncio

import pytest

from kiterec.feed.config import FeedConfig
from kiterec.feed.manager import TickerManager
from kiterec.feed.views import iter_packets
from kiterec.replay.server import ReplayServer
from kiterec.simulate.market import SyntheticMarket
from kiterec.wire.packets import Mode
from kiterec.wire.transcript import Kind
from tests.feed.exchange import DEADLINE_S, account, run


@pytest.mark.parametrize("names", [["main"], ["first", "second"]], ids=["9,000", "18,000"])
def test_every_instrument_arrives_on_exactly_full_connections_without_a_drop(names: list[str]) -> None:
    accounts = [account(name) for name in names]
    count = 9000 * len(accounts)
    market = SyntheticMarket(instruments=count, seed=3, packets_per_s=0.2)
    tokens = market.instrument_tokens

    async def main() -> None:
        async with (
            ReplayServer(market) as server,
            TickerManager(accounts, FeedConfig(url=server.url)) as manager,
        ):
            frames = manager.frames(size=100_000)
            await manager.subscribe(tokens, Mode.FULL)
            assert manager.distribution() == {
                name: {f"{name}-{slot}": {Mode.FULL: 3000} for slot in range(3)} for name in names
            }
            seen: dict[bytes, str] = {}
            async with asyncio.timeout(DEADLINE_S):
                while len(seen) < count:
                    frame = await anext(frames)
                    if frame.kind is Kind.BINARY:
                        for packet in iter_packets(frame.payload):
                            assert seen.setdefault(bytes(packet[:4]), frame.connection) == frame.connection
            assert {int.from_bytes(key, "big") for key in seen} == set(tokens)
            stats = manager.stats()
            assert (stats.dropped, frames.dropped, stats.total.losses, stats.total.refusals) == (0, 0, 0, 0)
            assert {each.instruments for each in stats.connections.values()} == {3000}

    run(main())
