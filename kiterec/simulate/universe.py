"""Which instruments a synthetic market of a given size has, and its instrument dump."""

from __future__ import annotations

import csv
import io
import itertools
from typing import TYPE_CHECKING, Final

from kiterec.simulate import listings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from kiterec.simulate.listings import Listing

COLUMNS: Final = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike",
    "tick_size", "lot_size", "instrument_type", "segment", "exchange",
)  # fmt: skip
"""The columns of the vendor's instrument dump, in its order.

Source: https://kite.trade/docs/connect/v3/market-quotes/#csv-response-columns
"""

SHARES: Final = {
    "NSE": 0.24, "NSE INDICES": 0.002, "NFO-OPT": 0.50, "NFO-FUT": 0.005, "BSE": 0.12, "BSE INDICES": 0.0,
    "MCX-FUT": 0.002, "CDS-FUT": 0.002, "CDS-OPT": 0.05, "MCX-OPT": 0.08,
}  # fmt: skip
"""Class of instrument → its share of a large market; a small market has one of each, in this order."""


class Universe:
    """The instruments of a market.

    Attributes:
        listings: one a row of the dump and of the market's state.
        activity: per listing, how often it changes: 1 busy, 0 never trades.
    """

    def __init__(self, count: int, *, on: date) -> None:
        """Choose the instruments.

        Args:
            count: how many.
            on: the day of the dump; derivatives expire after it.

        Raises:
            ValueError: the count is not positive.
        """
        if count < 1:
            raise ValueError(f"a market of {count} instruments is impossible; give at least 1")
        self.listings: list[Listing] = []
        self.activity: list[float] = []
        for name, chosen in _choose(count, on).items():
            self.listings += chosen
            self.activity += [_activity(name, place, len(chosen)) for place in range(len(chosen))]

    def csv(self) -> bytes:
        """Give the instrument dump in the vendor's 12 columns. Units: rupees."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for it in self.listings:
            expiry = it.expiry.isoformat() if it.expiry else ""
            writer.writerow(
                (it.instrument_token, it.exchange_token, it.tradingsymbol, it.name, f"{it.price:.10g}",
                 expiry, f"{it.strike:.10g}", f"{it.tick_size:.10g}", it.lot_size, it.instrument_type,
                 it.segment, it.exchange)
            )  # fmt: skip
        return text.getvalue().encode()


def _choose(count: int, on: date) -> dict[str, list[Listing]]:
    """Give the instruments by class; classes that run out leave their room to NSE stocks."""
    sources = _sources(on)
    names = list(sources)[:count]
    rest = count - len(names)
    chosen = {name: list(itertools.islice(sources[name], 1 + int(SHARES[name] * rest))) for name in names}
    missing = count - sum(map(len, chosen.values()))
    chosen["NSE"] += itertools.islice(sources["NSE"], missing)
    return chosen


def _sources(on: date) -> dict[str, Iterator[Listing]]:
    found = {
        "NSE": listings.stocks("NSE", listings.NSE, 0),
        "NSE INDICES": listings.indices(listings.NSE_INDICES, "NSE"),
        "NFO-OPT": listings.options(listings.EQUITIES, "NFO", listings.NFO, 35_001, on),
        "NFO-FUT": listings.futures(listings.EQUITIES, "NFO", listings.NFO, 34_001, on),
        "BSE": listings.stocks("BSE", listings.BSE, 1),
        "BSE INDICES": listings.indices(listings.BSE_INDICES, "BSE"),
        "MCX-FUT": listings.futures(listings.COMMODITIES, "MCX", listings.MCX, 440_001, on),
        "CDS-FUT": listings.futures(listings.CURRENCIES, "CDS", listings.CDS, 1_001, on),
        "CDS-OPT": listings.options(listings.CURRENCIES, "CDS", listings.CDS, 5_001, on),
        "MCX-OPT": listings.options(listings.COMMODITIES, "MCX", listings.MCX, 450_001, on),
    }
    return {name: found[name] for name in SHARES}


def _activity(name: str, place: int, count: int) -> float:
    """Give how often an instrument changes: the first of a class are busy, the last few never trade."""
    if name.endswith("INDICES"):
        return 1.0
    rank = place / count
    if rank < 0.4:
        return 1.0
    if rank < 0.75:
        return 0.6
    return 0.08 if rank < 0.94 else 0.0
