"""Going once through a transcript: how far it is, and which of a batch's rows are frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kiterec.store.schema import KIND_CODES
from kiterec.upkeep.progress import Progress, tell
from kiterec.wire.transcript import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from kiterec.store.manifest import Manifest


def passing(
    batches: Iterator[pa.RecordBatch], manifest: Manifest, progress: Progress | None
) -> Iterator[pa.RecordBatch]:
    """Give the same batches, and say how many rows of the recording lie before the end of each."""
    total = 1 + max((part.last_seq for part in manifest.parts), default=0)
    for batch in batches:
        yield batch
        tell(progress, 1 + batch.column("seq")[-1].as_py(), total)
    tell(progress, total, total)


def is_binary(batch: pa.RecordBatch) -> NDArray[np.bool_]:
    """Tell the binary rows of a batch of a transcript."""
    binary: NDArray[np.bool_] = (
        np.asarray(np.from_dlpack(batch.column("kind").indices)) == KIND_CODES[Kind.BINARY]
    )
    return binary
