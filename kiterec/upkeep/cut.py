"""cut: a stretch of a recording, some of its connections or instruments, as a recording of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kiterec.clock import ist, to_ns
from kiterec.errors import SetupError
from kiterec.store.folder import RecordingFolder, open_folder
from kiterec.store.transcript import read_transcript
from kiterec.ticks.find import find_packets
from kiterec.ticks.kernels import read_tokens
from kiterec.ticks.symbols import tokens_of
from kiterec.upkeep.building import RecordingBuilder, read_instruments, source_notes
from kiterec.upkeep.last_packets import LastPackets
from kiterec.upkeep.passing import is_binary, passing
from kiterec.upkeep.reframing import keep_packets

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import pyarrow as pa
    from numpy.typing import NDArray

    from kiterec.store.manifest import Manifest
    from kiterec.upkeep.progress import Progress


def cut(
    path: Path | str,
    out: Path | str,
    *,
    begin: datetime | None = None,
    end: datetime | None = None,
    instruments: Iterable[str | int] | None = None,
    connections: Sequence[str] | None = None,
    with_state: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Make a smaller recording, complete and valid.

    `seq` begins at 0 again; times and payloads stay. With `instruments`, frames hold only their packets, and
    frames without any are left out; heartbeats, texts and lifecycle rows stay.

    Args:
        path: the folder of a recording; one that is being written is cut from what is there.
        out: the folder of the new one, which must not exist.
        begin: first `received_at`; None for the beginning.
        end: first `received_at` that is too late; None for the end.
        instruments: by token, `NSE:INFY` or a pattern such as `NFO:NIFTY*`; None for all.
        connections: names; None for all.
        with_state: put the last packet of each instrument before `begin` in front: per connection a `marker`
            row, and the packets as frames.
        progress: called with rows passed and rows in all.

    Returns:
        The folder of the new recording.

    Raises:
        SetupError: `out` exists, a symbol is unknown, or nothing is left.
        StorageError: no recording, an unknown connection, a part that does not check, or the disk is full.
        ValueError: a time without zone.
    """
    folder, target = open_folder(path), Path(out)
    manifest = folder.manifest()
    if connections is not None:
        connections = list(connections)
    span = (None if begin is None else to_ns(begin), None if end is None else to_ns(end))
    tokens = None if instruments is None else tokens_of(instruments, folder.instruments_path)
    with RecordingBuilder(target, sources=[folder.path]) as builder:
        state = LastPackets(tokens)
        if with_state and span[0] is not None:
            for batch in read_transcript(folder, connections=connections, end_ns=span[0]):
                state.add(batch)
        rows = read_transcript(folder, connections=connections, begin_ns=span[0], end_ns=span[1])
        for place, batch in enumerate(passing(rows, manifest, progress)):
            if place == 0 and span[0] is not None:
                builder.add(_state_rows(state, batch, span[0]))
            builder.add(batch if tokens is None else keep_instruments(batch, tokens))
        if not builder.rows:
            raise SetupError(_nothing(folder, manifest))
        asked = {
            "begin_ns": span[0], "end_ns": span[1], "connections": connections, "with_state": with_state,
            "instruments": None if tokens is None else tokens.tolist(),
        }  # fmt: skip
        return builder.finish(
            _model(manifest, connections, tokens),
            made_from={"verb": "cut", "recordings": [folder.path.name], **asked},
            instruments=read_instruments(folder),
            notes=source_notes(folder, manifest),
        )


def keep_instruments(batch: pa.RecordBatch, tokens: NDArray[np.uint32]) -> pa.RecordBatch:
    """Give the batch with the packets of some instruments only."""
    packets = find_packets(batch.column("payload"), binary=is_binary(batch))
    known = packets.known()
    keep = np.isin(read_tokens(known), tokens)
    changed = np.zeros(batch.num_rows, np.bool_)
    changed[known.frame[~keep]] = True
    changed[packets.bad_frames] = True
    return keep_packets(batch, known, keep, changed=changed)


def _state_rows(state: LastPackets, first: pa.RecordBatch, begin_ns: int) -> pa.RecordBatch:
    """Give the state as it is at the cut, on the clock of the rows behind it."""
    late_ns = max(0, first.column("received_at")[0].value - begin_ns)
    return state.rows(at_ns=begin_ns, monotonic_ns=first.column("monotonic_ns")[0].as_py() - late_ns)


def _model(
    manifest: Manifest, connections: Sequence[str] | None, tokens: NDArray[np.uint32] | None
) -> Manifest:
    details: dict[str, Any] = dict(manifest.details)
    if tokens is not None:
        details["instruments"] = int(tokens.size)
    if connections is not None:
        manifest.connections = [name for name in manifest.connections if name in connections]
    manifest.details = details
    return manifest


def _nothing(folder: RecordingFolder, manifest: Manifest) -> str:
    parts = manifest.parts
    if not parts:
        return f"nothing of {folder.path} is left by this cut"
    first, last = ist(min(part.begin_ns for part in parts)), ist(max(part.end_ns for part in parts))
    return (
        f"nothing of {folder.path} is left by this cut; "
        f"it goes from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} IST"
    )
