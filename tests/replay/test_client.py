"""One client over a wire that is filled and emptied by hand."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from kiterec.replay.audience import Audience
from kiterec.replay.limits import Limits
from kiterec.replay.outlet import HIGH_WATER_BYTES, Outlet
from kiterec.replay.stats import Tally
from tests.replay.handmade import run

if TYPE_CHECKING:
    from kiterec.replay.client import Client


class HandWire:
    """A wire whose peer takes bytes only when it is told to."""

    def __init__(self) -> None:
        self.unsent = 0
        self.closed: tuple[int, str] | None = None
        self.emptied = asyncio.Event()

    def push(self, message: bytes | str) -> None:
        self.unsent += len(message)

    def nudge(self) -> None:
        pass

    def unsent_bytes(self) -> int:
        return self.unsent

    def untaken_bytes(self) -> int:
        return self.unsent_bytes()

    async def drained(self) -> None:
        await self.emptied.wait()

    async def taken(self) -> None:
        await self.emptied.wait()

    def break_off(self) -> None:
        self.closed = (1006, "")

    def reset(self) -> None:
        self.closed = (1006, "")

    def hang_up(self, code: int, reason: str) -> None:
        self.closed = (code, reason)


def outlet_on(wire: HandWire, *, stall_s: float = 0.05) -> tuple[Outlet, Tally]:
    tally = Tally()
    limits = Limits(unread_bytes=8 << 20, stall_s=stall_s)
    return Outlet("client-1", wire, limits=limits, tally=tally), tally


def test_what_would_go_over_the_limit_is_not_sent_and_the_client_is_cut_off() -> None:
    async def main() -> None:
        wire = HandWire()
        outlet, tally = outlet_on(wire)
        outlet.transmit(bytes(8 << 20))
        assert wire.closed is None
        outlet.transmit(b"x")
        assert wire.closed == (1008, "reads too slowly: 8,388,608 bytes unread, 8,388,608 allowed")
        assert wire.unsent == 8 << 20
        assert tally.cut_off == ["client-1: 8,388,608 bytes unread, 8,388,608 allowed"]
        outlet.transmit(b"y")
        assert (wire.unsent, len(tally.cut_off)) == (8 << 20, 1)

    run(main())


def test_a_client_that_takes_a_little_at_a_time_is_waited_for() -> None:
    async def main() -> None:
        wire = HandWire()
        outlet, tally = outlet_on(wire)
        outlet.transmit(bytes(HIGH_WATER_BYTES + 10))

        def take() -> None:
            wire.unsent -= 1
            if wire.unsent > HIGH_WATER_BYTES:
                asyncio.get_running_loop().call_later(0.01, take)

        take()
        await outlet.drained()
        assert not tally.cut_off

    run(main())


def test_a_client_that_takes_nothing_while_it_is_waited_for_is_cut_off() -> None:
    async def main() -> None:
        wire = HandWire()
        outlet, tally = outlet_on(wire)
        outlet.transmit(bytes(HIGH_WATER_BYTES + 10))
        await outlet.drained()
        assert tally.cut_off == ["client-1: nothing read for 0.05 s, 4,194,314 bytes unread"]

    run(main())


def test_a_client_that_takes_nothing_at_the_end_is_cut_off_and_one_that_has_all_is_not() -> None:
    async def main() -> None:
        wire = HandWire()
        outlet, tally = outlet_on(wire)
        await outlet.taken_at_last()  # it answers nothing, but has all
        assert (wire.closed, tally.cut_off) == (None, [])
        outlet.transmit(bytes(1000))
        await outlet.taken_at_last()
        assert tally.cut_off == ["client-1: nothing read for 0.05 s at the end, 1,000 bytes unread"]
        assert wire.closed is not None

    run(main())


@pytest.mark.parametrize("bounds", [{"connections": 0}, {"stall_s": 0}, {"unread_bytes": 1000}])
def test_impossible_bounds_are_refused(bounds: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bounds))):
        Limits(**bounds)


def test_clients_that_are_behind_are_waited_for_at_once() -> None:
    """Each gives the others leave to go on: one after the other, they would wait for ever."""

    class Behind:
        is_behind = True

        async def drained(self, *, ended: bool) -> None:
            assert not ended
            waiting.append(self)
            if len(waiting) == 3:
                everybody.set()
            await everybody.wait()

    waiting: list[Behind] = []
    everybody = asyncio.Event()

    async def main() -> None:
        audience = Audience(expected=0, silent_count=False)
        for _ in range(3):
            audience.join(cast("Client", SimpleNamespace(outlet=Behind())))
        await audience.drained()
        assert len(waiting) == 3

    run(main())
