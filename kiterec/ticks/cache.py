"""The tick cache: one Parquet file of all ticks, sorted by instrument, for whoever asks about one of them."""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from kiterec.errors import SetupError, StorageError
from kiterec.store.files import storage_errors
from kiterec.store.folder import CACHE_NAME, open_folder
from kiterec.store.lock import FolderLock, is_locked
from kiterec.store.part_guard import guard_footer, read_guard
from kiterec.store.remote import is_remote, open_source
from kiterec.ticks.carry import in_batches
from kiterec.ticks.scan import scan_ticks
from kiterec.ticks.schema import tick_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder
    from kiterec.store.ranged_file import RangedFile
    from kiterec.ticks.schema import Prices

STAMP_KEY: Final = b"kiterec.tick_cache"
ROW_GROUP_ROWS: Final = 1 << 16
"""What a question about one instrument reads at least; a busy one has 20,000 ticks a day."""

BUCKET_ROWS: Final = 1 << 17
"""Rows that are sorted in memory: 36 MB with all columns, a few times over."""

MAX_BUCKETS: Final = 256
"""Files that are open at once while sorting."""

_MAX_FOOTER_BYTES: Final = 1 << 28
"""A row group takes 4 kB of it."""

_CHUNK_ROWS: Final = 1 << 16

