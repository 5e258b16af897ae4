"""`kiterec ticks`: the first or last ticks of a recording, as a table, CSV or JSON."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from kiterec.amounts import price
from kiterec.cli.json_output import print_json
from kiterec.cli.options import from_option, instruments_option, recordings_argument, split_words, to_option
from kiterec.cli.parameters import RECORDING, TARGET_FILE
from kiterec.cli.spans import read_span, say_if_outside
from kiterec.cli.tables import Column, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from polars import DataFrame, LazyFrame

    from kiterec.cli.spans import Span
    from kiterec.recording import Recording

Tick = dict[str, Any]

COLUMNS: Final = [
    Column("time (IST)", left=True), Column("symbol", left=True, least=16), Column("mode", 8, left=True),
    Column("last"), Column("change %", 5), Column("volume", 3), Column("oi", 6), Column("bid", 1),
    Column("offer", 2), Column("quantity", 7), Column("exchange", 9), Column("connection", 10, left=True),
    Column("seq", 11),
]  # fmt: skip
OWN_CACHE: Final = "the recording's own"
DEPTH: Final = ("buy_price", "buy_quantity", "buy_orders", "sell_price", "sell_quantity", "sell_orders")


@click.command(short_help="Show ticks as a table, CSV or JSON.")
@recordings_argument(RECORDING)
@click.option(
    "--limit",
    default=20,
    show_default=True,
    metavar="N",
    type=click.IntRange(min=0),
    help="How many; 0 is all.",
)
@click.option("--first", is_flag=True, help="The first ones instead of the last.")
@instruments_option
@from_option
@to_option
@click.option("--csv", "as_csv", is_flag=True, help="Print all columns as CSV, with times in UTC.")
@click.option("--json", "as_json", is_flag=True, help="Print all columns as JSON, with times in UTC.")
@click.option(
    "--cache", metavar="[FILE]", is_flag=False, flag_value=OWN_CACHE,
    type=TARGET_FILE,
    help="Show none: write all to a Parquet file, sorted by instrument, if it is not up to date. "
    "Without FILE, which then must come last, it is the recording's own, used by later questions.",
)  # fmt: skip
def ticks(
    *, recordings: tuple[Path, ...], limit: int, first: bool, instruments: tuple[str, ...], begin: str | None,
    end: str | None, as_csv: bool, as_json: bool, cache: Path | None,
) -> None:  # fmt: skip
    """Show ticks of RECORDING: one row a packet, in the order of their arrival.

    The table shows what fits the terminal. A recording that is still being written can be read too.
    """
    import kiterec

    if cache is not None:
        if len(recordings) > 1 or instruments or begin or end or first or as_csv or as_json:
            raise click.UsageError("--cache takes all ticks of one recording; give it no other option")
        _write_cache(recordings[0], cache)
        return
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other; give one")
    symbols = split_words(instruments)
    found: list[Tick] = []
    for path in recordings:
        recording = kiterec.open(path)
        span = read_span(recording, begin, end)
        say_if_outside(recording, span)
        found += _ticks_of(recording, symbols, span, limit=limit, first=first)
    if limit:
        found = found[:limit] if first else found[-limit:]
    if as_json:
        print_json([{name: value for name, value in tick.items() if name[0] != "_"} for tick in found])
    elif as_csv:
        _print_csv(found)
    else:
        click.echo(table([_cells(tick) for tick in found], COLUMNS))


def _write_cache(path: Path, asked: Path) -> None:
    """Bring the cache up to date and say what it has."""
    from kiterec.amounts import size
    from kiterec.ticks.cache import tick_cache
    from kiterec.ticks.stamp import read_stamp

    target = tick_cache(path, None if str(asked) == OWN_CACHE else asked)
    stamp = read_stamp(target)
    count = 0 if stamp is None else stamp.ticks
    click.echo(f"{target}: {count:,} ticks, {size(target.stat().st_size)}")


def _ticks_of(
    recording: Recording, symbols: list[str | int], span: Span, *,
    limit: int, first: bool,
) -> list[Tick]:  # fmt: skip
    """Give the ticks with their symbols, and with times as text."""
    lazy = recording.ticks(symbols or None, begin=span[0], end=span[1])
    frame = (
        (lazy.head(limit) if limit else lazy).collect()
        if first or not limit
        else _last(lazy, recording, limit)
    )
    dump = recording.instruments()
    frame = frame.with_columns(
        frame["received_at"].dt.convert_time_zone("Asia/Kolkata").dt.strftime("%H:%M:%S%.3f").alias("_ist"),
        frame["exchange_timestamp"]
        .dt.convert_time_zone("Asia/Kolkata")
        .dt.strftime("%H:%M:%S")
        .alias("_exchange"),
        *(frame[name].dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ") for name in _instants(frame)),
    )
    found = []
    for row in frame.iter_rows(named=True):
        token = row["instrument_token"]
        symbol = dump.symbol_of(token) if dump is not None else None
        found.append({"symbol": symbol, **row})
    return found


def _last(lazy: LazyFrame, recording: Recording, limit: int) -> DataFrame:
    """Give the last rows, looking at the end of the recording first, since most recordings are long."""
    manifest = recording.manifest
    end = max((part.last_seq for part in manifest.parts), default=0) if manifest.is_finished else 0
    for window in (limit + 100, 100 * (limit + 100)):
        if window < end:
            found = lazy.sql(f"SELECT * FROM self WHERE seq > {end - window}").tail(limit).collect()  # noqa: S608
            if found.height == limit:
                return found
    return lazy.tail(limit).collect()


def _instants(frame: DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind.is_temporal()]


def _cells(tick: Tick) -> dict[str, str]:
    segment = tick["segment"]
    best = [side[0] if side else None for side in (tick["buy_price"], tick["sell_price"])]
    return {
        "time (IST)": tick["_ist"] or "",
        "symbol": tick["symbol"] or str(tick["instrument_token"]),
        "mode": tick["mode"] or "",
        "last": price(tick["last_price"], segment=segment),
        "change %": "" if tick["change"] is None else f"{tick['change']:.2f}",
        "volume": _count(tick["volume_traded"]),
        "oi": _count(tick["oi"]),
        "bid": price(best[0], segment=segment),
        "offer": price(best[1], segment=segment),
        "quantity": _count(tick["last_traded_quantity"]),
        "exchange": tick["_exchange"] or "",
        "connection": tick["connection"] or "",
        "seq": _count(tick["seq"]),
    }


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _flat(tick: Tick) -> Iterator[tuple[str, Any]]:
    """Give the public columns; those of the depth as one column a level, from 0, the best."""
    for name, value in tick.items():
        if name in DEPTH:
            yield from ((f"{name}_{level}", value[level] if value else None) for level in range(5))
        elif not name.startswith("_"):
            yield name, value


def _print_csv(found: list[Tick]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for place, tick in enumerate(found):
        cells = dict(_flat(tick))
        if place == 0:
            writer.writerow(cells)
        writer.writerow(str(cell).lower() if isinstance(cell, bool) else cell for cell in cells.values())
