"""Candles as one would write them down without thinking of speed: plain Python over dict ticks."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

IST = timezone(timedelta(hours=5, minutes=30))
S = 1_000_000_000
HOURS = {
    name: hours
    for names, hours in {
        ("NSE", "BSE", "INDICES"): [
            ("09:00", "09:15", "pre_open"), ("09:15", "15:30", "regular"), ("15:30", "15:35", "closing"),
        ],
        ("NFO", "BFO"): [("09:15", "15:40", "regular")],
        ("CDS", "BCD"): [("09:00", "17:00", "regular")],
        ("MCX",): [("09:00", "23:55", "regular")],
    }.items()
    for name in names
}  # fmt: skip

Gap = tuple[str, int, int]


def midnight(ns: int) -> int:
    day = datetime.fromtimestamp(ns // S, IST).replace(hour=0, minute=0, second=0)
    return int(day.timestamp()) * S


def session(segment: str, ns: int) -> tuple[str, int, int]:
    """Give name, begin and end of the session of an instant; outside lasts from one session to the next."""
    zero = midnight(ns)
    if segment not in HOURS:
        return "regular", zero, zero + 86_400 * S
    edge = zero
    for begin, end, name in HOURS[segment]:
        first, last = (zero + (int(t[:2]) * 60 + int(t[3:])) * 60 * S for t in (begin, end))
        if ns < first:
            return "outside", edge, first
        if ns < last:
            return name, first, last
        edge = last
    return "outside", edge, zero + 86_400 * S


class Counter:
    """What one instrument's `volume_traded` showed on one day."""

    def __init__(self) -> None:
        self.last: int | None = None
        self.highest = 0
        self.received_at = 0

    def step(self, volume: int) -> int:
        """Give what was traded since the value before."""
        if self.last is None:
            step, self.highest = 0, volume
        elif 2 * volume < self.last:
            step, self.highest = volume, volume
        else:
            step = max(0, volume - self.highest)
            self.highest = max(self.highest, volume)
        self.last = volume
        return step


def candles(ticks: list[dict[str, Any]], every: int, by: str, gaps: list[Gap]) -> list[dict[str, Any]]:
    """Give the candles of ticks in the order of arrival."""
    made: dict[tuple[int, int, str], dict[str, Any]] = {}
    counters: dict[tuple[int, int], Counter] = {}
    heard: dict[tuple[int, str], list[int]] = {}
    for tick in ticks:
        at = tick[by]
        if at is None:
            continue
        token = tick["instrument_token"]
        heard.setdefault((token, tick["connection"]), []).append(tick["received_at"])
        name, first, last = session(tick["segment"], at)
        begin = first + (at - first) // every * every
        key = (token, begin, name)
        price = tick["last_price"]
        candle = made.setdefault(
            key,
            {
                "instrument_token": token, "segment": tick["segment"], "session": name, "begin": begin,
                "end": min(begin + every, last), "open": price, "high": price, "low": price, "volume": None,
                "oi": None, "ticks": 0, "since": begin,
            },
        )  # fmt: skip
        candle |= {
            "high": max(candle["high"], price), "low": min(candle["low"], price), "close": price,
            "ticks": candle["ticks"] + 1, "oi": candle["oi"] if tick["oi"] is None else tick["oi"],
        }  # fmt: skip
        if tick["volume_traded"] is not None:
            counter = counters.setdefault((token, midnight(tick["received_at"])), Counter())
            if counter.last is not None:
                candle["since"] = min(candle["since"], counter.received_at)
            elif tick["volume_traded"] > 0:
                candle["since"] = min(candle["since"], midnight(tick["received_at"]))
            step = counter.step(tick["volume_traded"])
            counter.received_at = tick["received_at"]
            candle["volume"] = (candle["volume"] or 0) + step
    for candle in made.values():
        since = candle.pop("since")
        end = candle["end"] + (S if by == "exchange_timestamp" else 0)
        candle["complete"] = not any(
            gap[1] < end and gap[2] > since and is_missed(candle["instrument_token"], gap, gaps, heard)
            for gap in gaps
        )
    return [made[key] for key in sorted(made)]


def is_missed(token: int, gap: Gap, gaps: list[Gap], heard: dict[tuple[int, str], list[int]]) -> bool:
    """Tell whether an instrument was on the connection of the gap, and on no other that was there."""
    if (token, gap[0]) not in heard:
        return False
    for (other_token, connection), times in heard.items():
        if other_token == token and connection != gap[0] and min(times) <= gap[1] and max(times) >= gap[2]:
            away = any(g[0] == connection and g[1] < gap[2] and g[2] > gap[1] for g in gaps)
            if not away:
                return False
    return True
