"""Options that more than one verb has, so that they are the same everywhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kiterec.cli.parameters import TARGET
from kiterec.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kiterec.cli.parameters import Place

DEFAULT_PORT: Final = 8765

port_option: Final = click.option(
    "--port", default=DEFAULT_PORT, show_default=True, type=click.IntRange(0, 65_535), metavar="N",
    help="Listen on this port; 0 takes a free one.",
)  # fmt: skip
check_credentials_option: Final = click.option(
    "--check-credentials", is_flag=True,
    help="Refuse clients whose credentials are not those of KITE_API_KEY and KITE_ACCESS_TOKEN.",
)  # fmt: skip
connections_option: Final = click.option(
    "--connections-per-key", "per_key", default=3, show_default=True, type=click.IntRange(min=1), metavar="N",
    help="Refuse further connections of an api_key with HTTP 429.",
)  # fmt: skip
limit_option: Final = click.option(
    "--instruments-per-connection", "per_connection", default=3_000, show_default=True, metavar="N",
    type=click.IntRange(min=1), help="Refuse further instruments of a connection with Kite's error text.",
)  # fmt: skip
json_option: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
instruments_option: Final = click.option(
    "--instruments", multiple=True, metavar="WORDS",
    help="Only these: 408065, NSE:INFY, NFO:NIFTY*; with commas between, or repeated.",
)  # fmt: skip
from_option: Final = click.option(
    "--from", "begin", metavar="TIME", help="Received at or after; IST, 09:15 or 2026-01-05T09:15."
)
to_option: Final = click.option("--to", "end", metavar="TIME", help="Received before; IST.")
out_option: Final = click.option(
    "-o", "--out", required=True, type=TARGET, metavar="OUT",
    help="The folder of the new recording; must not exist.",
)  # fmt: skip

folder_option: Final = click.option(
    "--out", type=TARGET, default=Path("recordings"), show_default=True, metavar="DIR",
    help="The folder that recordings go to.",
)  # fmt: skip
seed_option: Final = click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(min=0), metavar="N",
    help="Decides everything that moves.",
)  # fmt: skip


def recordings_argument(kind: Place) -> Callable[[Any], Any]:
    """Give the argument of verbs that take several recordings; `-` takes names from stdin, one a line."""
    return click.argument(
        "recordings", nargs=-1, required=True, metavar="RECORDING...", type=kind, callback=_with_stdin
    )


def _with_stdin(ctx: click.Context, param: click.Parameter, value: tuple[Any, ...]) -> tuple[Any, ...]:
    if Path("-") not in value:
        return value
    lines = [line.strip() for line in sys.stdin]
    named: list[Any] = [param.type(line, param, ctx) for line in lines if line]
    if not named:
        raise click.BadParameter("stdin has no name of a recording", ctx=ctx, param=param)
    return tuple(one for it in value for one in (named if it == Path("-") else [it]))


def check_folder(folder: Path) -> None:
    """Refuse what is no folder of recordings.

    Raises:
        SetupError: it does not exist, or is a file.
    """
    if not folder.is_dir():
        what = "is no folder" if folder.exists() else "does not exist"
        raise SetupError(f"{folder} {what}; give the folder that `kiterec record --out` wrote to")


def split_words(words: tuple[str, ...]) -> list[str | int]:
    """Give the words that stand between commas; numbers are instrument_tokens."""
    parts = [part.strip() for word in words for part in word.split(",") if part.strip()]
    return [int(part) if part.isdigit() else part for part in parts]
