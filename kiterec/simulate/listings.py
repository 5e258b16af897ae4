"""The instruments of the synthetic market, as a list: well-known names first, invented ones after them."""

from __future__ import annotations

import itertools
import math
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

NSE, NFO, CDS, BSE, MCX, INDICES = 1, 2, 3, 4, 7, 9


class Listing(NamedTuple):
    """One line of the synthetic instrument dump, with what the prices need to know about it.

    Units: `price` and `strike` in rupees, `beta` in fractions per fraction of the group's factor.
    """

    exchange_token: int
    segment_id: int
    tradingsymbol: str
    name: str
    price: float
    tick_size: float
    lot_size: int
    instrument_type: str
    segment: str
    exchange: str
    group: int = 0
    beta: float = 1.0
    expiry: date | None = None
    strike: float = 0.0

    @property
    def instrument_token(self) -> int:
        """Give the token as the wire has it: the low byte is the exchange segment."""
        return self.exchange_token << 8 | self.segment_id


class Underlying(NamedTuple):
    """What futures and options are written on. Units: rupees."""

    name: str
    price: float
    strike_step: float
    lot_size: int
    tick_size: float
    group: int


# fmt: off
NSE_INDICES: Final = [  # exchange_token, tradingsymbol, about what level
    (1001, "NIFTY 50", 25_000), (1016, "NIFTY BANK", 57_000), (1035, "INDIA VIX", 12),
    (1007, "NIFTY FIN SERVICE", 27_000), (1125, "NIFTY MID SELECT", 13_000), (1013, "NIFTY IT", 38_000),
]
"""NIFTY 50 is 256265 on the wire, 1001 << 8 | 9."""

BSE_INDICES: Final = [(1, "SENSEX", 82_000)]
"""SENSEX (265) is in the BSE dump, and streams as an index."""

STOCKS: Final = [  # NSE exchange_token, BSE exchange_token, tradingsymbol, name, about what price, lot
    (1594, 500209, "INFY", "INFOSYS", 1_500, 400),
    (2885, 500325, "RELIANCE", "RELIANCE INDUSTRIES", 1_400, 500),
    (11536, 532540, "TCS", "TATA CONSULTANCY SERV LT", 3_100, 175),
    (1333, 500180, "HDFCBANK", "HDFC BANK", 980, 550),
    (4963, 532174, "ICICIBANK", "ICICI BANK", 1_380, 700),
    (3045, 500112, "SBIN", "STATE BANK OF INDIA", 860, 750),
    (5900, 532215, "AXISBANK", "AXIS BANK", 1_150, 625),
    (1660, 500875, "ITC", "ITC", 405, 1_600),
    (11483, 500510, "LT", "LARSEN & TOUBRO", 3_700, 175),
    (1922, 500247, "KOTAKBANK", "KOTAK MAHINDRA BANK", 2_000, 400),
    (10604, 532454, "BHARTIARTL", "BHARTI AIRTEL", 1_900, 475),
    (1394, 500696, "HINDUNILVR", "HINDUSTAN UNILEVER", 2_500, 300),
]

CURRENCIES: Final = [
    Underlying(name, price, 0.25, 1, 0.0025, 1)
    for name, price in (("USDINR", 84.5), ("EURINR", 91.2), ("GBPINR", 107.4), ("JPYINR", 57.3))
]
COMMODITIES: Final = [
    Underlying("GOLD", 98_000, 500, 1, 1.0, 2), Underlying("CRUDEOIL", 5_400, 50, 1, 1.0, 2),
    Underlying("SILVER", 112_000, 500, 1, 1.0, 2), Underlying("NATURALGAS", 290, 5, 1, 0.1, 2),
]
EQUITIES: Final = [
    Underlying("NIFTY", 25_000, 50, 75, 0.05, 0), Underlying("BANKNIFTY", 57_000, 100, 35, 0.05, 0),
    *(Underlying(symbol, price, max(5.0, round(price / 500) * 5.0), lot, 0.05, 0)
      for _, _, symbol, _, price, lot in STOCKS),
]
# fmt: on


def indices(rows: list[tuple[int, str, int]], exchange: str) -> Iterator[Listing]:
    """List the indices of an exchange."""
    for token, symbol, level in rows:
        yield Listing(token, INDICES, symbol, symbol, level, 0.01, 1, "EQ", "INDICES", exchange)


def stocks(exchange: str, segment_id: int, column: int) -> Iterator[Listing]:
    """List the stocks of an exchange: well-known names, then invented ones without end."""
    for stock in STOCKS:
        token, price = int(stock[column]), float(stock[4])
        yield Listing(token, segment_id, stock[2], stock[3], price, 0.05, 1, "EQ", exchange, exchange)
    for number in itertools.count(1):
        # Prices of 12 to 6,000 rupees, spread evenly over the logarithm by the golden ratio.
        price = round(12 * 500 ** ((number * 0.618034) % 1), 2)
        token = (30_000 if exchange == "NSE" else 900_000) + number
        name = f"SYNTHETIC {number}"
        yield Listing(token, segment_id, f"SYN{number:04}", name, price, 0.05, 1, "EQ", exchange, exchange)


def futures(
    of: list[Underlying], exchange: str, segment_id: int, first_token: int, on: date
) -> Iterator[Listing]:
    """List three months of futures."""
    token = itertools.count(first_token)
    for month, expiry in enumerate(expiries(on)):
        for it in of:
            symbol = f"{it.name}{expiry:%y%b}FUT".upper()
            price = it.price * (1.002 + 0.005 * month)
            yield Listing(
                next(token), segment_id, symbol, it.name, price, it.tick_size, it.lot_size, "FUT",
                f"{exchange}-FUT", exchange, it.group, 1.0, expiry,
            )  # fmt: skip


def options(
    of: list[Underlying], exchange: str, segment_id: int, first_token: int, on: date
) -> Iterator[Listing]:
    """List options of three months, those at the money first."""
    token = itertools.count(first_token)
    for distance in range(400):
        for (month, expiry), it in itertools.product(enumerate(expiries(on)), of):
            at = round(it.price / it.strike_step)
            for strike in sorted({(at + distance) * it.strike_step, (at - distance) * it.strike_step}):
                if not it.price / 2 <= strike <= it.price * 2:
                    continue
                for kind, sign in (("CE", 1), ("PE", -1)):
                    price = premium(it.price, strike, sign, month)
                    symbol = f"{it.name}{expiry:%y%b}".upper() + f"{strike:g}{kind}"
                    beta = sign * min(15.0, 0.5 * it.price / max(price, it.price / 100))
                    yield Listing(
                        next(token), segment_id, symbol, it.name, price, it.tick_size, it.lot_size, kind,
                        f"{exchange}-OPT", exchange, it.group, beta, expiry, strike,
                    )  # fmt: skip


def premium(price: float, strike: float, sign: int, month: int) -> float:
    """Give a plausible option price: the intrinsic value, and time value that fades away from the money."""
    spread = price * 0.035 * math.sqrt(month + 1)
    away = (price - strike) / spread
    return max(0.0, sign * (price - strike)) + 0.4 * spread * math.exp(-min(away * away / 2, 20.0))


def expiries(on: date) -> list[date]:
    """Give the last Tuesdays of the three months after the 7th day from now."""
    first = (on + timedelta(days=7)).replace(day=1)
    found = []
    for _ in range(3):
        following = (first + timedelta(days=32)).replace(day=1)
        last = following - timedelta(days=1)
        found.append(last - timedelta(days=(last.weekday() - 1) % 7))
        first = following
    return found
