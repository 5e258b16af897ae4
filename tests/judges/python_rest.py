"""Runs the vendor's KiteConnect, unmodified: what it reads of the market, as one line of JSON.

Usage: python python_rest.py ROOT SYMBOLS TOKEN FROM TO, where SYMBOLS is JSON.
"""

from __future__ import annotations

import json
import sys

from kiteconnect import KiteConnect


def main(root: str, symbols: str, token: str, begin: str, end: str) -> None:
    kite = KiteConnect("python-key", "the-token", root=root, timeout=60)
    names = json.loads(symbols)
    read = {
        "instruments": kite.instruments(),
        "quote": kite.quote(names),
        "ohlc": kite.ohlc(names),
        "ltp": kite.ltp(names),
        "candles": kite.historical_data(int(token), begin, end, "minute", oi=True),
    }
    print(json.dumps(read, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
