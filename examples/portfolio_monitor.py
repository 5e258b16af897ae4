"""What a portfolio is worth, after every frame that changes one of its prices."""

from __future__ import annotations

from simulated import account, instruments, run

from kiterec import FeedConfig, Mode, TickerManager

QUANTITIES = (10, 25, 50, 5, 100)


async def portfolio_monitor(url: str) -> None:
    """Print the value of a portfolio whenever it changes."""
    shares = instruments(url).select(["NSE:*"])[: len(QUANTITIES)]
    holdings = dict(zip(shares, QUANTITIES, strict=True))
    prices: dict[int, float] = {}
    manager = TickerManager([account()], FeedConfig(url=url, max_connections=1))
    ticks = manager.ticks()
    async with manager:
        await manager.subscribe(holdings, Mode.LTP)
        async for batch in ticks:
            prices |= dict(batch.table.select("instrument_token", "last_price").rows())
            value = sum(quantity * prices.get(token, 0.0) for token, quantity in holdings.items())
            print(f"{len(prices)} of {len(holdings)} prices known, worth {value:,.2f} rupees")


if __name__ == "__main__":
    run(portfolio_monitor)
