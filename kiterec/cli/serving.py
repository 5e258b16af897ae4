"""Serves a timeline until it ends or is told to stop: what `simulate` and `replay` share."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import click

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


def serve(server: ReplayServer, what: str) -> Any:
    """Serve until the timeline ends or a signal comes; gives the server's statistics."""
    return asyncio.run(_serve(server, what))


async def _serve(server: ReplayServer, what: str) -> Any:
    with stop_on_signals() as stop:
        async with server:
            banner(server.url, what)
            ends = [asyncio.ensure_future(server.finished()), asyncio.ensure_future(stop.wait())]
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if ends[0].done():
                    ends[0].result()
            finally:
                for end in ends:
                    end.cancel()
                await asyncio.gather(*ends, return_exceptions=True)
        return server.stats()
