"""Runs a recorder under signals, with or without a live view, and reports what became of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import click

from kiterec.cli.json_output import print_json
from kiterec.cli.started import command
from kiterec.cli.stopping import stop_on_signals
from kiterec.cli.summary_text import summary_text
from kiterec.record import Recorder

if TYPE_CHECKING:
    from pathlib import Path

    from kiterec.record import RecordConfig, RecordResult

REFRESH_S: Final = 0.5


def record_until_stopped(config: RecordConfig, *, live: bool) -> RecordResult:
    """Record until the schedule or a signal ends it.

    Args:
        config: what to record.
        live: show a live view on stderr.
    """
    return asyncio.run(_run(config, live=live))


def broken_off(out: Path) -> str:
    """Say what is left when a recorder is not let to finish."""
    return f"broken off; where the recording is unfinished, {command('recover', out)} seals it"


async def _run(config: RecordConfig, *, live: bool) -> RecordResult:
    with stop_on_signals(broken_off(config.out)) as stop:
        return await run_shown(Recorder(config), stop, live=live)


async def run_shown(recorder: Recorder, stop: asyncio.Event, *, live: bool) -> RecordResult:
    """Run a recorder, with a live view on stderr if wanted."""
    if not live:
        return await recorder.run(stop)
    view = asyncio.create_task(_show_live(recorder))
    try:
        return await recorder.run(stop)
    finally:
        view.cancel()
        await asyncio.gather(view, return_exceptions=True)


async def _show_live(recorder: Recorder) -> None:
    """Show how a recorder is, until cancelled."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from kiterec.cli.live_view import live_text
    from kiterec.cli.logs import log_above

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as view, log_above(console):
        while True:
            status = recorder.status()
            if status is not None:
                view.update(Text(live_text(status, width=console.width)), refresh=True)
            await asyncio.sleep(REFRESH_S)


def report(result: RecordResult, *, as_json: bool) -> None:
    """Print what was recorded on stdout, and why it ended early on stderr."""
    if as_json:
        print_json(
            {
                "path": result.path,
                "ending": result.ending,
                "failure": str(result.failure) if result.failure else None,
                "lost": result.lost,
                "summary": result.summary,
                "plugins": result.plugins,
            }
        )
    else:
        click.echo(str(result.path))
        if result.summary is not None:
            click.echo(summary_text(result.summary))
    if result.failure is not None:
        click.echo(f"kiterec: {result.failure}", err=True)
    for sentence in result.lost:
        click.echo(f"kiterec: {sentence}", err=True)
