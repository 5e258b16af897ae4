"""Scan 9,000 instruments over three connections for the largest moves of the day."""

from __future__ import annotations

import asyncio

from simulated import account, instruments, run

from kiterec import FeedConfig, Mode, TickerManager


async def market_scanner(url: str) -> None:
    """Print the five largest moves once a second."""
    dump = instruments(url)
    change: dict[int, float] = {}
    manager = TickerManager([account()], FeedConfig(url=url))
    ticks = manager.ticks(size=256)

    async def report() -> None:
        while True:
            await asyncio.sleep(1)
            top = sorted(change.items(), key=lambda item: -abs(item[1]))[:5]
            moves = ", ".join(f"{dump.symbol_of(token)} {percent:+.2f} %" for token, percent in top)
            rates = manager.stats().rates
            print(f"{len(change):,} instruments, {rates.packets_1s:,.0f} packets/s; {moves}")

    async with manager, asyncio.TaskGroup() as group:
        group.create_task(report())
        await manager.subscribe(dump.tokens()[:9000], Mode.QUOTE)
        async for batch in ticks:
            moved = batch.table.select("instrument_token", "change").drop_nulls()
            change |= dict(moved.rows())


if __name__ == "__main__":
    run(market_scanner)
