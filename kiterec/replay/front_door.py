"""Who comes to the port of a replay: clients of Kite, control channels, and plain HTTP."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.protocol import State

from kiterec.replay.admission import Admission, refusal_page
from kiterec.replay.client import Client
from kiterec.replay.client_view import ExactView, SubscribedView
from kiterec.replay.control_channel import serve_control
from kiterec.replay.http_pages import Page, Pages
from kiterec.replay.outlet import Outlet
from kiterec.replay.rest.asked import Asked
from kiterec.replay.sockets import KiteConnection

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection
    from websockets.http11 import Request

    from kiterec.replay.audience import Audience
    from kiterec.replay.controls import ReplayControls
    from kiterec.replay.hooks import ReplayHook
    from kiterec.replay.limits import Limits
    from kiterec.replay.market import Market
    from kiterec.replay.stats import Tally

logger = logging.getLogger(__name__)

CONTROL_PATH: Final = "/control"
_NORMAL: Final = 1000
_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429
_CONTROL_CHANNELS: Final = 16


class FrontDoor:
    """Answers everybody who connects.

    Args:
        admission: which clients are let in.
        audience: where they go.
        controls: what control channels use.
        tally: the server's counts.
        market: None in exact mode.
        limits: the server's bounds.
        hook: asked about each attempt and message.
        lockstep: whether clients are served in lockstep.
        stays: whether clients are served with heartbeats after the end of the timeline.
    """

    def __init__(
        self,
        *,
        admission: Admission,
        audience: Audience,
        controls: ReplayControls,
        tally: Tally,
        market: Market | None,
        limits: Limits,
        hook: ReplayHook | None,
        lockstep: bool,
        stays: bool,
    ) -> None:
        self.pages = Pages(None)
        self.greeting = ""
        self._admission = admission
        self._audience = audience
        self._controls = controls
        self._tally = tally
        self._market = market
        self._limits = limits
        self._hook = hook
        self._lockstep = lockstep
        self._stays = stays
        self._attempts = 0
        self._control_channels = 0

    async def answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Let a client in (None), or answer it over HTTP."""
        path, _, query = request.path.partition("?")
        if request.headers.get("Upgrade", "").lower() != "websocket" or path not in {"", "/", CONTROL_PATH}:
            return _response(await self.pages.answer(Asked.over_http(request.path, request.headers)))
        if path == CONTROL_PATH:
            return self._answer_control(connection, request, query)
        self._attempts += 1
        if self._hook is not None and (status := await self._hook.connecting(self._attempts)) is not None:
            return self._refuse(refusal_page(status))
        if not isinstance(connection, KiteConnection) or connection.state is not State.CONNECTING:
            return None
        admitted = self._admission.admit(query)
        if isinstance(admitted, Page):
            return self._refuse(admitted)
        connection.ticket = admitted
        return None

    async def serve(self, connection: ServerConnection) -> None:
        """Serve one connection until it ends."""
        if not isinstance(connection, KiteConnection):
            return
        try:
            if connection.controls:
                await self._serve_control(connection)
            elif connection.ticket is not None:
                await self._serve_client(connection, connection.ticket.number, connection.ticket.seat)
        except ConnectionClosed as reason:
            logger.debug("connection lost code=%s", reason.rcvd and reason.rcvd.code)

    def _answer_control(self, connection: ServerConnection, request: Request, query: str) -> Response | None:
        # A page of any web site that is open in a browser can connect to this machine, but says whose it is.
        if "Origin" in request.headers or not self._admission.knows(query):
            return self._refuse(refusal_page(_FORBIDDEN))
        if self._control_channels >= _CONTROL_CHANNELS:
            return self._refuse(refusal_page(_TOO_MANY))
        if isinstance(connection, KiteConnection):
            connection.controls = True
        return None

    def _refuse(self, page: Page) -> Response:
        self._tally.refused[page.status] += 1
        logger.info("connection refused status=%d", page.status)
        return _response(page)

    async def _serve_control(self, connection: KiteConnection) -> None:
        self._control_channels += 1
        try:
            await serve_control(connection, self._controls)
        finally:
            self._control_channels -= 1

    async def _serve_client(self, connection: KiteConnection, number: int, seat: int | None) -> None:
        if not self._stays and self._tally.state in {"finished", "failed"}:
            await connection.close(_NORMAL, "replay finished")
            return
        client = self._welcome(connection, number=number, seat=seat)
        try:
            async for message in connection:
                client.hear(message)
        finally:
            self._audience.leave(client)
            logger.info("client left client=%s clients=%d", client.name, len(self._audience))

    def _welcome(self, connection: KiteConnection, *, number: int, seat: int | None) -> Client:
        outlet = Outlet(
            f"client-{number}",
            connection,
            limits=self._limits,
            tally=self._tally,
            hook=self._hook,
            digested=self._lockstep,
        )
        client = Client(
            outlet,
            limits=self._limits,
            tally=self._tally,
            on_subscribed=self._audience.noticed,
            lockstep=self._lockstep,
            stands_still=lambda: self._controls.stats().state == "paused",
        )
        if seat is not None:
            client.serve_exactly(ExactView(seat))
        elif self._market is not None:
            client.serve(SubscribedView(self._market, client.subscriptions), greeting=self.greeting)
        self._audience.join(client)
        logger.info("client joined client=%s clients=%d", client.name, len(self._audience))
        return client


def _response(page: Page) -> Response:
    headers = Headers({**page.headers, "Content-Length": str(len(page.body)), "Connection": "close"})
    return Response(page.status.value, page.status.phrase, headers, page.body)
