"""`kiterec demo`: a synthetic exchange, recorded for a while, and what came of it."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import TYPE_CHECKING

import click

from kiterec.cli.options import folder_option, seed_option
from kiterec.cli.parameters import duration as duration_s

if TYPE_CHECKING:
    from pathlib import Path

    from kiterec.record import RecordResult

INSTRUMENTS = 300
CONNECTIONS = 3
SHOWN_PRICES = 8


@click.command(short_help="Record a synthetic exchange, and show what came of it.")
@click.option(
    "--duration",
    type=duration_s,
    default="20s",
    show_default=True,
    metavar="TIME",
    help="How long to record.",
)
@folder_option
@seed_option
def demo(*, duration: float, out: Path, seed: int) -> None:
    """Start a synthetic exchange, record it over three connections, and show what came of it.

    Needs no account and no network.
    """
    result = asyncio.run(_record_synthetic_market(duration=duration, out=out, seed=seed))
    _show(result)
    sys.exit(result.exit_code)


async def _record_synthetic_market(*, duration: float, out: Path, seed: int) -> RecordResult:
    from kiterec.cli.recording_run import broken_off, run_shown
    from kiterec.cli.stopping import stop_on_signals
    from kiterec.clock import SYSTEM_CLOCK
    from kiterec.record import RecordConfig, Recorder
    from kiterec.record.accounts import placeholder_account
    from kiterec.replay.server import ReplayServer
    from kiterec.simulate import SyntheticMarket

    # The run's story is the recorder's; the exchange beside it would tell the same once more.
    logging.getLogger("kiterec.replay").setLevel(logging.WARNING)
    market = SyntheticMarket(instruments=INSTRUMENTS, seed=seed, start_ns=SYSTEM_CLOCK.now_ns())
    with stop_on_signals(broken_off(out)) as stop:
        async with ReplayServer(market) as server:
            click.echo(f"a synthetic exchange of {INSTRUMENTS} instruments is at {server.url}", err=True)
            config = RecordConfig(
                accounts=[placeholder_account(server.url)], instruments=["all"],
                url=server.url, connections=CONNECTIONS, duration_s=duration, out=out, label="demo",
            )  # fmt: skip
            return await run_shown(Recorder(config), stop, live=sys.stderr.isatty())


def _show(result: RecordResult) -> None:
    from kiterec.cli.prices_text import prices_text
    from kiterec.cli.started import command
    from kiterec.cli.summary_text import summary_text

    click.echo(f"recorded {result.path}")
    if result.summary is not None:
        click.echo(f"{summary_text(result.summary)}\n")
        click.echo(f"last prices\n{prices_text(result.path, limit=SHOWN_PRICES)}\n")
    for sentence in result.lost:
        click.echo(f"kiterec: {sentence}", err=True)
    click.echo("try next")
    for words in (("info",), ("ticks", "--instruments", "NSE:INFY"), ("replay", "--speed", "5")):
        click.echo(f"  {command(words[0], result.path, *words[1:])}")
