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
    from kiterec.store.recover import find_unfinished
    from kiterec.store.recover import recover as recover_one

    reports = []
    if _holds_recordings(path):
        for folder in find_unfinished(path):
            try:
                reports.append(recover_one(folder, dry_run=dry_run))
            except SetupError as error:  # somebody has begun to use it; the others need not wait
                click.echo(f"kiterec: {error}", err=True)
    else:
        reports.append(recover_one(path, dry_run=dry_run))
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
    if not report.changed:
        return "\n".join([f"{report.path} is {report.status}; nothing to do", *_problems(report)])
    would = "would be" if dry_run else "is now"
    counts = {
        "journals sealed": len(report.sealed),
        "parts listed": len(report.listed),
        "files set aside": len(report.kept),
    }
    done = [f"{count:,} {what}" for what, count in counts.items() if count]
    done.append(f"{report.rows:,} rows")
    if report.torn_bytes:
        done.append(f"{report.torn_bytes:,} bytes of unfinished batches")
    return "\n".join([f"{report.path} {would} {report.status}: {', '.join(done)}", *_problems(report)])


def _problems(report: RecoverReport) -> list[str]:
    return [f"  {problem}" for problem in report.problems]
