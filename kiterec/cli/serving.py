"""Serves a timeline until it ends or is told to stop: what `simulate` and `replay` share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING

import click

from kiterec.cli.logs import say
from kiterec.cli.started import command
from kiterec.cli.stopping import stop_on_signals
from kiterec.errors import SetupError

if TYPE_CHECKING:
    from kiterec.replay.server import ReplayServer


def credentials_from_environment() -> dict[str, str]:
    """Give the only api_key and access_token that a server shall accept.

    Raises:
        SetupError: one of the variables is not set.
    """
    found = {name: os.environ.get(name, "") for name in ("KITE_API_KEY", "KITE_ACCESS_TOKEN")}
    missing = [name for name, value in found.items() if not value]
    if missing:
        raise SetupError(
            f"--check-credentials needs {' and '.join(missing)} in the environment; set them first"
        )
    return {found["KITE_API_KEY"]: found["KITE_ACCESS_TOKEN"]}


def banner(url: str, what: str) -> None:
    """Say on stderr what is served where, and how to record it."""
    record = command("record", "--url", url, "--instruments", "all", "--mode", "full", "--duration", "30s")
    click.echo(
        f"{what}\n"
        f"  {url}   (only from this machine; Ctrl-C stops)\n"
        f"Record it from another terminal:\n"
        f"  {record}\n"
        f'Or point a Kite client at it: KiteTicker("key", "token", root="{url}")',
        err=True,
    )


Beside = Callable[["ReplayServer"], AbstractAsyncContextManager[None]]


def serve(server: ReplayServer, what: str, *, hold: bool = False, beside: Beside | None = None) -> None:
    """Serve until the timeline ends or a signal comes.

    Args:
        server: not yet started.
        what: it serves, for the banner.
        hold: after the end, go on with heartbeats until a signal comes.
        beside: entered with the server while it serves, such as a live view.
    """
    asyncio.run(_serve(server, what, hold=hold, beside=beside))


async def _serve(server: ReplayServer, what: str, *, hold: bool, beside: Beside | None) -> None:
    from kiterec.replay.punctual import favour_deadlines

    with stop_on_signals() as stop:
        async with server:
            favour_deadlines()
            banner(server.url, what)
            async with nullcontext() if beside is None else beside(server):
                await _until_over(server, stop, hold=hold)


async def _until_over(server: ReplayServer, stop: asyncio.Event, *, hold: bool) -> None:
    stopped = asyncio.create_task(stop.wait())
    finished = asyncio.create_task(server.finished())
    try:
        await asyncio.wait([finished, stopped], return_when=asyncio.FIRST_COMPLETED)
        if finished.done():
            finished.result()
        if hold and not stopped.done():
            say("all is sent; heartbeats go on until Ctrl-C")
            await stopped
    finally:
        finished.cancel()
        stopped.cancel()
        await asyncio.gather(finished, stopped, return_exceptions=True)
