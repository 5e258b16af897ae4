"""A tick decoder written with `struct` alone, from the vendor's page; nothing of kiterec is in it."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Any

DIVISORS = {3: 10_000_000, 6: 10_000, 12: 10_000}
NAMES = {
    1: "NSE",
    2: "NFO",
    3: "CDS",
    4: "BSE",
    5: "BFO",
    6: "BCD",
    7: "MCX",
    8: "MCXSX",
    9: "INDICES",
    12: "NCO",
}
MODES = {8: "ltp", 28: "quote", 32: "full", 44: "quote", 184: "full"}
COLUMNS = [
    "seq",
    "packet",
    "received_at",
    "connection",
    "instrument_token",
    "segment",
    "mode",
    "tradable",
    "last_price",
    "last_traded_quantity",
    "average_traded_price",
    "volume_traded",
    "total_buy_quantity",
    "total_sell_quantity",
    "open",
    "high",
    "low",
    "close",
    "change",
    "net_change",
    "last_trade_time",
    "oi",
    "oi_day_high",
    "oi_day_low",
    "exchange_timestamp",
    "buy_price",
    "buy_quantity",
    "buy_orders",
    "sell_price",
    "sell_quantity",
    "sell_orders",
]


def split(frame: bytes) -> list[tuple[int, bytes]]:
    """Give number and bytes of each whole packet before the first thing that is wrong."""
    if len(frame) < 2:
        return []
    packets, at = [], 2
    for number in range(struct.unpack_from(">H", frame)[0]):
        if at + 2 > len(frame):
            break
        (length,) = struct.unpack_from(">H", frame, at)
        if at + 2 + length > len(frame):
            break
        packets.append((number, frame[at + 2 : at + 2 + length]))
        at += 2 + length
    return packets


def rows(frames: list[bytes]) -> list[dict[str, Any]]:
    """Give the tick table of frames as dicts, in rupees."""
    return [
        tick(packet) | {"seq": seq, "packet": number}
        for seq, frame in enumerate(frames)
        for number, packet in split(frame)
        if len(packet) in MODES
    ]


def tick(packet: bytes) -> dict[str, Any]:
    """Give one row, all columns."""
    token, last = struct.unpack_from(">Ii", packet)
    divisor = DIVISORS.get(token & 255, 100)
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {
        "instrument_token": token,
        "segment": NAMES.get(token & 255, "unknown"),
        "mode": MODES[len(packet)],
        "tradable": token & 255 != 9,
        "last_price": last / divisor,
    }
    if len(packet) in {28, 32}:
        high, low, open_, close, net = struct.unpack_from(">5i", packet, 8)
        row |= _ohlc(open_, high, low, close, divisor) | {"net_change": net / divisor}
        row["change"] = _change(last / divisor, close / divisor)
        if len(packet) == 32:
            row["exchange_timestamp"] = _time(*struct.unpack_from(">I", packet, 28))
    if len(packet) in {44, 184}:
        quantity, average, volume, buy, sell, open_, high, low, close = struct.unpack_from(
            ">IiIIIiiii", packet, 8
        )
        row |= _ohlc(open_, high, low, close, divisor)
        row |= {
            "last_traded_quantity": quantity,
            "average_traded_price": average / divisor,
            "volume_traded": volume,
            "total_buy_quantity": buy,
            "total_sell_quantity": sell,
            "change": _change(last / divisor, close / divisor),
            "net_change": (last - close) / divisor if close else None,
        }
    if len(packet) == 184:
        traded, oi, highest, lowest, sent = struct.unpack_from(">5I", packet, 44)
        row |= {"last_trade_time": _time(traded), "exchange_timestamp": _time(sent)}
        row |= {"oi": oi, "oi_day_high": highest, "oi_day_low": lowest}
        levels = [struct.unpack_from(">IiH", packet, 64 + 12 * level) for level in range(10)]
        for side, part in (("buy", levels[:5]), ("sell", levels[5:])):
            row[f"{side}_quantity"] = [level[0] for level in part]
            row[f"{side}_price"] = [level[1] / divisor for level in part]
            row[f"{side}_orders"] = [level[2] for level in part]
    return row


def _ohlc(open_: int, high: int, low: int, close: int, divisor: int) -> dict[str, float]:
    return {"open": open_ / divisor, "high": high / divisor, "low": low / divisor, "close": close / divisor}


def _change(last: float, close: float) -> float:
    return (last - close) * 100 / close if close else 0.0


def _time(seconds: int) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
