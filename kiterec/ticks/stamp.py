"""The stamp of a tick cache: what it was made of, and by what, so that it is known whether it is current."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from kiterec.errors import StorageError
from kiterec.store.part_guard import read_guard
from kiterec.store.remote import open_source
from kiterec.ticks.schema import tick_schema

if TYPE_CHECKING:
    from kiterec.store.folder import RecordingFolder
    from kiterec.store.ranged_file import RangedFile
    from kiterec.ticks.schema import Prices

STAMP_KEY: Final = b"kiterec.tick_cache"

_MAX_FOOTER_BYTES: Final = 1 << 28
"""A row group takes 4 kB of it."""


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


def is_current(stamp: Stamp | None, folder: RecordingFolder, prices: Prices) -> bool:
    """Tell whether a cache with this stamp has what a scan of the recording gives now.

    Raises:
        ManifestError: the manifest cannot be read any more.
    """
    if stamp is None or not folder.manifest().is_finished:
        return False
    return msgspec.structs.replace(stamp, ticks=0) == stamp_of(folder, prices)


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


def stamp_of(folder: RecordingFolder, prices: Prices) -> Stamp:
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
