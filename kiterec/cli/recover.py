"""`kiterec recover`: make recordings final whose recorder died."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kiterec.cli.json_output import print_json
from kiterec.cli.options import json_option
from kiterec.cli.parameters import ON_DISK
from kiterec.errors import SetupError

if TYPE_CHECKING:
    from pathlib import Path

    from kiterec.store.recover import RecoverReport


@click.command(short_help="Seal what a dead recorder left.")
@click.argument("path", type=ON_DISK)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@json_option
def recover(*, path: Path, dry_run: bool, as_json: bool) -> None:
    """Seal what a dead recorder left in PATH: a recording, or a folder with unfinished ones.

    Nothing is deleted before its rows were read back elsewhere, and running it twice changes nothing.
    Exit code 3: something does not check; it is set aside and named.
    """
    from kiterec.cli import LOST
    from kiterec.cli.progress_bar import progress_bar
    from kiterec.store.recover import find_unfinished
    from kiterec.store.recover import recover as recover_one

    are_several = _holds_recordings(path)
    reports = []
    for folder in find_unfinished(path) if are_several else [path]:
        try:
            with progress_bar(f"recovering {folder.name}") as progress:
                reports.append(recover_one(folder, dry_run=dry_run, progress=progress))
        except SetupError as error:  # somebody has begun to use it; the others need not wait
            if not are_several:
                raise
            click.echo(f"kiterec: {error}", err=True)
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            click.echo(_text(report, dry_run=dry_run))
        if not reports:
            click.echo(f"nothing in {path} is unfinished", err=True)
    if any(report.problems for report in reports):
        sys.exit(LOST)


def _holds_recordings(path: Path) -> bool:
    """Tell a folder of recordings from a recording, which may have lost its manifest."""
    return path.is_dir() and not (path / "recording.json").exists() and not any(path.glob("connection=*"))


def _text(report: RecoverReport, *, dry_run: bool) -> str:
    from kiterec.amounts import counted

    if not report.changed:
        return "\n".join([f"{report.path} is {report.status}; nothing to do", *_problems(report)])
    would = "would be" if dry_run else "is now"
    counts = {
        "journal": (len(report.sealed), " sealed"),
        "part": (len(report.listed), " listed"),
        "file": (len(report.kept), " set aside"),
    }
    done = [counted(count, what) + how for what, (count, how) in counts.items() if count]
    done.append(counted(report.rows, "row"))
    if report.torn_bytes:
        done.append(f"{report.torn_bytes:,} bytes of unfinished batches")
    return "\n".join([f"{report.path} {would} {report.status}: {', '.join(done)}", *_problems(report)])


def _problems(report: RecoverReport) -> list[str]:
    return [f"  {problem}" for problem in report.problems]
