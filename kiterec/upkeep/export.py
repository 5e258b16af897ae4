"""export: ticks of a recording as a file for other programs, a block at a time."""

from __future__ import annotations

import sys
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from kiterec.clock import to_ns
from kiterec.errors import SetupError
from kiterec.store.files import storage_errors
from kiterec.store.folder import open_folder
from kiterec.store.transcript import read_transcript
from kiterec.ticks.decode import decode_packets, find_in_batch
from kiterec.ticks.kernels import read_tokens
from kiterec.ticks.scan import TICKS_AT_ONCE
from kiterec.ticks.symbols import tokens_of
from kiterec.upkeep.export_columns import ExportColumns
from kiterec.upkeep.export_files import ArrowFile, CsvFile, DuckdbFile, ParquetFile
from kiterec.upkeep.passing import passing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    import polars as pl

    from kiterec.ticks.schema import Prices
    from kiterec.upkeep.export_files import TickFile
    from kiterec.upkeep.progress import Progress

STDOUT: Final = "-"
_TRANSCRIPT: Final = ["connection", "seq", "received_at", "kind", "payload"]


class Format(StrEnum):
    """What a file of ticks is; also the ending of its name."""

    PARQUET = "parquet"
    CSV = "csv"
    ARROW = "arrow"
    DUCKDB = "duckdb"


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What `export` wrote.

    Attributes:
        target: the file, or `-`.
        format: what it is.
        rows: ticks in it.
        columns: the columns of the tick table in it.
        bytes: its size; None for `-`.
    """

    target: str
    format: Format
    rows: int
    columns: list[str]
    bytes: int | None


def export(
    recording: Path | str,
    target: Path | str,
    *,
    format: Format | str | None = None,  # noqa: A002 -- the word that users know
    columns: Iterable[str] | None = None,
    instruments: Iterable[str | int] | None = None,
    begin: datetime | None = None,
    end: datetime | None = None,
    prices: Prices = "float",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write ticks to a file; memory is bounded by a row group and a block of ticks.

    Shape:
        One row a packet in `(seq, packet)` order. In CSV the depth is one column a level, `buy_price_0` the
        best; in the others it is a list of five. Connection, segment and mode are text.

    Args:
        recording: the folder of a recording.
        target: the file, or `-` for stdout (CSV, or an Arrow stream). It appears when it is whole.
        format: what to write; None goes by the ending of `target`.
        columns: of the tick table, and `symbol`; None for all that are known: `symbol` needs an instrument
            dump.
        instruments: by token, `NSE:INFY` or a pattern such as `NFO:NIFTY*`; None for all.
        begin: first `received_at`; None for the beginning.
        end: first `received_at` that is too late; None for the end.
        prices: `float` for rupees, `int` for the integers of the wire with `price_divisor`.
        overwrite: replace a file that is there.
        progress: called with rows of the transcript passed and rows in all.

    Raises:
        SetupError: an unknown format or symbol, a file that exists, or DuckDB is not installed.
        StorageError: no recording, a part that does not check, or the disk is full.
        ValueError: an unknown column, or a time without zone.
    """
    folder = open_folder(recording)
    manifest = folder.manifest()
    chosen = ExportColumns(columns, prices, folder.instruments_path)
    span = (None if begin is None else to_ns(begin), None if end is None else to_ns(end))
    tokens = None if instruments is None else tokens_of(instruments, folder.instruments_path)
    kind = _format_of(target, format)
    batches = read_transcript(folder, begin_ns=span[0], end_ns=span[1], columns=_TRANSCRIPT)

    def blocks() -> Iterator[pl.DataFrame]:
        for batch in passing(batches, manifest, progress):
            packets, context = find_in_batch(batch)
            if tokens is not None:
                packets = packets.select(np.isin(read_tokens(packets), tokens))
            for first in range(0, len(packets), TICKS_AT_ONCE):
                block = packets.select(slice(first, first + TICKS_AT_ONCE))
                yield chosen.finish(decode_packets(block, context, chosen.decoded, prices=prices))

    with _opened(target, kind, chosen, overwrite=overwrite) as file:
        rows = file.write(blocks())
    return ExportReport(
        target=str(target),
        format=kind,
        rows=rows,
        columns=chosen.names,
        bytes=None if str(target) == STDOUT else Path(target).stat().st_size,
    )


def _format_of(target: Path | str, asked: Format | str | None) -> Format:
    word = asked or (Format.CSV if str(target) == STDOUT else Path(target).suffix.removeprefix("."))
    try:
        kind = Format(word)
    except ValueError:
        known = ", ".join(f".{kind}" for kind in Format)
        raise SetupError(f"{target} ends with no known format; name it {known}, or give the format") from None
    if str(target) == STDOUT and kind not in {Format.CSV, Format.ARROW}:
        raise SetupError(f"{kind} cannot go to stdout, only csv and arrow; give a file")
    return kind


@contextmanager
def _opened(
    target: Path | str, kind: Format, columns: ExportColumns, *, overwrite: bool
) -> Iterator[TickFile]:
    """Open the target; a file gets its name when the block ends well, otherwise nothing is left."""
    if str(target) == STDOUT:
        yield _stream(kind, columns)
        sys.stdout.buffer.flush()
        return
    path = Path(target)
    if path.exists() and not overwrite:
        raise SetupError(f"{path} exists already; name another file, or overwrite it")
    if not path.parent.is_dir():
        raise SetupError(f"{path.parent} is no folder; make it first")
    draft = path.with_name(f".{path.name}.being-made")
    draft.unlink(missing_ok=True)
    try:
        with storage_errors("write", path):
            yield _file(kind, draft, columns)
            draft.replace(path)
    finally:
        for left in (draft, draft.with_name(draft.name + ".wal")):
            with suppress(FileNotFoundError):
                left.unlink()


def _stream(kind: Format, columns: ExportColumns) -> TickFile:
    out: Any = sys.stdout.buffer
    return CsvFile(out, columns) if kind is Format.CSV else ArrowFile(out, columns, is_stream=True)


def _file(kind: Format, path: Path, columns: ExportColumns) -> TickFile:
    makers: dict[Format, Any] = {
        Format.PARQUET: ParquetFile, Format.CSV: CsvFile, Format.ARROW: ArrowFile, Format.DUCKDB: DuckdbFile,
    }  # fmt: skip
    made: TickFile = makers[kind](path, columns)
    return made
