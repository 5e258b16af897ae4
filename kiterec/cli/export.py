"""`kiterec export`: ticks as a file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import click

from kiterec.amounts import size
from kiterec.cli.json_output import print_json
from kiterec.cli.options import from_option, instruments_option, json_option, split_words
from kiterec.cli.parameters import RECORDING, TARGET_FILE, wall_time

KINDS: Final = ("parquet", "csv", "arrow", "duckdb")


@click.command(short_help="Write ticks to a file for other programs.")
@click.argument("recording", type=RECORDING)
@click.option(
    "-o", "--out", metavar="FILE",
    help="A .parquet, .csv, .arrow or .duckdb file, or - for stdout.",
)  # fmt: skip
@click.option(
    "--to", "ends", multiple=True, metavar="TIME|FILE",
    help="Received before; IST. A file is taken for that of --out.",
)  # fmt: skip
@click.option(
    "--format", "kind", type=click.Choice(KINDS),
    help="What to write.  [default: by the ending of FILE; csv to stdout]",
)  # fmt: skip
@click.option("--columns", metavar="NAMES", help="Of the tick table, and symbol; with commas between.")
@instruments_option
@from_option
@click.option(
    "--prices", type=click.Choice(["float", "int"]), default="float", show_default=True,
    help="Rupees, or the integers of the wire with their divisor.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@json_option
def export(
    *, recording: Path, out: str | None, ends: tuple[str, ...], kind: str | None, columns: str | None,
    instruments: tuple[str, ...], begin: str | None, prices: Literal["float", "int"], overwrite: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Write ticks of RECORDING to a file; memory is bounded whatever the size.

    `export RECORDING --to ticks.parquet` and `export RECORDING -o ticks.parquet` are the same.
    """
    import kiterec
    from kiterec.cli.progress_bar import progress_bar
    from kiterec.cli.spans import read_span, say_if_outside
    from kiterec.upkeep.export import export as export_ticks

    target, end = _target_and_time(out, ends)
    _check_target(target, kind, overwrite=overwrite)
    source = kiterec.open(recording)
    span = read_span(source, begin, end)
    say_if_outside(source, span)
    names = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    _check_columns(names, prices)
    with progress_bar("exporting") as progress:
        report = export_ticks(
            source.path, target, format=kind, columns=names, instruments=split_words(instruments) or None,
            begin=span[0], end=span[1], prices=prices, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    if target == "-":
        return
    if as_json:
        print_json(report)
    else:
        click.echo(f"{report.target}: {report.rows:,} ticks, {size(report.bytes or 0)} of {report.format}")


def _target_and_time(out: str | None, ends: tuple[str, ...]) -> tuple[str, str | None]:
    """Tell the file from the time, which can share a word."""
    times = [word for word in ends if _is_time(word)]
    targets = [word for word in (out, *ends) if word is not None and word not in times]
    if out is not None and len(targets) > 1:
        raise click.BadParameter(
            f"{targets[1]!r} is no time; write it like 09:15:00.5 or 2026-01-05T09:15", param_hint="--to"
        )
    if len(targets) != 1 or len(times) > 1:
        raise click.UsageError("give one file, such as -o ticks.parquet (or -o -), and at most one --to TIME")
    return targets[0], times[0] if times else None


def _check_target(target: str, kind: str | None, *, overwrite: bool) -> None:
    """Refuse a file that is there or whose format nothing says, and name the option that helps."""
    if target == "-":
        return
    TARGET_FILE.convert(target, None, None)
    if kind is None and Path(target).suffix.removeprefix(".") not in KINDS:
        known = ", ".join(f".{kind}" for kind in KINDS)
        raise click.UsageError(f"{target} ends with no known format ({known}); name one with --format")
    if Path(target).exists() and not overwrite:
        raise click.UsageError(f"{target} exists already; name another file, or replace it with --overwrite")


def _is_time(word: str) -> bool:
    try:
        wall_time(word, day_ns=0)
    except ValueError:
        return False
    return True


def _check_columns(names: list[str] | None, prices: Literal["float", "int"]) -> None:
    """Refuse columns that are not there; they are the user's words, not a fault of the program."""
    from kiterec.ticks.schema import tick_schema

    known = [*tick_schema(prices), "symbol"]
    unknown = [name for name in names or [] if name not in known]
    if unknown:
        raise click.UsageError(f"there is no column {unknown[0]!r}; known are {', '.join(known)}")
    if names and len(set(names)) < len(names):
        raise click.UsageError("--columns has a name twice; give each once")
