"""Asks a recording's own tick cache: one of its parts and of this decoder, which reads back."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa

from kiterec.errors import StorageError
from kiterec.store.folder import CACHE_NAME
from kiterec.store.remote import open_source
from kiterec.ticks.stamp import is_current, open_cache, stamp_in

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow.parquet as pq
    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder
    from kiterec.ticks.schema import Prices

    Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


def ask_cache(
    folder: RecordingFolder,
    question: Callable[[pq.ParquetFile], Answer | None],
    *,
    prices: Prices | None = None,
) -> Answer | None:
    """Give what the cache answers; None where it cannot say.

    Args:
        folder: of the recording.
        question: asked once, or not at all.
        prices: that the cache has to have; None for any.
    """
    path = folder.path / CACHE_NAME
    try:
        # One handle for the stamp and the rows: another cache may take its name meanwhile.
        with open_source(path) as file:
            cache = open_cache(file, where=path)
            stamp = stamp_in(cache.metadata)
            held: Prices = "int" if stamp is not None and stamp.prices == "int" else "float"
            return question(cache) if is_current(stamp, folder, prices or held) else None
    except (OSError, pa.ArrowException, StorageError) as error:
        if path.exists():
            logger.warning("tick cache unreadable, reading frames instead path=%s error=%s", path, error)
        return None


def groups_of(metadata: pq.FileMetaData, tokens: NDArray[np.uint32] | None) -> list[int]:
    """Give the row groups that may have one of the tokens, which are ascending; None for all."""
    place = metadata.schema.names.index("instrument_token")
    found = []
    for group in range(metadata.num_row_groups):
        if not metadata.row_group(group).num_rows:
            continue  # of a recording without ticks
        span = metadata.row_group(group).column(place).statistics
        at = 0 if tokens is None else np.searchsorted(tokens, span.min)
        if tokens is None or (at < tokens.size and tokens[at] <= span.max):
            found.append(group)
    return found
