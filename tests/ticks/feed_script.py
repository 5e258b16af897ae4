"""A simulated market as two connections would have received it, with everything that upsets candles."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

import polars as pl

from kiterec.clock import IST, NS_PER_S, to_ns
from kiterec.simulate.market import SyntheticMarket
from kiterec.ticks.decode import decode
from kiterec.ticks.schema import INSTANT
from kiterec.wire.frames import join_frame, split_frame
from kiterec.wire.packets import Mode, cut_packet
from tests.ticks import reference

GAP_SCHEMA = {"connection": pl.String(), "begin": INSTANT, "end": INSTANT}


@dataclass
class Script:
    """What was received, in order, and what was missed."""

    frames: list[bytes] = field(default_factory=list)
    received_ns: list[int] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    gaps: list[tuple[str, int, int]] = field(default_factory=list)

    def receive(self, connection: str, at_ns: int, packets: list[bytes]) -> None:
        if packets:
            self.frames.append(join_frame(packets))
            self.received_ns.append(at_ns)
            self.connections.append(connection)

    def ticks(self) -> pl.LazyFrame:
        """Give the tick table that a recording of it would give."""
        seq = pl.col("seq").cast(pl.UInt32)
        received = pl.lit(pl.Series(self.received_ns, dtype=pl.Int64()).cast(INSTANT))
        names = pl.lit(pl.Series(self.connections, dtype=pl.Categorical()))
        table = decode(self.frames).with_columns(
            received.gather(seq).alias("received_at"), names.gather(seq).alias("connection")
        )
        return table.lazy()

    def gap_table(self) -> pl.DataFrame:
        return pl.DataFrame(self.gaps, {**GAP_SCHEMA, "begin": pl.Int64, "end": pl.Int64}, orient="row").cast(
            GAP_SCHEMA
        )

    def dict_ticks(self) -> list[dict[str, Any]]:
        """Give the ticks as plain dicts; times as nanoseconds."""
        return [
            tick
            | {
                "received_at": self.received_ns[tick["seq"]],
                "connection": self.connections[tick["seq"]],
                "exchange_timestamp": tick["exchange_timestamp"] and to_ns(tick["exchange_timestamp"]),
            }
            for tick in reference.rows(self.frames)
        ]


@functools.cache
def market_script(
    seed: int, *, instruments: int = 40, duration_s: int = 200, begin: time = time(9, 13, 30), slow: int = 1
) -> Script:
    """Play a market, from the end of the pre-open on, to two connections that lose and regain it.

    Args:
        slow: how much rarer than usual packets are.
    """
    rng = random.Random(seed)
    start = datetime.combine(date(2026, 1, 5), begin, IST)
    market = SyntheticMarket(
        instruments=instruments, seed=seed, duration_s=duration_s, packets_per_s=1.5 / slow,
        grid_ms=250 * slow, start_ns=to_ns(start),
    )  # fmt: skip
    script = Script()
    mode = {
        token: rng.choice([Mode.LTP, Mode.QUOTE, Mode.FULL, Mode.FULL]) for token in market.instrument_tokens
    }
    # Every fourth instrument is on both connections; the second one's packets come late there.
    names = {token: ["a", "b"] if rng.random() < 0.25 else [rng.choice("ab")] for token in mode}
    away = {name: _stretches(rng, duration_s) for name in "ab"}
    script.gaps = [(name, to_ns(start) + f, to_ns(start) + t) for name in "ab" for f, t in away[name]]
    state: dict[int, bytes] = {}
    delayed: list[bytes] = []
    was_away = dict.fromkeys("ab", False)
    for batch in market.batches():
        for due, payload in zip(batch.due_ns.tolist(), batch.payloads.to_pylist(), strict=True):
            at = to_ns(start) + due
            packets = [] if payload[:1] == b"{" else split_frame(payload)
            state |= {int.from_bytes(packet[:4]): packet for packet in packets}
            for name in "ab":
                if any(f <= due < t for f, t in away[name]):
                    was_away[name] = True
                    continue
                mine = [p for p in packets if name in names[int.from_bytes(p[:4])]]
                if was_away[name]:
                    mine = [p for token, p in state.items() if name in names[token]]
                    was_away[name] = False
                if name == "b":
                    mine, delayed = delayed, mine
                cut = [cut_packet(p, mode[int.from_bytes(p[:4])]) for p in mine]
                script.receive(name, at + (7_000_000 if name == "a" else 9_000_000), cut)
    return script


def _stretches(rng: random.Random, duration_s: int) -> list[tuple[int, int]]:
    """Give when a connection is away."""
    found = []
    for _ in range(3):
        begin = rng.randrange(duration_s * NS_PER_S)
        found.append((begin, begin + rng.randrange(1, 20 * NS_PER_S)))
    return found
