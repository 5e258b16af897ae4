"""Chaos: connections are reset, silenced and refused by chance while the feed must account for every packet.

Run `python -m tests.feed.chaos [--seed N] [--seconds 60]`. The server numbers its packets and logs when it
put each on an open connection. At the end every one of them was delivered, or lies in a reported gap.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from websockets.exceptions import ConnectionClosed

from kiterec.feed.events import FeedEvent, Gap
from kiterec.feed.manager import TickerManager
from kiterec.feed.streams import Frame
from kiterec.wire.frames import join_frame
from kiterec.wire.packets import Mode
from tests.feed.exchange import Exchange, Session, account, quick

CONNECTIONS = 3
INSTRUMENTS = 30
MARGIN_NS = 50_000_000  # between the server's clock reading and the bytes on the wire, on a busy machine
_HEAD = struct.Struct(">II")


@dataclass
class Outcome:
    """What the run was."""

    sent: int = 0
    delivered: int = 0
    in_gaps: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    missing: list[tuple[int, int]] = field(default_factory=list)
    doubled: int = 0

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return (
            f"sent {self.sent:,}, delivered {self.delivered:,}, in reported gaps {self.in_gaps:,}, "
            f"missing {len(self.missing):,}, doubled {self.doubled:,}; faults: {faults}"
        )


class Sent(NamedTuple):
    """A packet that was put on an open connection."""

    session: int
    token: int
    number: int
    when: int


class Market:
    """Sends numbered packets to whoever subscribed, and logs each."""

    def __init__(self, exchange: Exchange, rng: random.Random) -> None:
        self.exchange = exchange
        self.rng = rng
        self.log: list[Sent] = []
        self.faults: dict[str, int] = {}
        self.muted: set[int] = set()
        self._number = 0

    async def feed(self, session: Session) -> None:
        """Send to one client until it is gone; the log has only what went on an open connection."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(0.002 + 0.006 * self.rng.random())
                if id(session) in self.muted or not session.modes:
                    continue
                packets, entries = [], []
                for token in self.rng.sample(sorted(session.modes), min(5, len(session.modes))):
                    self._number += 1
                    packets.append(_HEAD.pack(token, self._number) + bytes(176))
                    entries.append((token, self._number))
                now = time.time_ns()
                await session.send(join_frame(packets))
                self.log += [Sent(id(session), token, number, now) for token, number in entries]

    async def hurt(self) -> None:
        """Do something bad to a client, again and again."""
        while True:
            await asyncio.sleep(0.05 + 0.25 * self.rng.random())
            alive = [session for session in self.exchange.sessions if session.websocket.state.name == "OPEN"]
            if not alive:
                continue
            fault = self.rng.choice(["reset", "hang up", "silence", "close", "refuse", "garbage"])
            self.faults[fault] = self.faults.get(fault, 0) + 1
            await self._do(fault, self.rng.choice(alive))

    async def _do(self, fault: str, victim: Session) -> None:
        with contextlib.suppress(ConnectionClosed):
            match fault:
                case "reset":
                    victim.reset()
                case "hang up":
                    victim.hang_up()
                case "silence":
                    self.muted.add(id(victim))
                case "close":
                    await victim.close(self.rng.choice([1000, 1001, 1011, 4000]))
                case "refuse":
                    self.exchange.answers.extend([self.rng.choice([429, 500, 503])] * 2)
                    victim.reset()
                case "garbage":
                    await victim.send(self.rng.randbytes(50))


async def chaos(seed: int, seconds: float) -> Outcome:
    """Run for a while, and compare the server's log with what the consumer was given."""
    rng = random.Random(seed)
    exchange = Exchange(heartbeat_s=None, snapshots=False, greet=False)
    market = Market(exchange, rng)
    got: list[tuple[int, int]] = []
    gaps: list[Gap] = []

    def note(item: Frame | FeedEvent) -> None:
        if isinstance(item, Gap):
            gaps.append(item)
        elif isinstance(item, Frame) and len(item.payload) % 186 == 2:
            payload = item.payload
            got.extend(_HEAD.unpack_from(payload, start) for start in range(4, len(payload), 186))

    async with exchange:
        config = quick(exchange.url, max_connections=CONNECTIONS, silence_limit_s=0.3, backoff_max_s=0.2)
        manager = TickerManager([account()], config, rng=rng)
        stream = manager.stream(size=1_000_000)
        feeds: dict[int, asyncio.Task[None]] = {}
        async with manager:
            await manager.subscribe(range(1, INSTRUMENTS + 1), Mode.FULL)
            hurting = asyncio.create_task(market.hurt())
            end = asyncio.get_running_loop().time() + seconds
            while asyncio.get_running_loop().time() < end:
                for index, session in enumerate(exchange.sessions):
                    if index not in feeds:
                        feeds[index] = asyncio.create_task(market.feed(session))
                for item in await _waiting(stream):
                    note(item)
            hurting.cancel()
        for task in feeds.values():
            task.cancel()
        await asyncio.wait([hurting, *feeds.values()])
        async for item in stream:
            note(item)
    return _compare(market, got, gaps, manager)


async def _waiting(stream: object) -> list[Frame | FeedEvent]:
    try:
        async with asyncio.timeout(0.02):
            items: list[Frame | FeedEvent] = await stream.batch()  # type: ignore[attr-defined]
            return items
    except TimeoutError:
        return []


def _compare(market: Market, got: list[tuple[int, int]], gaps: list[Gap], manager: TickerManager) -> Outcome:
    delivered = set(got)
    outcome = Outcome(faults=market.faults, sent=len(market.log), delivered=len(delivered))
    outcome.doubled = len(got) - len(delivered)
    report = {name: [gap for gap in gaps if gap.connection == name] for name in manager.stats().connections}
    begin: dict[int, int] = {}
    last: dict[int, int] = {}  # what each client was given last, by the number
    for sent in market.log:
        begin.setdefault(sent.session, sent.when)
        if (sent.token, sent.number) in delivered:
            last[sent.session] = sent.number
    end = max((sent.when for sent in market.log), default=0)
    for sent in market.log:
        if (sent.token, sent.number) in delivered:
            continue
        # Only the tail of what a client was sent may be missing, and a gap must begin and end around it.
        tail = sent.number > last.get(sent.session, 0)
        home = f"main-{(sent.token - 1) % CONNECTIONS}"
        reported = any(
            begin[sent.session] - MARGIN_NS <= gap.from_ns and sent.when < gap.to_ns + MARGIN_NS
            for gap in report[home]
        )
        # What was put on the wire while we hung up ourselves is after the end, not lost.
        if tail and (reported or sent.when > end - MARGIN_NS):
            outcome.in_gaps += 1
        else:
            outcome.missing.append((sent.token, sent.number))
    return outcome


def main() -> int:
    """Run, print, and give 1 when a packet is unaccounted for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    logging.getLogger("kiterec").setLevel(logging.ERROR)
    seed = random.randrange(2**32) if asked.seed is None else asked.seed
    sys.stdout.write(f"chaos seed={seed} seconds={asked.seconds:g}\n")
    outcome = asyncio.run(chaos(seed, asked.seconds))
    sys.stdout.write(f"{outcome}\n")
    return int(bool(outcome.missing or outcome.doubled or not outcome.delivered))


if __name__ == "__main__":
    sys.exit(main())
