"""Two accounts: one distribution over six connections, then one instrument on both of them."""

from __future__ import annotations

from collections import Counter

from simulated import account, instruments, run

from kiterec import FeedConfig, Mode, TickerManager

FRAMES = 12


async def two_accounts(url: str) -> None:
    """Print how instruments spread, and how many frames each account gives of the same ones."""
    tokens = instruments(url).tokens()
    accounts = [account("first"), account("second")]
    async with TickerManager(accounts, FeedConfig(url=url)) as manager:
        await manager.subscribe(tokens[:60], Mode.LTP)
        only_second = await manager.subscribe(tokens[60:66], Mode.LTP, account="second")
        print("spread:", manager.distribution())
        print("by hand:", sorted({names[0] for names in only_second.placed.values()}))

    redundant = TickerManager(accounts, FeedConfig(url=url, max_connections=1, copies=2))
    frames = redundant.frames()
    async with redundant:
        await redundant.subscribe(tokens[:20], Mode.QUOTE)
        seen: Counter[str] = Counter()
        async for frame in frames:
            seen[frame.account] += 1
            if seen.total() == FRAMES:
                break
        print("frames of the same instruments:", dict(seen))


if __name__ == "__main__":
    run(two_accounts)
