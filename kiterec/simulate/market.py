"""The synthetic market as a timeline, so that the same server can serve it as serves a recording."""

from __future__ import annotations

import zlib
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.clock import IST, NS_PER_MS, NS_PER_S, ist, to_ns
from kiterec.replay.timeline import InstrumentUniverse, TimelineBatch, TimelineKind
from kiterec.simulate.frames import FramePacker, payloads
from kiterec.simulate.state import MarketState
from kiterec.simulate.universe import Universe
from kiterec.simulate.walk import MarketWalk
from kiterec.wire.messages import InstrumentsMeta, encode_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from kiterec.simulate.frames import Bytes

VIRTUAL_START: Final = to_ns(datetime(2026, 1, 5, 10, 0, tzinfo=IST))
"""A Monday morning, when no other start is given, so that the bytes depend on the seed alone."""

BATCH_NS: Final = NS_PER_S
"""Market that is made at once."""


class SyntheticMarket:
    """A seeded market that never existed; implements `Timeline`.

    The same instruments, seed, grid, rate and start give the same bytes, in every process. Everything is on
    one connection, `market`, in full mode: first `instruments_meta` and a snapshot of every instrument, then
    a frame each grid step with the instruments that changed in it.
    """

    connections: Sequence[str] = ("market",)

    def __init__(
        self,
        *,
        instruments: int = 300,
        seed: int = 1,
        duration_s: float | None = None,
        grid_ms: int = 250,
        packets_per_s: float = 2.0,
        start_ns: int | None = None,
    ) -> None:
        """Describe the market; nothing is made yet.

        Args:
            instruments: how many; from 10 on, every kind of instrument is there.
            seed: decides everything that moves.
            duration_s: None goes on without end.
            grid_ms: time between two frames.
            packets_per_s: mean over all instruments; busy ones have more, some have none.
            start_ns: the exchange's wall clock at the start, in nanoseconds since the epoch; None is a fixed
                Monday morning.

        Raises:
            ValueError: a number is impossible.
        """
        if grid_ms < 1:
            raise ValueError(f"a grid of {grid_ms} ms is impossible; give at least 1")
        if seed < 0:
            raise ValueError(f"the seed {seed} is negative; give 0 or more")
        if duration_s is not None and duration_s < 0:
            raise ValueError(f"a duration of {duration_s:g} s is impossible; give 0 or more, or None")
        if not 0 < packets_per_s <= 1_000 / grid_ms:
            raise ValueError(
                f"{packets_per_s:g} packets a second are impossible on a grid of {grid_ms} ms; "
                f"give more than 0, and {1_000 / grid_ms:g} at most"
            )
        self.seed = seed
        self.duration_s = duration_s
        self.grid_ms = grid_ms
        self.packets_per_s = packets_per_s
        self.start_ns = VIRTUAL_START if start_ns is None else start_ns
        self._listed = Universe(instruments, on=self.day)
        self._dump = self._listed.csv()

    @property
    def day(self) -> date:
        """Give the day of the session, in IST."""
        return ist(self.start_ns).date()

    @property
    def instrument_tokens(self) -> list[int]:
        """Give the instruments in the order of the dump."""
        return [it.instrument_token for it in self._listed.listings]

    @property
    def universe(self) -> InstrumentUniverse:
        """Give a full packet of every instrument as it is at the start."""
        state, _ = self._open()
        return InstrumentUniverse(frames=payloads(self._snapshot(state)))

    def instruments_csv(self) -> bytes:
        """Give the day's instrument dump in the vendor's 12 columns, prices in rupees."""
        return self._dump

    def batches(self) -> Iterator[TimelineBatch]:
        """Give the market from its start, about a second at a time; each call gives the same bytes anew."""
        state, walk = self._open()
        packer = FramePacker(state.index)
        meta = np.frombuffer(encode_text(self._meta()).encode(), dtype=np.uint8)
        first = [meta, *self._snapshot(state)]
        yield _batch([0] * len(first), first, text=1)
        chance = change_chance(state.activity, self.packets_per_s * self.grid_ms / 1_000)
        grid_ns = self.grid_ms * NS_PER_MS
        end_ns = None if self.duration_s is None else round(self.duration_s * NS_PER_S)
        due: list[int] = []
        messages: list[Bytes] = []
        now = grid_ns
        while end_ns is None or now < end_ns:
            changed = walk.move(chance, seconds=(self.start_ns + now) // NS_PER_S)
            frames = packer.pack(state.words, changed)
            messages += frames
            due += [now] * len(frames)
            if now % BATCH_NS + grid_ns >= BATCH_NS:
                yield _batch(due, messages)
                due, messages = [], []
            now += grid_ns
        if due:
            yield _batch(due, messages)

    def _open(self) -> tuple[MarketState, MarketWalk]:
        rng = np.random.Generator(np.random.PCG64(self.seed))
        seconds = self.start_ns // NS_PER_S
        state = MarketState(self._listed, rng, seconds=seconds)
        return state, MarketWalk(state, rng, seconds=seconds)

    def _snapshot(self, state: MarketState) -> list[Bytes]:
        return FramePacker(state.index).pack(state.words, np.arange(len(state.words)))

    def _meta(self) -> InstrumentsMeta:
        etag = f'W/"{zlib.crc32(self._dump):08x}-{len(self._dump):x}"'
        return InstrumentsMeta(count=len(self._listed.listings), etag=etag)


def _batch(due: list[int], messages: list[Bytes], *, text: int = 0) -> TimelineBatch:
    kind = np.full(len(due), TimelineKind.BINARY, dtype=np.uint8)
    kind[:text] = TimelineKind.TEXT
    return TimelineBatch(
        due_ns=np.array(due, dtype=np.int64),
        connection=np.zeros(len(due), dtype=np.int16),
        kind=kind,
        payloads=payloads(messages),
    )


def change_chance(activity: NDArray[np.float64], mean: float) -> NDArray[np.float64]:
    """Give each instrument's chance to change in a grid step.

    Args:
        activity: how they compare; 0 never changes.
        mean: what the chances of all instruments are on average, as far as the active ones can bear it.
    """
    low, high = 0.0, 1.0 / max(activity[activity > 0].min(initial=1.0), 1e-9)
    for _ in range(50):
        factor = (low + high) / 2
        if np.minimum(activity * factor, 1.0).mean() < mean:
            low = factor
        else:
            high = factor
    chance: NDArray[np.float64] = np.minimum(activity * high, 1.0)
    return chance
