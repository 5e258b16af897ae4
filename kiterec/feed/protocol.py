"""The life of one connection without any I/O: events and times go in, actions come out.

The shell calls `handle` for each event, and does the actions that it gives, in their order. For each message
it calls `heard`, which is cheap and gives nothing. After `WaitUntil` it sends `Wake` at that time (earlier
does no harm). Nothing here knows a socket, a clock or a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiterec.clock import NS_PER_S
from kiterec.feed.attempts import Attempts
from kiterec.feed.events import (
    Connected,
    Held,
    Instant,
    Lost,
    Refused,
    Silent,
    Stopped,
    Subscribed,
)
from kiterec.feed.failure import of_network
from kiterec.feed.hearing import Hearing
from kiterec.feed.outage import Outage
from kiterec.feed.state import NO_CLOSE_FRAME, NORMAL_CLOSE, State
from kiterec.feed.steps import (
    Abort,
    Action,
    Changed,
    Close,
    Connect,
    ConnectFailed,
    Ended,
    Event,
    Hold,
    NewToken,
    Opened,
    RefusedText,
    Release,
    Report,
    Send,
    Start,
    Stop,
    WaitUntil,
    Wake,
)
from kiterec.feed.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kiterec.feed.attempts import Verdict
    from kiterec.feed.backoff import Backoff
    from kiterec.feed.config import FeedConfig
    from kiterec.wire.packets import Mode


class ConnectionProtocol:
    """The life of one connection.

    Args:
        name: of the connection, such as main-0.
        wanted: instrument → mode, as it should be; read anew at each `Changed` and each connect.
        backoff: the waits between attempts.
        renewable: see there.

    Attributes:
        state: where it is.
        epoch: successful connects so far.
        renewable: another access token may appear without `NewToken`, so that a refused one is no end.
    """

    def __init__(
        self,
        name: str,
        config: FeedConfig,
        wanted: Mapping[int, Mode],
        *,
        backoff: Backoff,
        renewable: bool = False,
    ) -> None:
        self.name = name
        self.state = State.IDLE
        self.epoch = 0
        self._config = config
        self._wanted = wanted
        self.renewable = renewable
        self._attempts = Attempts(name, config, backoff)
        self._hearing = Hearing(int(config.silence_limit_s * NS_PER_S))
        self._outage = Outage()
        self._telling = Telling(config.subscribe_chunk, pause_ns=int(config.subscribe_interval_s * NS_PER_S))
        self._deadline: int | None = None
        self._opened_at = 0
        self._told_once = False  # in this epoch
        self._handlers: dict[type, Callable[..., list[Action]]] = {
            Start: self._on_start,
            Wake: self._on_wake,
            Opened: self._on_opened,
            ConnectFailed: self._on_connect_failed,
            Ended: self._on_ended,
            RefusedText: self._on_refused_text,
            Changed: self._on_changed,
            Hold: self._on_hold,
            Release: self._on_release,
            NewToken: self._on_new_token,
            Stop: self._on_stop,
        }

    @property
    def pending(self) -> int:
        """Count the instruments whose wish has not been told yet."""
        return self._telling.pending

    @property
    def hopeless(self) -> bool:
        """Tell whether nothing comes any more unless somebody helps."""
        return self.state in {State.STOPPED, State.GAVE_UP} or (
            self.state is State.REFUSED and not self.renewable
        )

    def heard(self, received_at: int, monotonic_ns: int) -> None:
        """Note a message of any kind."""
        self._hearing.last = Instant(received_at, monotonic_ns)

    @property
    def last_heard(self) -> Instant:
        """Give the last message of this epoch, or its start."""
        return self._hearing.last

    def handle(self, event: Event, at: Instant) -> list[Action]:
        """Give what is to be done about an event, in order."""
        return self._handlers[type(event)](event, at)

    # --- connecting ---

    def _on_start(self, _: Start, at: Instant) -> list[Action]:
        return self._connect(at) if self.state is State.IDLE else []

    def _connect(self, at: Instant) -> list[Action]:
        self.state = State.CONNECTING
        self._outage.begin(at)
        self._deadline = at.monotonic_ns + int(self._config.connect_timeout_s * NS_PER_S)
        news = self._attempts.begin(self.epoch + 1, at)
        return [*map(Report, news), Connect(), WaitUntil(self._deadline)]

    def _on_opened(self, _: Opened, at: Instant) -> list[Action]:
        if self.state is not State.CONNECTING:
            return []
        self.state = State.OPEN
        self.epoch += 1
        self._hearing.restart(at)
        self._opened_at = at.monotonic_ns
        self._attempts.opened()
        self._told_once = False
        self._telling.restart(self._wanted)
        connected = Report(Connected(connection=self.name, at=at, epoch=self.epoch))
        return [connected, *self._tell(at), self._next_wake()]

    def _on_connect_failed(self, event: ConnectFailed, at: Instant) -> list[Action]:
        if self.state is not State.CONNECTING:
            return []
        self._outage.blame(event.failure.reason)
        return self._settle(self._attempts.failed(event.failure, at, renewable=self.renewable))

    def _settle(self, verdict: Verdict) -> list[Action]:
        self.state, self._deadline = verdict.state, verdict.due_ns
        return [*map(Report, verdict.news), WaitUntil(verdict.due_ns)]

    def _on_new_token(self, _: NewToken, at: Instant) -> list[Action]:
        if self.state not in {State.REFUSED, State.GAVE_UP, State.WAITING}:
            return []
        self._attempts.take_token()
        return self._connect(at)

    # --- open ---

    def _on_changed(self, event: Changed, at: Instant) -> list[Action]:
        if self.state is not State.OPEN:
            return []  # all that is wanted is told after the connect
        self._telling.touch(event.tokens)
        return [*self._tell(at), self._next_wake()]

    def _tell(self, at: Instant) -> list[Action]:
        """Say what may be said now; the last chunk closes the gap."""
        sends: list[Action] = [Send(text) for text in self._telling.speak(self._wanted, at.monotonic_ns)]
        if self._telling.pending:
            return sends
        if sends or not self._told_once:
            sends.append(Report(Subscribed(connection=self.name, at=at, instruments=len(self._wanted))))
        self._told_once = True
        return [*sends, *self._end_gap(at)]

    def _end_gap(self, at: Instant) -> list[Action]:
        gap = self._outage.end(self.name, at)
        return [] if gap is None else [Report(gap)]

    def _on_refused_text(self, event: RefusedText, at: Instant) -> list[Action]:
        return [Report(Refused(connection=self.name, at=at, status=None, reason=event.words))]

    def _on_hold(self, _: Hold, at: Instant) -> list[Action]:
        if self._hearing.held_since is not None:
            return []
        self._hearing.held_since = at
        return [self._next_wake()] if self.state is State.OPEN else []

    def _on_release(self, _: Release, at: Instant) -> list[Action]:
        since, self._hearing.held_since = self._hearing.held_since, None
        if since is None:
            return []
        held = Held(connection=self.name, at=at, from_ns=since.received_at, to_ns=at.received_at)
        if self.state is not State.OPEN:
            return [Report(held)]
        self._hearing.listen_again(at)
        return [Report(held), self._next_wake()]

    # --- time ---

    def _next_wake(self) -> WaitUntil:
        times = [time for time in (self._hearing.limit_at, self._telling.due_ns) if time is not None]
        self._deadline = min(times, default=None)
        return WaitUntil(self._deadline)

    def _on_wake(self, _: Wake, at: Instant) -> list[Action]:
        if self.state is State.OPEN:
            return self._on_wake_open(at)
        if self._deadline is None or at.monotonic_ns < self._deadline:
            return [WaitUntil(self._deadline)]
        if self.state is State.CONNECTING:
            reason = f"the connect took longer than {self._config.connect_timeout_s:g} s"
            return [Abort(), *self._on_connect_failed(ConnectFailed(of_network(reason)), at)]
        if self.state in {State.WAITING, State.REFUSED}:
            return self._connect(at)
        if self.state is State.CLOSING:
            ended = Ended(NO_CLOSE_FRAME, "the server did not answer the close")
            return [Abort(), *self._on_ended(ended, at)]
        return [WaitUntil(None)]

    def _on_wake_open(self, at: Instant) -> list[Action]:
        self._hearing.woken(at, self._deadline)
        silent_ns = self._hearing.silent_ns(at)
        if silent_ns is not None:
            silent_s, limit_s = silent_ns / NS_PER_S, self._config.silence_limit_s
            silent = Silent(connection=self.name, at=at, silent_for_s=silent_s)
            reason = f"nothing was heard for {silent_s:.1f} s, the limit is {limit_s:g} s"
            return [Report(silent), Abort(), *self._on_ended(Ended(NO_CLOSE_FRAME, reason), at)]
        return [*(self._tell(at) if self._telling.pending else []), self._next_wake()]

    # --- the end ---

    def _on_ended(self, event: Ended, at: Instant) -> list[Action]:
        if self.state is State.CLOSING:
            answered = event.code == NORMAL_CLOSE
            ended = Ended(event.code, "stopped") if answered else event
            return [self._lost(ended, at, wanted=True), *self._stopped(at)]
        if self.state is not State.OPEN:
            return []
        lost = self._lost(event, at, wanted=False)
        self._outage.begin(self.last_heard, event.reason)
        # A server that accepts and hangs up is no working connection: only one that lived counts.
        lived_ns = self.last_heard.monotonic_ns - self._opened_at
        if lived_ns > self._config.backoff_initial_s * NS_PER_S:
            self._attempts.begin_anew()
        return [lost, *self._settle(self._attempts.again(event.reason, at))]

    def _lost(self, event: Ended, at: Instant, *, wanted: bool) -> Report:
        return Report(Lost(connection=self.name, at=at, code=event.code, reason=event.reason, wanted=wanted))

    def _on_stop(self, _: Stop, at: Instant) -> list[Action]:
        if self.state in {State.STOPPED, State.CLOSING}:
            return []
        if self.state is State.OPEN:
            self.state = State.CLOSING
            self._deadline = at.monotonic_ns + int(self._config.close_timeout_s * NS_PER_S)
            return [Close(), WaitUntil(self._deadline)]
        abort: list[Action] = [Abort()] if self.state is State.CONNECTING else []
        return [*abort, *self._stopped(at)]

    def _stopped(self, at: Instant) -> list[Action]:
        self.state = State.STOPPED
        self._deadline = None
        gap = self._end_gap(at)  # it was never closed: it ends where the recording ends
        return [*gap, Report(Stopped(connection=self.name, at=at, reason="stopped")), WaitUntil(None)]
