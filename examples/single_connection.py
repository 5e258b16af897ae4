"""One connection, five instruments: print every tick, and what happens to the connection."""

from __future__ import annotations

import asyncio

from simulated import account, instruments, run

from kiterec import FeedConfig, Mode, TickerManager


async def single_connection(url: str) -> None:
    """Print ticks and events of one connection."""
    dump = instruments(url)
    manager = TickerManager([account()], FeedConfig(url=url, max_connections=1))
    ticks, events = manager.ticks(), manager.events()

    async def tell() -> None:
        async for event in events:
            print(type(event).__name__, event.connection)

    async with manager, asyncio.TaskGroup() as group:
        group.create_task(tell())
        await manager.subscribe(dump.tokens()[:5], Mode.FULL)
        async for batch in ticks:
            for token, price in batch.table.select("instrument_token", "last_price").rows():
                print(dump.symbol_of(token), price)


if __name__ == "__main__":
    run(single_connection)
