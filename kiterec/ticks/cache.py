"""The tick cache: one Parquet file of all ticks, sorted by instrument, for whoever asks about one of them."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import polars as pl

from kiterec.errors import SetupError, StorageError
from kiterec.store.files import storage_errors
from kiterec.store.folder import CACHE_NAME, open_folder
from kiterec.store.lock import FolderLock, is_locked
from kiterec.store.part_guard import guard_footer
from kiterec.store.remote import is_remote
from kiterec.store.transcript import read_transcript
from kiterec.ticks.buckets import Bucket, by_token
from kiterec.ticks.cache_file import write_ticks
from kiterec.ticks.decode import find_in_batch
from kiterec.ticks.kernels import read_tokens
from kiterec.ticks.packet_rows import NEEDED, packet_rows
from kiterec.ticks.schema import tick_schema
from kiterec.ticks.stamp import is_current, read_stamp, stamp_of
from kiterec.ticks.token_counts import TokenCounts

if TYPE_CHECKING:
    from kiterec.store.folder import RecordingFolder
    from kiterec.ticks.schema import Prices


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


def write_tick_cache(path: Path | str, target: Path | str | None = None, *, prices: Prices = "float") -> Path:
    """Write the ticks of a recording by instrument_token, then `(seq, packet)`, as one Parquet file.

    Everything is read twice and sorted in pieces beside the target: that takes about as much room on the disk
    as the recording, and memory for one piece. The file appears under its name when it is whole.

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
    stamp = stamp_of(folder, prices)
    whole = _count(folder)
    stamp = msgspec.structs.replace(stamp, ticks=len(whole))
    _drop_left(target)
    with (
        storage_errors("write", target),
        tempfile.TemporaryDirectory(prefix=f".{target.name}-", suffix=".tmp", dir=target.parent) as scratch,
        FolderLock(Path(scratch)),
    ):
        rows = (packet_rows(batch) for batch in read_transcript(folder, columns=NEEDED))
        draft = Path(scratch) / target.name
        write_ticks(draft, by_token(rows, whole, Path(scratch)), folder.connections(), stamp)
        with draft.open("r+b") as written:
            guard_footer(written)
        _sync(draft)
        draft.replace(target)
    return target


def _count(folder: RecordingFolder) -> Bucket:
    """Count the packets of each instrument."""
    counts = TokenCounts()
    for batch in read_transcript(folder, columns=NEEDED):
        counts.add(read_tokens(find_in_batch(batch)[0]))
    return Bucket(*counts.result())


def _drop_left(target: Path) -> None:
    """Delete the pieces of writers that died before they were done; those of a living one are locked."""
    for left in target.parent.glob(f".{glob.escape(target.name)}-*.tmp"):
        with suppress(StorageError):  # its writer has just ended
            if left.is_dir() and not is_locked(left):
                shutil.rmtree(left, ignore_errors=True)


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


def _sync(file: Path) -> None:
    """Let a file reach the disk before its name does."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
