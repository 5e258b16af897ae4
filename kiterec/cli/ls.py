"""`kiterec ls`: the recordings of a folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from kiterec.amounts import ist_instant, seconds, size
from kiterec.cli.json_output import print_json
from kiterec.cli.options import check_folder, json_option
from kiterec.cli.parameters import ON_DISK
from kiterec.cli.tables import Column, table
from kiterec.cli.unfinished import UNFINISHED, hint

if TYPE_CHECKING:
    from kiterec.upkeep.listing import Listing

COLUMNS: Final = [
    Column("recording", left=True, least=24, keeps="end"), Column("state", 1, left=True),
    Column("begin (IST)", 3, left=True), Column("span", 2), Column("instruments", 8),
    Column("connections", 9), Column("frames", 7), Column("ticks", 4), Column("size", 5),
]  # fmt: skip


@click.command(short_help="List the recordings in a folder.")
@click.argument("folder", type=ON_DISK, default=Path("recordings"), metavar="[DIR]")
@json_option
def ls(*, folder: Path, as_json: bool) -> None:
    """List the recordings in DIR, which is `recordings` if it is not given.

    Exit code 3: one of them cannot be read.
    """
    from kiterec.cli import LOST
    from kiterec.upkeep.listing import list_recordings

    check_folder(folder)
    found = list_recordings(folder)
    if as_json:
        print_json(found)
    elif found:
        click.echo(table([_cells(listing, folder) for listing in found], COLUMNS))
    else:
        click.echo(f"there is no recording in {folder}", err=True)
    for listing in found:
        if _is_unfinished(listing) and not as_json:
            click.echo(f"kiterec: {hint(listing.path)}", err=True)
    problems = [listing.problem for listing in found if listing.problem is not None]
    for problem in problems:
        click.echo(f"kiterec: {problem}", err=True)
    if problems:
        sys.exit(LOST)


def _is_unfinished(it: Listing) -> bool:
    return it.status == "recording" and not it.is_being_written


def _state(it: Listing) -> str:
    if _is_unfinished(it):
        return UNFINISHED
    return "unreadable" if it.status is None else str(it.status)


def _cells(it: Listing, folder: Path) -> dict[str, str]:
    path = Path(it.path)
    below = path.is_relative_to(folder) and path != folder
    return {
        "recording": str(path.relative_to(folder) if below else path),
        "state": _state(it),
        "begin (IST)": "" if it.begin_ns is None else ist_instant(it.begin_ns)[:19],
        "span": "" if it.span_s is None else seconds(it.span_s),
        "instruments": "" if it.instruments is None else f"{it.instruments:,}",
        "connections": str(it.connections),
        "frames": f"{it.frames:,}",
        "ticks": f"{it.ticks:,}",
        "size": size(it.bytes),
    }
