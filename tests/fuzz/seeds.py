"""Good inputs to begin with: what the real writers make of a few rows."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from kiterec.store.folder import JOURNAL, PART
from kiterec.store.manifest import Manifest, encode_manifest
from kiterec.store.recover import recover
from kiterec.wire.frames import join_frame
from tests.store.recordings import journal_folder


@cache
def seeds() -> dict[str, list[bytes]]:
    """Give a few good inputs of each target."""
    with tempfile.TemporaryDirectory() as place:
        journals, parts, manifests = [], [], [encode_manifest(Manifest())]
        for rows in (1, 3, 20):
            folder = journal_folder(Path(place) / str(rows), batches=3, rows=rows)
            journals.append(folder.file("main-0", 0, JOURNAL).read_bytes())
            recover(folder.path)
            parts.append(folder.file("main-0", 0, PART).read_bytes())
            manifests.append((folder.path / "recording.json").read_bytes())
    packets = [bytes(8), bytes(28), bytes(32), bytes(44), bytes(184), bytes(17), b""]
    frames = [join_frame(packets[:count]) for count in range(len(packets) + 1)]
    mixed = b"".join(len(frame).to_bytes(2) + frame for frame in frames)
    return {"journal": journals, "part": parts, "manifest": manifests, "frames": [*frames, mixed]}
