"""The manager against a real server: connects, is told what is wanted, stops."""

from __future__ import annotations

import asyncio

from kiterec.feed.manager import TickerManager
from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode, Subscribe
from kiterec.wire.transcript import Kind
from tests.feed.exchange import Exchange, Sink, account, quick, run


def test_a_subscription_is_told_and_its_frames_reach_the_sink() -> None:
    async def main() -> None:
        sink = Sink()
        async with (
            Exchange() as exchange,
            TickerManager([account()], quick(exchange.url), sink=sink) as manager,
        ):
            await manager.subscribe([408065, 256265], Mode.FULL)
            session = await exchange.session()
            await exchange.until(lambda _: len(session.requests) == 2)
            assert session.requests == [
                Subscribe((408065, 256265)),
                SetMode(Mode.FULL, (408065, 256265)),
            ]
            await sink.until(lambda sink: any(len(frame) > 100 for frame in sink.payloads(Kind.BINARY)))
        kinds = [row.kind for _, row in sink.rows]
        assert kinds[:2] == [Kind.CLOCK, Kind.CONNECTED]
        assert kinds[-1] is Kind.DISCONNECTED
        assert sink.lifecycle(Kind.DISCONNECTED)[0]["wanted"] is True
        assert {row.payload for _, row in sink.rows if row.kind is Kind.SENT} == {
            b'{"a":"subscribe","v":[408065,256265]}',
            b'{"a":"mode","v":["full",[408065,256265]]}',
        }
        assert len(asyncio.all_tasks()) == 1

    run(main())