# Measured on full ticks of a simulated market, bytes a tick and rows read a second on one core: dictionaries
# everywhere 52.6 and 1.3 M, none 43.2 and 0.4 M, deltas and split floats 41.4 and 0.8 M, this 36.7 and 2.0 M.
_DICTIONARIES: Final = [
    "connection", "segment", "mode", "packet", "instrument_token", "price_divisor", "last_price",
    "last_traded_quantity", "open", "high", "low", "close", "change", "net_change", "oi", "oi_day_high",
    "oi_day_low", "buy_price.list.element", "sell_price.list.element",
]  # fmt: skip
_DELTAS: Final = [
    "seq", "received_at", "volume_traded", "total_buy_quantity", "total_sell_quantity", "last_trade_time",
    "exchange_timestamp",
]  # fmt: skip


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache was made of, and by what; it is kept in the file's metadata.

    Attributes:
        decoder: version of kiterec, and a hash over its tick table and the code that reads and decodes.
        source: hash over the hashes of all parts of the recording, and the sizes of the files that are there.
        prices: `float` or `int`.
        ticks: rows of the file.
    """

    decoder: str
    source: str
    prices: str
    ticks: int = 0


def tick_cache(path: Path | str, target: Path | str | None = None, *, prices: Prices = "float") -> Path:
    """Give the cache of a recording, made anew if it is missing, or of another decoder or other parts.

    Arguments and errors as for `write_tick_cache`.
    """
    folder = open_folder(path)
    place = _place(folder, target)
    if is_current(read_stamp(place), folder, prices):
        return place
    return write_tick_cache(path, place, prices=prices)


def _place(folder: RecordingFolder, target: Path | str | None) -> Path:
    if target is not None:
        return Path(target)
    if is_remote(folder.path):
        raise SetupError(f"{folder.path} is not on a disk; name a file for its tick cache")
    return folder.path / CACHE_NAME


def is_current(stamp: Stamp | None, folder: RecordingFolder, prices: Prices) -> bool:
    """Tell whether a cache with this stamp has what a scan of the recording gives now.

    Raises:
        ManifestError: the manifest cannot be read any more.
    """
    if stamp is None or not folder.manifest().is_finished:
        return False
    return msgspec.structs.replace(stamp, ticks=0) == _stamp(folder, prices)


def write_tick_cache(path: Path | str, target: Path | str | None = None, *, prices: Prices = "float") -> Path:
    """Write the ticks of a recording by instrument_token, then `(seq, packet)`, as one Parquet file.

    Everything is read twice and sorted in pieces beside the target: that takes as much room on the disk as
    the ticks with LZ4, and memory for one piece. The file appears under its name when it is whole.

    Args:
        path: the folder of a recording that is not being written any more.
        target: the file; one that is there is replaced. None is the recording's own, `ticks.parquet` in its
            folder, which `Recording.ticks` uses.
        prices: as for `scan_ticks`.

    Returns:
        The target.

    Raises:
        ManifestError: there is no recording.
        SetupError: the recording is still being written.
        StorageError: the target cannot be written.
    """
    folder = open_folder(path)
    if not folder.manifest().is_finished:
        raise SetupError(
            f"{folder.path} is still being written; "
            "stop its recorder, or run kiterec recover if there is none"
        )
    target = _place(folder, target)
    stamp = _stamp(folder, prices)
    names = pl.Enum(sorted(folder.connections()))
    ticks = scan_ticks(path, prices=prices).with_columns(pl.col("connection").cast(pl.String).cast(names))
    counts = ticks.group_by("instrument_token").len().sort("instrument_token").collect(engine="streaming")
    stamp = msgspec.structs.replace(stamp, ticks=int(counts["len"].sum()))
    schema = ticks.head(0).collect().to_arrow().schema
    _drop_left(target)
    with (
        storage_errors("write", target),
        tempfile.TemporaryDirectory(prefix=f".{target.name}-", suffix=".tmp", dir=target.parent) as scratch,
        FolderLock(Path(scratch)),
    ):
        pieces = _spread(ticks, _edges(counts), schema, Path(scratch))
        draft = Path(scratch) / target.name
        with _open_writer(draft, schema, stamp) as writer:
            for piece in pieces:
                writer.write_table(_sorted(piece, schema), row_group_size=ROW_GROUP_ROWS)
        with draft.open("r+b") as written:
            guard_footer(written)
        _sync(draft)
        draft.replace(target)
    return target


def _drop_left(target: Path) -> None:
    """Delete the pieces of writers that died before they were done; those of a living one are locked."""
    for left in target.parent.glob(f".{glob.escape(target.name)}-*.tmp"):
        with suppress(StorageError):  # its writer has just ended
            if left.is_dir() and not is_locked(left):
                shutil.rmtree(left, ignore_errors=True)


def read_stamp(target: Path | str) -> Stamp | None:
    """Give what a cache was made of; None for a file that is missing, damaged or no cache."""
    try:
        with open_source(Path(target)) as file:
            return stamp_in(open_cache(file, where=Path(target)).metadata)
    except (OSError, StorageError, pa.ArrowException):
        return None


def open_cache(file: RangedFile, *, where: Path) -> pq.ParquetFile:
    """Open a cache whose footer is as it was written: Arrow may end the process over a flipped bit.

    Raises:
        CorruptPartError: it is not.
    """
    read_guard(file, where=where, max_bytes=_MAX_FOOTER_BYTES)
    return pq.ParquetFile(file, page_checksum_verification=True)


def stamp_in(metadata: pq.FileMetaData) -> Stamp | None:
    """Give the stamp in the metadata of a Parquet file; None if there is none."""
    try:
        return msgspec.json.decode((metadata.metadata or {}).get(STAMP_KEY, b""), type=Stamp)
    except msgspec.DecodeError:
        return None


def scan_cache(target: Path | str) -> pl.LazyFrame:
    """Give the ticks of a cache, by instrument_token and then in their order.

    Shape:
        As `scan_ticks`.

    Raises:
        SetupError: it is no tick cache.
    """
    stamp = read_stamp(target)
    if stamp is None:
        raise SetupError(f"{target} is no tick cache; make one with kiterec ticks RECORDING --cache {target}")
    schema = tick_schema("int" if stamp.prices == "int" else "float")
    return pl.scan_parquet(target).select(pl.col(name).cast(kind) for name, kind in schema.items())


def _stamp(folder: RecordingFolder, prices: Prices) -> Stamp:
    """Give the stamp that a cache of the recording has to have."""
    table = hashlib.sha256(repr(list(tick_schema(prices).items())).encode() + _code())
    decoder = f"kiterec {version('kiterec')}, {table.hexdigest()[:16]}"
    return Stamp(decoder=decoder, source=_source_hash(folder), prices=prices)


@cache
def _code() -> bytes:
    """Give a hash over the code that ticks are made by; a version alone does not change with each mend."""
    package = Path(__file__).parents[1]
    sources = sorted(file for part in ("ticks", "store", "wire") for file in (package / part).glob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in sources)).digest()


def _source_hash(folder: RecordingFolder) -> str:
    """Give a hash over what a scan would read: the parts by content, and every file by its size.

    A journal that a finished recording still has is read too, and is not in the manifest.
    """
    lines = [f"{part.connection} {part.number} {part.sha256}\n" for part in folder.manifest().parts]
    for connection in folder.connections():
        files = folder.files(connection)
        lines += [f"{connection} {file.path.name} {file.path.stat().st_size}\n" for file in files]
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _edges(counts: pl.DataFrame) -> NDArray[np.uint32]:
    """Give the first token of each bucket but the first, so that each has about as many ticks."""
    rows = max(BUCKET_ROWS, -(-int(counts["len"].sum()) // MAX_BUCKETS))
    bucket = (counts["len"].cast(pl.Int64).cum_sum() - 1).to_numpy() // rows
    first = np.flatnonzero(np.diff(bucket)) + 1
    return counts["instrument_token"].to_numpy()[first]


def _spread(
    ticks: pl.LazyFrame, edges: NDArray[np.uint32], schema: pa.Schema, folder: Path
) -> Sequence[Path]:
    """Write each bucket's ticks to a file of its own, in their order."""
    paths = [folder / f"{number}.arrows" for number in range(edges.size + 1)]
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with ExitStack() as open_files:
        writers = [
            open_files.enter_context(pa.ipc.new_stream(str(path), schema, options=options)) for path in paths
        ]
        for batch in in_batches(ticks, rows=_CHUNK_ROWS):
            bucket = np.searchsorted(edges, batch["instrument_token"].to_numpy(), side="right")
            order = np.argsort(bucket, kind="stable")
            # Gathering from many chunks takes four times as long as making one of them first.
            table = batch.rechunk()[order].to_arrow().cast(schema).combine_chunks()
            ends = np.cumsum(np.bincount(bucket, minlength=len(paths))).tolist()
            for writer, first, last in zip(writers, [0, *ends], ends, strict=False):
                if first < last:
                    writer.write_table(table.slice(first, last - first))
    return paths


