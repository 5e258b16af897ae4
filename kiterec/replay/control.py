"""The client of a replay's control channel, for programs and tests that block."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING, Final, Literal, Self

import msgspec
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import connect

from kiterec.errors import ReplayError
from kiterec.replay.control_messages import (
    Acknowledge,
    Clients,
    Control,
    Pause,
    Reply,
    Resume,
    Seek,
    Speed,
    Stats,
    Step,
)
from kiterec.replay.wire_log import wire_logger

if TYPE_CHECKING:
    from types import TracebackType

    from websockets.sync.client import ClientConnection

    from kiterec.replay.stats import ClientState, ReplayStats

_CONNECT_S: Final = 30.0


class ReplayControl:
    """Controls a replay from another thread or process; a context manager.

    Every method waits until its work is done; calls from several threads wait for each other. In asyncio
    code, use `asyncio.to_thread`, or the functions of the same names of `ReplayServer`.

    Args:
        url: the replay's, such as `ws://127.0.0.1:8765`; with `?api_key=…&access_token=…` where the replay
            checks credentials.

    Raises:
        ReplayError: from every method: the replay has gone, or refuses.
    """

    def __init__(self, url: str) -> None:
        self._root, _, self._query = url.partition("?")
        self._numbers = count(1)
        self._turn = threading.Lock()
        self._stack = ExitStack()
        self._open: ClientConnection | None = None

    def __enter__(self) -> Self:
        """Connect.

        Raises:
            ReplayError: the replay cannot be reached, or refuses.
        """
        address = f"{self._root.rstrip('/')}/control{'?' if self._query else ''}{self._query}"
        try:
            connection = connect(
                address, compression=None, proxy=None, max_size=None, open_timeout=_CONNECT_S,
                logger=wire_logger(),
            )  # fmt: skip
            self._open = self._stack.enter_context(connection)
        except InvalidStatus as reason:
            status = reason.response.status_code
            raise ReplayError(f"the replay refuses the control channel with HTTP status {status}") from None
        except (OSError, TimeoutError, WebSocketException) as reason:
            raise ReplayError(
                f"no replay answers at {self._root}: {reason}; start one with `kiterec replay`"
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up; the replay goes on."""
        self._open = None
        self._stack.close()

    def pause(self) -> ReplayStats:
        """Hold the timeline; heartbeats go on."""
        return self._stats(Pause(id=next(self._numbers)))

    def resume(self) -> ReplayStats:
        """Go on."""
        return self._stats(Resume(id=next(self._numbers)))

    def step(self, frames: int = 1) -> ReplayStats:
        """Pause, and wait until the next messages are out that some client gets."""
        return self._stats(Step(id=next(self._numbers), frames=frames))

    def seek(
        self,
        *,
        position_s: float | None = None,
        by_s: float | None = None,
        time_ns: int | None = None,
        seq: int | None = None,
    ) -> ReplayStats:
        """Go on from one place: seconds from the start, seconds from here, a recorded time, or a number."""
        request = Seek(id=next(self._numbers), position_s=position_s, by_s=by_s, time_ns=time_ns, seq=seq)
        return self._stats(request)

    def set_speed(self, speed: float | Literal["max"]) -> ReplayStats:
        """Change the speed; a pause stays one."""
        return self._stats(Speed(id=next(self._numbers), speed=speed))

    def acknowledge(self, client: str | None = None) -> bool:
        """In lockstep with acknowledgements, let the next message go out; False if nobody waited."""
        return bool(self._ask(Acknowledge(id=next(self._numbers), client=client)).waited)

    def stats(self) -> ReplayStats:
        """Give what the replay has done so far."""
        return self._stats(Stats(id=next(self._numbers)))

    def clients(self) -> list[ClientState]:
        """Tell who is there, and what each has subscribed to."""
        return self._ask(Clients(id=next(self._numbers))).clients or []

    def _stats(self, request: Control) -> ReplayStats:
        stats = self._ask(request).stats
        if stats is None:
            raise ReplayError("the replay's answer has no stats; it is of another version")
        return stats

    def _ask(self, request: Control) -> Reply:
        connection = self._open
        if connection is None:
            raise ReplayError("the control channel is not open; use ReplayControl in `with`")
        try:
            with self._turn:
                connection.send(msgspec.json.encode(request).decode())
                reply = msgspec.json.decode(connection.recv(), type=Reply)
        except WebSocketException as reason:
            raise ReplayError(f"the replay has closed the control channel: {reason}") from None
        except msgspec.DecodeError as reason:
            raise ReplayError(f"the replay's answer is no reply: {reason}") from None
        if not reply.ok:
            raise ReplayError(f"the replay refuses: {reply.error}")
        return reply
