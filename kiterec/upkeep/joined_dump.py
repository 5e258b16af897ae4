"""The instrument dumps of several recordings as one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pyarrow.parquet as pq

from kiterec.ticks.instruments import InstrumentDump
from kiterec.upkeep.building import read_instruments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiterec.store.folder import RecordingFolder


class JoinedDump(NamedTuple):
    """Dumps as one.

    Attributes:
        content: of `instruments.parquet`; None: no input has a dump.
        conflicts: instrument_tokens that name different instruments in different inputs; the name of the
            earlier input is kept.
    """

    content: bytes | None
    conflicts: int


def join_dumps(folders: Sequence[RecordingFolder]) -> JoinedDump:
    """Join the dumps of inputs: every instrument once, of the first input that has it.

    Raises:
        StorageError: a dump cannot be read.
    """
    contents = [content for folder in folders if (content := read_instruments(folder)) is not None]
    if len(set(contents)) <= 1:
        return JoinedDump(contents[0] if contents else None, 0)
    tables = [
        InstrumentDump.from_parquet(folder.instruments_path).table
        for folder in folders
        if folder.instruments_path.is_file()
    ]
    every = pl.concat(tables)
    names = every.group_by("instrument_token").agg(pl.struct("exchange", "tradingsymbol").n_unique())
    joined = every.unique("instrument_token", keep="first", maintain_order=True)
    sink = io.BytesIO()
    pq.write_table(joined.to_arrow(), sink, compression="zstd", write_page_checksum=True)
    return JoinedDump(sink.getvalue(), names.filter(pl.col("exchange") > 1).height)
