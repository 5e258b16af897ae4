"""merge: several recordings as one, each packet once if wanted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from kiterec.errors import SetupError
from kiterec.store.folder import RecordingFolder, open_folder
from kiterec.store.manifest import Manifest
from kiterec.store.remote import is_remote
from kiterec.upkeep.building import RecordingBuilder, source_notes
from kiterec.upkeep.filled_gaps import FilledGap  # noqa: TC001 -- msgspec reads the annotations when it runs
from kiterec.upkeep.joined_dump import join_dumps
from kiterec.upkeep.merging import MergedInput, Merging
from kiterec.upkeep.progress import Progress, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

WINDOW_S: Final = 0.45
"""Kite sends every 250 ms, and an instrument only when it changed: the same bytes cannot come back in less
than half a second, so within less than that they are the same packet, received by somebody else. Hosts whose
clocks are further apart keep both, which loses nothing."""


class MergeReport(msgspec.Struct, kw_only=True):
    """What `merge` made.

    Attributes:
        path: the new recording.
        rows: rows in it.
        inputs: what became of each input, in their order.
        gaps: the inputs' gaps, and who filled each.
        renamed_instruments: instrument_tokens that are different instruments in different inputs (tokens are
            used again after expiry); the earlier input's name is kept.
    """

    path: str
    rows: int
    inputs: list[MergedInput]
    gaps: list[FilledGap]
    renamed_instruments: int


def merge(
    paths: Sequence[Path | str],
    out: Path | str,
    *,
    dedupe: bool = False,
    window_s: float = WINDOW_S,
    progress: Progress | None = None,
) -> MergeReport:
    """Make one recording of several: other hosts, redundant accounts, the two halves of a day.

    Rows are ordered by `received_at`, then by input; each input's own order stays. Connections keep their
    names, except that one whose name an earlier input has gets its input's number behind it (`main-0.2`).

    Args:
        paths: folders of recordings, two or more.
        out: the folder of the new one, which must not exist.
        dedupe: leave out packets that another input had before: equal byte for byte, at most `window_s`
            apart, paired one to one. Everything else stays, heartbeats and texts too.
        window_s: see `dedupe`.
        progress: called with rows passed and rows in all.

    Raises:
        SetupError: fewer than two inputs, one is given twice, or `out` exists.
        StorageError: no recording, a part that does not check, or the disk is full.
    """
    folders = [open_folder(path) for path in paths]
    _check_inputs(folders)
    manifests = [folder.manifest() for folder in folders]
    names = _new_names(folders, manifests)
    with RecordingBuilder(Path(out), sources=[folder.path for folder in folders]) as builder:
        merging = Merging(folders, names, window_s=window_s if dedupe else None)
        total = sum(part.counts.rows for manifest in manifests for part in manifest.parts)
        for batch in merging.run():
            builder.add(batch)
            tell(progress, merging.passed, total)
        dump = join_dumps(folders)
        builder.finish(
            _model(manifests, merging.everyone),
            made_from={
                "verb": "merge",
                "recordings": [folder.path.name for folder in folders],
                "dedupe": dedupe,
                "clock_shifts_ns": [it.clock_shift_ns for it in merging.inputs],
            },
            instruments=dump.content,
            notes=[note for pair in zip(folders, manifests, strict=True) for note in source_notes(*pair)],
        )
        return MergeReport(
            path=str(out),
            rows=builder.rows,
            inputs=merging.inputs,
            gaps=merging.gaps(),
            renamed_instruments=dump.conflicts,
        )


def _check_inputs(folders: Sequence[RecordingFolder]) -> None:
    if len(folders) < 2:
        raise SetupError("merge makes one recording of several; give two or more")
    seen: set[Path] = set()
    for folder in folders:
        if (place := folder.path if is_remote(folder.path) else folder.path.resolve()) in seen:
            raise SetupError(f"{folder.path} is given twice; give each recording once")
        seen.add(place)


def _new_names(folders: Sequence[RecordingFolder], manifests: Sequence[Manifest]) -> list[dict[str, str]]:
    """Give each input's connections names that no other one has."""
    taken: set[str] = set()
    mappings: list[dict[str, str]] = []
    for number, (folder, manifest) in enumerate(zip(folders, manifests, strict=True), 1):
        mapping: dict[str, str] = {}
        for name in sorted({*manifest.connections, *folder.connections()}):
            new = name
            while new in taken:
                new = f"{new}.{number}"
            taken.add(new)
            mapping[name] = new
        mappings.append(mapping)
    return mappings


def _model(manifests: Sequence[Manifest], connections: list[str]) -> Manifest:
    """Give the first input's manifest, with everybody's accounts and connections."""
    accounts = dict.fromkeys(name for manifest in manifests for name in manifest.accounts)
    first = manifests[0]
    return Manifest(
        label=first.label, host=first.host, accounts=list(accounts), connections=connections, details={}
    )
