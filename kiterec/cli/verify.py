"""`kiterec verify`: is a recording whole?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kiterec.cli.json_output import print_json
from kiterec.cli.options import json_option, recordings_argument
from kiterec.cli.parameters import ON_DISK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiterec.upkeep.findings import Finding, Findings


@click.command(short_help="Check everything that can be checked.")
@recordings_argument(ON_DISK)
@json_option
def verify(*, recordings: tuple[Path, ...], as_json: bool) -> None:
    """Check everything of RECORDING that can be checked; nothing is written.

    Checksums, counts, order, holes, whether each frame decodes, and the manifest against the files. Exit code
    3: something is lost or altered. With --json, several recordings give a list.
    """
    from kiterec.cli import LOST
    from kiterec.cli.progress_bar import progress_bar
    from kiterec.upkeep.verify import verify as verify_one

    found = []
    for path in recordings:
        _check_is_recording(path)
        with progress_bar(f"verifying {path.name}") as progress:
            found.append(verify_one(path, progress=progress))
    if as_json:
        print_json(found[0] if len(found) == 1 else found)
    else:
        for findings in found:
            click.echo("\n".join(_lines(findings)))
    if not all(findings.is_clean for findings in found):
        sys.exit(LOST)


def _check_is_recording(path: Path) -> None:
    """Refuse what is no recording or of a newer format; a damaged one is what verify is for."""
    from kiterec.store.folder import open_folder
    from kiterec.store.manifest import is_of_newer_format

    if not path.is_dir() or not any(path.glob("connection=*")) or is_of_newer_format(path):
        open_folder(path).manifest()


def _lines(findings: Findings) -> Iterator[str]:
    from kiterec.amounts import counted, size

    state = "no manifest" if findings.status is None else str(findings.status)
    verdict = "clean" if findings.is_clean else counted(findings.error_count, "error")
    if findings.warning_count:
        verdict += f", {counted(findings.warning_count, 'warning')}"
    yield f"{findings.path}: {verdict} ({state})"
    yield (
        f"  read {findings.rows:,} rows, {findings.frames:,} frames, {findings.packets:,} packets in "
        f"{counted(findings.parts, 'part')} and {counted(findings.journals, 'journal')}, "
        f"{size(findings.bytes)}"
    )
    for finding in (*findings.errors, *findings.warnings):
        yield f"  {finding.severity}: {_sentence(finding)}"
    unlisted = findings.error_count + findings.warning_count - len(findings.errors) - len(findings.warnings)
    if unlisted:
        yield f"  and {unlisted:,} more"
    if findings.recover is not None:
        yield f"  kiterec recover {findings.path} would make it {findings.recover.status}"


def _sentence(finding: Finding) -> str:
    place = finding.file
    if finding.first_seq is not None:
        place += f", seq {finding.first_seq:,}"
        if finding.last_seq not in {None, finding.first_seq}:
            place += f" to {finding.last_seq:,}"
    if finding.offset is not None:
        place += f", byte {finding.offset:,}"
    return f"{place}: {finding.what}; {finding.next_step}"
