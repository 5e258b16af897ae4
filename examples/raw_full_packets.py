"""Every full packet of every frame, read at its offsets without decoding or copying it."""

from __future__ import annotations

from simulated import account, instruments, run

from kiterec import FeedConfig, Mode, TickerManager


async def raw_full_packets(url: str) -> None:
    """Print the spread of each packet."""
    dump = instruments(url)
    futures_and_shares = [token for token in dump.tokens() if token & 0xFF != 9][:20]
    manager = TickerManager([account()], FeedConfig(url=url, max_connections=1, raw_only=True))
    packets = manager.full_packets()
    async with manager:
        await manager.subscribe(futures_and_shares, Mode.FULL)
        async for packet in packets:
            bid, offer, divisor = packet.bids[0], packet.offers[0], packet.divisor()
            name = dump.symbol_of(packet.instrument_token or 0)
            print(f"{name}: {bid.price / divisor:.2f} to {offer.price / divisor:.2f}, oi {packet.oi}")


if __name__ == "__main__":
    run(raw_full_packets)
