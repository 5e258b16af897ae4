"""The fake Kite: one port that speaks Kite's WebSocket wire and its instrument dump, from any timeline."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

from websockets.asyncio.server import serve

from kiterec.errors import ReplayError
from kiterec.replay.admission import Admission
from kiterec.replay.audience import Audience
from kiterec.replay.controls import ReplayControls
from kiterec.replay.front_door import FrontDoor
from kiterec.replay.greeting import greeting_of
from kiterec.replay.http_pages import Pages
from kiterec.replay.limits import Limits
from kiterec.replay.market import Market
from kiterec.replay.outlet import HIGH_WATER_BYTES
from kiterec.replay.pace import Pace
from kiterec.replay.playback import Playback, Stretch
from kiterec.replay.rebased import RebasedTimeline
from kiterec.replay.rest.instant import Instant
from kiterec.replay.rest.routes import RestTwin
from kiterec.replay.sockets import Room
from kiterec.replay.stats import Tally
from kiterec.replay.transport import Transport
from kiterec.replay.wire_log import wire_logger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from websockets.asyncio.server import Server

    from kiterec.replay.hooks import ReplayHook
    from kiterec.replay.timeline import Timeline
    from kiterec.replay.transport import Target

logger = logging.getLogger(__name__)

AtEnd = Literal["close", "hold", "loop"]

_NORMAL: Final = 1000
_GOING_AWAY: Final = 1001
_INTERNAL_ERROR: Final = 1011
_HANDSHAKE_S: Final = 10.0
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class ReplayServer(ReplayControls):
    """Serves a timeline as Kite would; an async context manager, with the controls of a replay.

    Args:
        timeline: what to serve.
        host: where to listen. The vendor's terms restrict redistribution: only loopback is without a warning.
        port: 0 for any free one.
        speed: seconds of the timeline per real second; None for as fast as the clients take it.
        exact: client n gets recorded connection n byte for byte, whatever it asks, and nothing else while the
            timeline runs.
        credentials: access_token by api_key; None lets every client in.
        wait_for_clients: how many clients must be there before the clock starts: connected ones in exact
            mode, subscribed ones otherwise. None: one, and in exact mode one per recorded connection.
        at_end: `close` every connection with code 1000, `hold` them with heartbeats, or `loop`.
        stretch: which part of the timeline is served, and whether its silences are.
        paused: begin with a pause.
        lockstep: send a message only when every client has taken the one before, and while as many clients
            are there as are waited for. A client has taken what it got when its library answers a ping;
            with "acknowledged", when somebody has said so with `acknowledge`.
        disconnects: lose connections where recorded ones were lost: in exact mode the client of that
            connection, otherwise those with an instrument that it spoke for. Deliberate ends are none.
        rebase: "now" moves the times that exchanges gave, in packets and in answers over HTTP, so that the
            beginning is now; not with `exact`. None leaves them.
        rest: answer the vendor's REST API over HTTP; otherwise only the instrument dump.
        limits: bounds of what clients may do.
        hook: asked before each connection is answered and before each message goes out.

    Raises:
        ValueError: an impossible option.
        ReplayError: the timeline is to be rebased and does not know when it was.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        speed: float | None = 1.0,
        exact: bool = False,
        credentials: Mapping[str, str] | None = None,
        wait_for_clients: int | None = None,
        at_end: AtEnd = "close",
        stretch: Stretch | None = None,
        paused: bool = False,
        lockstep: bool | Literal["acknowledged"] = False,
        disconnects: bool = False,
        rebase: Literal["now"] | None = None,
        rest: bool = True,
        limits: Limits | None = None,
        hook: ReplayHook | None = None,
    ) -> None:
        if at_end not in get_args(AtEnd):
            raise ValueError(f"at_end is close, hold or loop, got {at_end!r}")
        if wait_for_clients is None:
            wait_for_clients = len(timeline.connections) if exact else 1
        if wait_for_clients < 0:
            raise ValueError(f"wait_for_clients cannot be negative, got {wait_for_clients}")
        if rebase not in {None, "now"}:
            raise ValueError(f"rebase is now or None, got {rebase!r}")
        if rebase and exact:
            raise ValueError(
                "an exact replay sends what was recorded byte for byte; rebase changes times in it"
            )
        super().__init__(
            timeline,
            transport=Transport(Pace(speed)),
            audience=Audience(
                expected=wait_for_clients, silent_count=exact, acknowledged=lockstep == "acknowledged"
            ),
            tally=Tally(),
        )
        if paused:
            self.pause()
        self._stretch = stretch or Stretch()
        self._rest = rest
        self._rebased = RebasedTimeline(timeline) if rebase else None
        self._lockstep = bool(lockstep)
        self._disconnects = disconnects
        self._host, self._asked_port = host, port
        self._at_end = at_end
        self._limits = limits or Limits()
        self._market = None if exact else Market(connections=len(timeline.connections))
        self._admission = Admission(
            credentials=credentials,
            connections_per_api_key=self._limits.connections_per_api_key,
            seats=timeline.connections if exact else None,
        )
        self._room = Room(self._admission, limit=self._limits.connections)
        self._door = FrontDoor(
            admission=self._admission,
            audience=self._audience,
            controls=self,
            tally=self._tally,
            market=self._market,
            limits=self._limits,
            hook=hook,
            lockstep=self._lockstep,
            stays=at_end != "close",
        )
        self._server: Server | None = None
        self._run: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    @property
    def port(self) -> int:
        """Give the port that is listened on.

        Raises:
            ReplayError: the server is not started.
        """
        if self._server is None:
            raise ReplayError("the replay server is not started; use it in `async with`")
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Give the WebSocket address, to be used as a client's root."""
        return f"ws://{self._authority()}"

    @property
    def http_url(self) -> str:
        """Give the address of the instrument dump's host."""
        return f"http://{self._authority()}"

    async def finished(self) -> None:
        """Wait until the timeline is served to its end and, with `close`, the connections are closed.

        Raises:
            ReplayError: the server is not started, or was left before the end.
            KiterecError: the timeline could not be read to its end.
        """
        if self._run is None:
            raise ReplayError("the replay server is not started; use it in `async with`")
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait([self._run, ended], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if not self._run.done():
            return
        if self._run.cancelled():
            raise ReplayError("the replay was stopped before its end")
        self._run.result()

    async def __aenter__(self) -> Self:
        """Start to listen.

        Raises:
            ReplayError: the port is in use or the host cannot be listened on.
        """
        csv = await asyncio.to_thread(self._timeline.instruments_csv)
        if self._rebased is not None:
            await asyncio.to_thread(self._rebased.begin_now, self._stretch.begin_ns)
        instant = Instant(self._timeline, market=self._market, tally=self._tally, rebased=self._rebased)
        twin = RestTwin(instant, admission=self._admission, instruments_csv=csv)
        self._door.pages = Pages(csv, twin=twin if self._rest else None)
        await self._measure(finds_packets=self._market is not None)
        self._door.greeting = await asyncio.to_thread(greeting_of, self._timeline, csv)
        served = self._rebased or self._timeline
        if self._market is not None and (universe := served.universe) is not None:
            self._market.open(universe)
        self._server = await self._listen()
        if self._host not in _LOOPBACK:
            logger.warning("replay listens beyond this machine host=%s; mind the vendor's terms", self._host)
        self._run = asyncio.create_task(self._play(), name="kiterec-replay")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop: the clients are told that the server goes away."""
        if self._run is not None:
            self._run.cancel()
            await asyncio.wait([self._run])
            if not self._run.cancelled():
                self._run.exception()  # it is logged, and raised to whoever awaits `finished`
        self._audience.dismiss(_GOING_AWAY, "replay stopped")
        if self._server is not None:
            self._server.close()
            await self._room.empty()
            await self._server.wait_closed()

    def _authority(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self.port}"

    async def _listen(self) -> Server:
        try:
            return await serve(
                self._door.serve,
                self._host,
                self._asked_port,
                process_request=self._door.answer,
                create_connection=self._room.connection_class(),
                compression=None,
                max_size=self._limits.request_bytes,
                open_timeout=_HANDSHAKE_S,
                ping_interval=None,
                write_limit=HIGH_WATER_BYTES,
                server_header=None,
                logger=wire_logger(),
            )
        except OSError as reason:
            where = f"port {self._asked_port} of {self._host}"
            if reason.errno == errno.EADDRINUSE:
                raise ReplayError(
                    f"{where} is in use; stop the program that has it, or take any free port with --port 0"
                ) from None
            raise ReplayError(f"cannot listen on {where}: {reason.strerror or reason}") from None

    async def _play(self) -> None:
        playback = Playback(
            self._rebased or self._timeline,
            market=self._market,
            audience=self._audience,
            transport=self._transport,
            tally=self._tally,
            stretch=self._stretch,
            lockstep=self._lockstep,
            disconnects=self._disconnects,
            patience_s=self._limits.lockstep_s,
        )
        try:
            await self._play_to_the_end(playback)
        except Exception as reason:
            self._tally.state = "failed"
            logger.error("replay failed reason=%s", reason)  # noqa: TRY400 -- `finished` raises it
            self._audience.dismiss(_INTERNAL_ERROR, "replay failed")
            raise
        self._audience.dismiss(_NORMAL, "replay finished")
        await self._room.goodbyes()

    async def _play_to_the_end(self, playback: Playback) -> None:
        """Serve the timeline, and again after each seek; return when the connections are to be closed."""
        target: Target | None = playback.beginning
        while target is not None:
            target = await playback.run(target)
            if target is None and self._at_end == "loop":
                target = await playback.pause_before_next_round()
            elif target is None:
                playback.end(stays=self._at_end == "hold")
                if self._at_end == "hold":
                    self._ended.set()
                    target = await self._transport.asked()
                else:
                    await self._audience.taken_at_last()