def _sorted(piece: Path, schema: pa.Schema) -> pa.Table:
    """Give the ticks of a bucket by token; those of a token are in their order already."""
    with pa.ipc.open_stream(str(piece)) as reader:
        table = pl.DataFrame(reader.read_all()).rechunk()
    piece.unlink()
    return table.sort("instrument_token", maintain_order=True).to_arrow().cast(schema)


def _open_writer(draft: Path, schema: pa.Schema, stamp: Stamp) -> pq.ParquetWriter:
    leaves = [f"{field.name}.list.element" if _is_list(field) else field.name for field in schema]
    return pq.ParquetWriter(
        draft,
        schema.with_metadata({STAMP_KEY: msgspec.json.encode(stamp)}),
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in _DICTIONARIES if name in leaves],
        column_encoding=dict.fromkeys(_DELTAS, "DELTA_BINARY_PACKED")
        | {"average_traded_price": "BYTE_STREAM_SPLIT"},
        write_page_index=True,
        write_page_checksum=True,
        sorting_columns=pq.SortingColumn.from_ordering(
            schema, [("instrument_token", "ascending"), ("seq", "ascending")]
        ),
    )


def _sync(file: Path) -> None:
    """Let a file reach the disk before its name does."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_list(field: pa.Field) -> bool:
    return bool(pa.types.is_fixed_size_list(field.type))
