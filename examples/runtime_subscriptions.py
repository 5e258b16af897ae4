"""Subscribe, change modes and unsubscribe while the feed runs; nothing reconnects."""

from __future__ import annotations

from simulated import account, instruments, run

from kiterec import CapacityError, FeedConfig, Mode, TickerManager


async def runtime_subscriptions(url: str) -> None:
    """Change what is wanted, and print how it is distributed."""
    tokens = instruments(url).tokens()
    config = FeedConfig(url=url, max_connections=3, max_instruments_per_connection=100)
    async with TickerManager([account()], config) as manager:
        await manager.ready()
        first = await manager.subscribe(tokens[:150], Mode.QUOTE)
        print(f"{len(first.placed)} subscribed:", manager.distribution())

        again = await manager.subscribe(tokens[:10], Mode.FULL)
        print(f"{len(again.changed)} were known and changed their mode")

        gone = await manager.unsubscribe([*tokens[100:150], 1])
        print(f"{len(gone.changed)} unsubscribed, {len(gone.ignored)} were never subscribed")

        try:
            await manager.subscribe(tokens[:301])
        except CapacityError as error:
            print(f"refused: {error}")
        some = await manager.subscribe(tokens[:301], partial=True)
        print(f"{len(some.placed)} more found room, {len(some.refused)} did not:", manager.distribution())

        connects = {name: stats.epoch for name, stats in manager.stats().connections.items()}
        print("connects:", connects)


if __name__ == "__main__":
    run(runtime_subscriptions)
