"""Who gets what: every consumer's stream, fed by the connections it asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from kiterec.feed.latency import Latency
from kiterec.feed.streams import Frame, Policy, Stream
from kiterec.feed.subscriptions import account_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kiterec.feed.driver import Driver
    from kiterec.feed.events import FeedEvent
    from kiterec.wire.transcript import Row

T = TypeVar("T")


class _Seat:
    """One consumer: its stream and what it asked for."""

    def __init__(
        self, stream: Stream[Any], *, account: str | None, connection: str | None, frames: bool, events: bool
    ) -> None:
        self.stream = stream
        self.frames = frames
        self.events = events
        self._account = account
        self._connection = connection

    def wants(self, connection: str) -> bool:
        return self._connection in {None, connection} and self._account in {None, account_of(connection)}


class Hub:
    """Every stream of a manager. A connection without a consumer of frames pays nothing.

    Args:
        drivers: by name, as they are now.
        monotonic_ns: the clock that frames are stamped with.
    """

    def __init__(self, drivers: dict[str, Driver], monotonic_ns: Callable[[], int]) -> None:
        self.taps: list[Callable[[str, Row], None]] = []
        self._drivers = drivers
        self._monotonic_ns = monotonic_ns
        self._seats: list[_Seat] = []
        self._routes: dict[str, tuple[Stream[Any], ...]] = {}
        self._gone_dropped = 0
        self._gone_latency = Latency()
        self._ended = False

    def open(
        self,
        *,
        account: str | None,
        connection: str | None,
        frames: bool,
        events: bool,
        size: int,
        policy: Policy | str,
    ) -> Stream[Any]:
        """Make a stream for one consumer."""
        stream: Stream[Any] = Stream(
            size=size,
            policy=Policy(policy),
            monotonic_ns=self._monotonic_ns,
            hold=lambda stream: self._each(stream, lambda driver: driver.hold(stream)),
            release=lambda stream: self._each(stream, lambda driver: driver.release(stream)),
            on_close=self._close,
        )
        self._seats.append(
            _Seat(stream, account=account, connection=connection, frames=frames, events=events)
        )
        if self._ended:
            stream.end()
        self.route()
        return stream

    def tap(self, listener: Callable[[str, Row], None]) -> None:
        """Call a function with every received row of every connection, on the event loop."""
        self.taps.append(listener)
        self.route()

    def route(self) -> None:
        """Tell each connection who listens; to be called when consumers or connections change."""
        for name, driver in self._drivers.items():
            streams = tuple(seat.stream for seat in self._seats if seat.frames and seat.wants(name))
            self._routes[name] = streams
            driver.listeners = (*self.taps, *((self._take,) if streams else ()))

    def publish(self, event: FeedEvent) -> None:
        """Give an event to those who asked for its connection's."""
        for seat in self._seats:
            if seat.events and seat.wants(event.connection):
                seat.stream.put(event)

    def end(self) -> None:
        """End every stream, now and later ones too."""
        self._ended = True
        for seat in self._seats:
            seat.stream.end()

    @property
    def dropped(self) -> int:
        """Count what consumers have lost, those who left included."""
        return self._gone_dropped + sum(seat.stream.dropped for seat in self._seats)

    def latency(self) -> Latency:
        """Give the latency over all consumers, those who left included."""
        total = Latency()
        for part in (self._gone_latency, *(seat.stream.latency for seat in self._seats)):
            total.merge(part)
        return total

    def _take(self, connection: str, row: Row) -> None:
        frame = Frame(connection, *row)
        for stream in self._routes[connection]:
            stream.put(frame)

    def _each(self, stream: Stream[Any], act: Callable[[Driver], None]) -> None:
        seat = next((seat for seat in self._seats if seat.stream is stream), None)
        for name, driver in self._drivers.items():
            if seat is not None and seat.wants(name):
                act(driver)

    def _close(self, stream: Stream[Any]) -> None:
        left: Iterable[_Seat] = [seat for seat in self._seats if seat.stream is not stream]
        if len(list(left)) == len(self._seats):
            return
        self._seats = list(left)
        self._gone_dropped += stream.dropped
        self._gone_latency.merge(stream.latency)
        self.route()
