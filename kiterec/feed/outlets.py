"""What a consumer can ask of a manager: frames, events, ticks, packets, each as a stream of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kiterec.errors import SetupError
from kiterec.feed.consumers import LastPackets, PacketStream, TickStream, decode_frames
from kiterec.feed.streams import DEFAULT_SIZE, Frame, Policy
from kiterec.feed.views import FULL_BYTES

if TYPE_CHECKING:
    from kiterec.feed.config import FeedConfig
    from kiterec.feed.consumers import Decoder
    from kiterec.feed.events import FeedEvent
    from kiterec.feed.fleet import Fleet
    from kiterec.feed.hub import Hub
    from kiterec.feed.streams import Stream
    from kiterec.feed.views import PacketView


class Outlets:
    """The consumers' side of a manager."""

    def __init__(self, config: FeedConfig, fleet: Fleet, hub: Hub, decoder: Decoder | None) -> None:
        self.config = config
        self._fleet = fleet
        self._hub = hub
        self._decoder = decoder or decode_frames
        self._last = LastPackets() if config.keep_last else None
        if self._last is not None:
            hub.tap(self._last.take)

    def stream(
        self,
        *,
        account: str | None = None,
        connection: str | None = None,
        size: int = DEFAULT_SIZE,
        policy: Policy | str = Policy.DROP_OLDEST,
    ) -> Stream[Frame | FeedEvent]:
        """Give a stream of one's own of frames and events, in their order; attach before `subscribe`.

        Args:
            account: only of this account; None of all.
            connection: only of this connection, such as main-0; None of all.
            size: items that may wait.
            policy: what happens when more would wait.
        """
        return self._open(account, connection, size, policy, frames=True, events=True)

    def frames(
        self,
        *,
        account: str | None = None,
        connection: str | None = None,
        size: int = DEFAULT_SIZE,
        policy: Policy | str = Policy.DROP_OLDEST,
    ) -> Stream[Frame]:
        """Give a stream of one's own of the messages as they came, heartbeats and texts included."""
        return self._open(account, connection, size, policy, frames=True, events=False)

    def events(
        self, *, account: str | None = None, connection: str | None = None, size: int = DEFAULT_SIZE
    ) -> Stream[FeedEvent]:
        """Give a stream of one's own of what happens besides frames: `kiterec.feed.events` has the types."""
        return self._open(account, connection, size, Policy.DROP_OLDEST, frames=False, events=True)

    def ticks(
        self,
        *,
        account: str | None = None,
        connection: str | None = None,
        size: int = DEFAULT_SIZE,
        policy: Policy | str = Policy.DROP_OLDEST,
    ) -> TickStream:
        """Give a stream of one's own of tick tables, decoded when they are read.

        Raises:
            SetupError: the config says `raw_only`.
        """
        if self.config.raw_only:
            raise SetupError(
                "this manager is raw_only and decodes nothing; read frames, or change the config"
            )
        stream = self._open(account, connection, size, policy, frames=True, events=False)
        drivers = self._fleet.drivers
        return TickStream(
            stream, self._decoder, lambda name: drivers[name].counters if name in drivers else None
        )

    def full_packets(
        self,
        *,
        account: str | None = None,
        connection: str | None = None,
        size: int = DEFAULT_SIZE,
        policy: Policy | str = Policy.DROP_OLDEST,
        length: int | None = FULL_BYTES,
    ) -> PacketStream:
        """Give a stream of one's own of every full packet of every frame, as views into the frames.

        Args:
            length: of the packets; 184 is full, 44 quote, 32 an index, 8 ltp; None gives all.
            account: only of this account; None of all.
            connection: only of this connection; None of all.
            size: frames that may wait.
            policy: what happens when more would wait.
        """
        stream = self._open(account, connection, size, policy, frames=True, events=False)
        return PacketStream(stream, length)

    def last_packet(self, token: int) -> PacketView | None:
        """Give the last packet of an instrument; None before the first.

        Raises:
            SetupError: the config does not say `keep_last`.
        """
        if self._last is None:
            raise SetupError("last packets are not kept; set keep_last=True in the config")
        return self._last.of(token)

    def _open(
        self,
        account: str | None,
        connection: str | None,
        size: int,
        policy: Policy | str,
        *,
        frames: bool,
        events: bool,
    ) -> Stream[Any]:
        if account is not None:
            self._fleet.of_account(account)
        if connection is not None and connection not in self._fleet.drivers:
            raise SetupError(
                f"no connection is called {connection!r}, known: {', '.join(self._fleet.drivers)}"
            )
        return self._hub.open(
            account=account, connection=connection, frames=frames, events=events, size=size, policy=policy
        )
