"""Faults in a replay: a hook that lets go wrong what a scenario says, the same for the same seed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S
from kiterec.replay.fault_events import FaultEvent
from kiterec.replay.fault_kinds import AtConnect, Refuse, SlowAccept
from kiterec.replay.fault_seat import Seat
from kiterec.replay.fault_triggers import Place, Trigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiterec.replay.fault_kinds import Fault
    from kiterec.replay.hooks import Peer, Sending
    from kiterec.replay.scenario import Scenario

logger = logging.getLogger(__name__)

_REMEMBERED: Final = 100_000
_TOLD: Final = 100
"""So many faults of a kind are logged one by one; all are counted."""


class FaultInjector:
    """A `ReplayHook` that makes a scenario come true; for one replay.

    Each decision depends on the seed, the fault's place in the scenario, the client's seat and how many
    frames it has got, never on the time of day or on other clients.

    Attributes:
        events: what happened, in its order; the first 100,000.
        counts: how often each kind happened.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.events: list[FaultEvent] = []
        self.counts: Counter[str] = Counter()
        self._scenario = scenario
        self._seats: list[Seat] = []
        self._seated: dict[str, Seat] = {}
        self._armed: Counter[int] = Counter()
        self._at_connect = [
            Trigger(fault, seed=scenario.seed, index=index, seat=0)
            for index, fault in enumerate(scenario.faults)
            if isinstance(fault, AtConnect)
        ]
        self._reached = Place(0, 0, -1)

    async def connecting(self, number: int) -> int | None:
        """Let an attempt to connect wait, or refuse it with a status."""
        place = self._reached._replace(number=number)
        met = [each.fault for each in self._at_connect if self._meets(each, place)]
        for fault in met:
            self._happened(fault, 0, place)
        for fault in met:
            if isinstance(fault, SlowAccept):
                await asyncio.sleep(fault.seconds)
        return next((fault.status for fault in met if isinstance(fault, Refuse)), None)

    def outgoing(
        self, client: Peer, payload: bytes | str, kind: Sending, *, due_ns: int, seq: int
    ) -> Sequence[bytes | str] | None:
        """Give what goes out in place of a message; None: the message as it is."""
        self._reached = Place(0, due_ns, seq)
        return self._seat_of(client).pass_on(payload, kind, due_ns=due_ns, seq=seq)

    async def settle(self, client: Peer, *, ended: bool) -> None:
        """Wait until nothing is held back for a client.

        Args:
            client: which.
            ended: the timeline is over: let go, too, what waits for a next message.
        """
        seat = self._seated.get(client.name)
        if seat is not None:
            await seat.settle(ended=ended)

    def left(self, client: Peer) -> None:
        """Free a client's seat."""
        seat = self._seated.pop(client.name, None)
        if seat is not None:
            seat.rise(client)

    def _seat_of(self, client: Peer) -> Seat:
        seat = self._seated.get(client.name)
        if seat is None:
            seat = next((each for each in self._seats if not each.taken), None)
            if seat is None:
                scenario = self._scenario
                seat = Seat(
                    len(self._seats) + 1, scenario.faults, seed=scenario.seed, happened=self._happened_to_seat
                )
                self._seats.append(seat)
            seat.sit(client)
            self._seated[client.name] = seat
        return seat

    def _meets(self, trigger: Trigger, place: Place) -> bool:
        """Tell whether a fault of connecting meets this attempt."""
        fault = trigger.fault
        if not isinstance(fault, AtConnect) or (fault.attempts and place.number not in fault.attempts):
            return False
        if fault.probability is not None:
            return trigger.fires(place)
        if not fault.triggers():
            return trigger.stands(place)
        if not self._armed[id(fault)]:
            return False
        self._armed[id(fault)] -= 1
        return True

    def _happened_to_seat(self, fault: Fault, seat: int, place: Place) -> None:
        if isinstance(fault, AtConnect):
            self._armed[id(fault)] += fault.connects
        else:
            self._happened(fault, seat, place)

    def _happened(self, fault: Fault, seat: int, place: Place) -> None:
        self.counts[fault.name] += 1
        event = FaultEvent(
            kind=fault.name, seat=seat, number=place.number, seq=place.seq, at_s=place.due_ns / NS_PER_S
        )
        if len(self.events) < _REMEMBERED:
            self.events.append(event)
        if self.counts[fault.name] <= _TOLD:
            logger.info(
                "fault kind=%s seat=%d number=%d seq=%d at=%.3f",
                event.kind, seat, place.number, place.seq, event.at_s,
            )  # fmt: skip
