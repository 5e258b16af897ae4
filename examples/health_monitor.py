"""How the feed is, once a second: health with its reasons, rates, and how late frames are."""

from __future__ import annotations

import asyncio

from simulated import account, instruments, run

from kiterec import FeedConfig, Mode, TickerManager


async def health_monitor(url: str) -> None:
    """Print health and numbers once a second."""
    async with TickerManager([account()], FeedConfig.development(url=url)) as manager:
        frames = manager.frames()
        await manager.subscribe(instruments(url).tokens()[:500], Mode.FULL)

        async def watch() -> None:
            while True:
                health, stats = manager.health(), manager.stats()
                rates, p99_ms = stats.rates, stats.latency.p99_ms or 0.0
                print(
                    f"{health.status}: {rates.frames_1s:.0f} frames/s, {rates.packets_1s:,.0f} packets/s,",
                    end=" ",
                )
                print(f"p99 {p99_ms:.2f} ms, gaps {stats.total.gaps}, dropped {stats.dropped}")
                for reason in health.reasons:
                    print("  because", reason)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            async for _ in frames:
                pass


if __name__ == "__main__":
    run(health_monitor)
