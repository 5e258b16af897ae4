"""`kiterec ls`: the recordings of a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from kiterec.cli.amounts import ist_instant, seconds, size
from kiterec.cli.json_output import print_json
from kiterec.cli.options import json_option
from kiterec.cli.tables import Column, table

if TYPE_CHECKING:
    from kiterec.store.manifest import Manifest
    from kiterec.store.summary import Summary

COLUMNS: Final = [
    Column("recording", left=True), Column("state", 1, left=True), Column("begin (IST)", 10, left=True),
    Column("span", 2), Column("instruments", 8), Column("connections", 9), Column("frames", 7),
    Column("ticks", 4), Column("size", 5), Column("gaps", 6),
]  # fmt: skip


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("recordings"), metavar="[DIR]")
@json_option
def ls(*, folder: Path, as_json: bool) -> None:
    """List the recordings in DIR, which is `recordings` if it is not given.

    Exit code 3: one of them cannot be read.
    """
    from kiterec.cli import LOST
    from kiterec.errors import KiterecError, SetupError
    from kiterec.store.folder import find_recordings, open_folder
    from kiterec.store.summary import summarize

    if not folder.is_dir():
        raise SetupError(f"{folder} is no folder; give the one that `kiterec record --out` wrote to")
    found: list[dict[str, Any]] = []
    unreadable: list[str] = []
    for path in find_recordings(folder):
        try:
            found.append(_entry(summarize(path), open_folder(path).manifest()))
        except KiterecError as error:
            unreadable.append(str(error))
    if as_json:
        print_json(found)
    elif found:
        click.echo(table([_cells(entry, folder) for entry in found], COLUMNS))
    for sentence in unreadable:
        click.echo(f"kiterec: {sentence}", err=True)
    if not found and not unreadable:
        click.echo(f"there is no recording in {folder}", err=True)
    if unreadable:
        sys.exit(LOST)


def _entry(summary: Summary, manifest: Manifest) -> dict[str, Any]:
    return {
        "path": summary.path,
        "label": manifest.label,
        "state": summary.status,
        "begin_ns": summary.begin_ns,
        "span_s": summary.span_s,
        "instruments": manifest.details.get("instruments"),
        "connections": len(summary.connections),
        "frames": summary.frames,
        "ticks": summary.ticks,
        "bytes": summary.disk_bytes,
        "gaps": summary.gaps,
    }


def _cells(entry: dict[str, Any], folder: Path) -> dict[str, str]:
    path = Path(entry["path"])
    below = path.is_relative_to(folder) and path != folder
    return {
        "recording": str(path.relative_to(folder) if below else path),
        "state": str(entry["state"]),
        "begin (IST)": "" if entry["begin_ns"] is None else ist_instant(entry["begin_ns"])[:19],
        "span": seconds(entry["span_s"]),
        "instruments": "" if entry["instruments"] is None else f"{entry['instruments']:,}",
        "connections": str(entry["connections"]),
        "frames": f"{entry['frames']:,}",
        "ticks": f"{entry['ticks']:,}",
        "size": size(entry["bytes"]),
        "gaps": str(entry["gaps"]),
    }
