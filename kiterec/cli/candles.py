"""`kiterec candles`: open, high, low, close and volume of a recording's instruments."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from kiterec.amounts import price
from kiterec.cli.json_output import print_json
from kiterec.cli.options import from_option, instruments_option, recordings_argument, split_words, to_option
from kiterec.cli.parameters import RECORDING
from kiterec.cli.spans import read_span, say_if_outside
from kiterec.cli.tables import Column, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiterec.recording import Recording
    from kiterec.ticks.candles import By

Candle = dict[str, Any]

COLUMNS: Final = [
    Column("begin (IST)", left=True), Column("symbol", left=True, least=16), Column("session", 3, left=True),
    Column("open"), Column("high"), Column("low"), Column("close"), Column("volume", 1), Column("oi", 4),
    Column("ticks", 2), Column("complete", 1, left=True),
]  # fmt: skip


@click.command()
@recordings_argument(RECORDING)
@click.option("--every", default="1m", show_default=True, metavar="TIME", help="5s, 1m, 1h30m, at most 1d.")
@click.option(
    "--by", default="received", show_default=True,
    type=click.Choice(["received", "exchange", "received_at", "exchange_timestamp"]),
    help="Whose clock: ours, or the exchange's, which only full packets have.",
)  # fmt: skip
@instruments_option
@from_option
@to_option
@click.option(
    "--limit", default=20, show_default=True, metavar="N", type=click.IntRange(min=0),
    help="How many, the last ones; 0 is all.",
)  # fmt: skip
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with times in UTC.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with times in UTC.")
def candles(
    *, recordings: tuple[Path, ...], every: str, by: str, instruments: tuple[str, ...], begin: str | None,
    end: str | None, limit: int, as_csv: bool, as_json: bool,
) -> None:  # fmt: skip
    """Show candles of RECORDING, by time.

    Intervals are counted from the begin of the session, and the pre-open has its own. A candle is not
    complete where a connection was lost or silent, or where the recording begins or ends.
    """
    import kiterec
    from kiterec.ticks.candles import interval_ns

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other; give one")
    try:
        interval_ns(every)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--every") from None
    symbols = split_words(instruments) or None
    clock: By = "received_at" if by.startswith("received") else "exchange_timestamp"
    found: list[Candle] = []
    for path in recordings:
        recording = kiterec.open(path)
        span = read_span(recording, begin, end)
        say_if_outside(recording, span)
        lazy = recording.candles(every, by=clock, symbols=symbols, begin=span[0], end=span[1])
        frame = lazy.collect().sort("begin", "instrument_token", "session")
        found += _candles_of(frame.tail(limit) if limit else frame, recording)
    found = found[-limit:] if limit else found
    if as_json:
        print_json([_public(candle) for candle in found])
    elif as_csv:
        _print_csv(found)
    else:
        days = {candle["_ist"][:10] for candle in found}
        click.echo(table([_cells(candle, with_day=len(days) > 1) for candle in found], COLUMNS))


def _candles_of(frame: Any, recording: Recording) -> Iterator[Candle]:
    """Give the candles with their symbols, and with times as text."""
    dump = recording.instruments()
    local = frame["begin"].dt.convert_time_zone("Asia/Kolkata").dt.strftime("%Y-%m-%d %H:%M:%S%.f")
    frame = frame.with_columns(
        local.alias("_ist"),
        *(frame[name].dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ") for name in ("begin", "end")),
    )
    for row in frame.iter_rows(named=True):
        symbol = None if dump is None else dump.symbol_of(row["instrument_token"])
        yield {"symbol": symbol, **row}


def _public(candle: Candle) -> Candle:
    return {name: value for name, value in candle.items() if not name.startswith("_")}


def _cells(candle: Candle, *, with_day: bool) -> dict[str, str]:
    prices = {
        name: price(candle[name], segment=candle["segment"]) for name in ("open", "high", "low", "close")
    }
    counts = {name: "" if candle[name] is None else f"{candle[name]:,}" for name in ("volume", "oi", "ticks")}
    return {
        "begin (IST)": candle["_ist"] if with_day else candle["_ist"][11:],
        "symbol": candle["symbol"] or str(candle["instrument_token"]),
        "session": candle["session"],
        "complete": "yes" if candle["complete"] else "no",
        **prices,
        **counts,
    }


def _print_csv(found: list[Candle]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for place, candle in enumerate(map(_public, found)):
        if place == 0:
            writer.writerow(candle)
        writer.writerow(str(cell).lower() if isinstance(cell, bool) else cell for cell in candle.values())
