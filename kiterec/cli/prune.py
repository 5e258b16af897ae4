"""`kiterec prune`: delete old recordings, after a look at the plan."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from kiterec.amounts import size
from kiterec.cli.json_output import print_json
from kiterec.cli.options import check_folder, json_option
from kiterec.cli.parameters import ON_DISK, duration
from kiterec.cli.parameters import size as byte_size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kiterec.upkeep.prune import Kept


@click.command(short_help="Delete old recordings, after a look at the plan.")
@click.argument("folder", type=ON_DISK, metavar="DIR")
@click.option(
    "--older-than", type=duration, metavar="TIME", help="Those whose last row is older, such as 90d."
)
@click.option(
    "--max-size", type=byte_size, metavar="SIZE",
    help="The oldest, until the others are no more than this, such as 500GB.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Delete what the plan lists.")
@json_option
def prune(*, folder: Path, older_than: float | None, max_size: int | None, yes: bool, as_json: bool) -> None:
    """Say which recordings in DIR can go; delete them only with --yes.

    Each is verified first. What is unfinished, quarantined or does not verify always stays.
    """
    from kiterec.cli import LOST
    from kiterec.cli.progress_bar import progress_bar
    from kiterec.upkeep.prune import carry_out, plan_prune

    check_folder(folder)
    age = None if older_than is None else timedelta(seconds=older_than)
    with progress_bar("verifying") as progress:
        plan = plan_prune(folder, older_than=age, max_bytes=max_size, progress=progress)
    if not yes:
        if as_json:
            print_json(plan)
            return
        for removal in plan.remove:
            click.echo(f"would delete {removal.path}, {size(removal.bytes)}: {removal.reason}")
        _say_kept(plan.keep)
        click.echo(f"{size(plan.freed_bytes)} of {size(plan.bytes)} would be freed; --yes deletes", err=True)
        return
    report = carry_out(plan)
    if as_json:
        print_json({"plan": plan, "report": report})
    else:
        for path in report.removed:
            click.echo(f"deleted {path}")
        _say_kept([*plan.keep, *report.keep])
        click.echo(f"{size(report.freed_bytes)} freed", err=True)
    if report.keep:
        sys.exit(LOST)


def _say_kept(kept: Iterable[Kept]) -> None:
    for it in kept:
        click.echo(f"stays {it.path}, {size(it.bytes)}: {it.reason}")
