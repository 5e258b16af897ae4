"""`kiterec record`: write down a live feed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kiterec.cli.options import folder_option, json_option
from kiterec.cli.parameters import duration, duration_or_none, instant, size

if TYPE_CHECKING:
    from kiterec.record import RecordConfig


@click.command(short_help="Record a live feed until it is stopped.")
@click.option(
    "--url", default="wss://ws.kite.trade", show_default=True, help="The server, without credentials."
)
@click.option(
    "--instruments", multiple=True, required=True, metavar="WORDS",
    help="408065, NSE:INFY, NFO:NIFTY*, @file or all; with commas between, or repeated.",
)  # fmt: skip
@click.option(
    "--mode", type=click.Choice(["ltp", "quote", "full"]), default="full", show_default=True,
    help="How much the server sends of each instrument.",
)  # fmt: skip
@click.option(
    "--connections", type=click.IntRange(min=1), metavar="N", default=3, show_default=True,
    help="Of each account.",
)  # fmt: skip
@click.option("--duration", type=duration, metavar="TIME", help="End after, such as 30s or 6h.")
@click.option("--until", type=instant, metavar="TIME", help="End at, such as 15:30 (IST).")
@folder_option
@click.option(
    "--label", default="kite", show_default=True, metavar="WORD", help="Part of the recording's name."
)
@click.option(
    "--instrument-dump", type=click.Path(path_type=Path), metavar="FILE",
    help="The day's instruments as CSV, gzipped or not.  [default: downloaded]",
)  # fmt: skip
@click.option(
    "--flush-interval", type=duration, default="100ms", show_default=True, metavar="TIME",
    help="Frames are handed to the system at least this often; they then survive kill -9.",
)  # fmt: skip
@click.option(
    "--fsync-interval", type=duration_or_none, default="1s", show_default=True, metavar="TIME|none",
    help="And to the disk this often; they then survive a power cut. 0: at every flush.",
)  # fmt: skip
@click.option(
    "--part-size", type=size, default="256MiB", show_default=True, metavar="SIZE",
    help="A part is sealed when it has so much.",
)  # fmt: skip
@click.option(
    "--part-duration", type=duration, default="15m", show_default=True, metavar="TIME",
    help="Or when it is so old.",
)  # fmt: skip
@click.option(
    "--silence-limit", type=duration, default="10s", show_default=True, metavar="TIME",
    help="A connection that says nothing for so long is renewed.",
)  # fmt: skip
@click.option(
    "--plugin", "plugins", multiple=True, metavar="NAME",
    help="Hand the frames to a plugin; may be repeated. Its options are in kiterec.toml.",
)  # fmt: skip
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE",
    help="Accounts and plugin options.  [default: kiterec.toml, if it is there]",
)  # fmt: skip
@click.option("--live/--no-live", default=None, help="Show a live view on stderr.  [default: on a terminal]")
@json_option
def record(*, as_json: bool, live: bool | None, **options: Any) -> None:
    """Record a live feed until it is stopped, with Ctrl-C or by --duration or --until.

    Credentials come from KITE_API_KEY and KITE_ACCESS_TOKEN, or from kiterec.toml; another server than Kite
    needs none.
    """
    from kiterec.cli.recording_run import record_until_stopped, report

    show = sys.stderr.isatty() if live is None else live
    result = record_until_stopped(_config(**options), live=show)
    report(result, as_json=as_json)
    sys.exit(result.exit_code)


def _config(
    *, config: Path | None, flush_interval: float, fsync_interval: float | None, part_size: int,
    part_duration: float, silence_limit: float, duration: float | None, until: int | None, url: str,
    mode: str, **same: Any,
) -> RecordConfig:  # fmt: skip
    """Give what the recorder wants; the options that are not named here have its names."""
    from kiterec.feed.config import FeedConfig
    from kiterec.record import RecordConfig, read_settings
    from kiterec.store.options import StoreOptions
    from kiterec.wire.packets import Mode

    feed = FeedConfig(url=url, silence_limit_s=silence_limit)
    settings = read_settings(url=url, environ=os.environ, path=config)
    store = StoreOptions(
        flush_interval_s=flush_interval, fsync_interval_s=fsync_interval, part_bytes=part_size,
        part_duration_s=part_duration,
    )  # fmt: skip
    return RecordConfig(
        accounts=settings.accounts, plugin_options=settings.plugin_options, url=url, mode=Mode(mode),
        duration_s=duration, until_ns=until, store=store, feed=feed, **same,
    )  # fmt: skip
