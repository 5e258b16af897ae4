"""`kiterec merge`: several recordings as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kiterec.cli.json_output import print_json
from kiterec.cli.options import json_option, out_option, recordings_argument
from kiterec.cli.parameters import RECORDING, duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiterec.upkeep.merge import MergeReport


@click.command(short_help="Make one recording of several.")
@recordings_argument(RECORDING)
@click.option("--dedupe", is_flag=True, help="Leave out packets that an earlier input has too.")
@click.option(
    "--window", type=duration, default="450ms", show_default=True, metavar="TIME",
    help="With --dedupe: how far apart equal packets may be.",
)  # fmt: skip
@out_option
@json_option
def merge(*, recordings: tuple[Path, ...], dedupe: bool, window: float, out: Path, as_json: bool) -> None:
    """Make one recording of several RECORDINGs: other hosts, redundant accounts, the parts of a day.

    Says which input filled which gap of another.
    """
    from kiterec.cli.progress_bar import progress_bar
    from kiterec.upkeep.merge import merge as merge_all

    with progress_bar("merging") as progress:
        report = merge_all(recordings, out, dedupe=dedupe, window_s=window, progress=progress)
    if as_json:
        print_json(report)
    else:
        click.echo("\n".join(_lines(report)))


def _lines(report: MergeReport) -> Iterator[str]:
    from kiterec.amounts import ist_instant, seconds
    from kiterec.clock import NS_PER_S

    yield report.path
    yield f"{report.rows:,} rows of {len(report.inputs)} recordings"
    for it in report.inputs:
        yield f"  {it.path}: {it.packets:,} packets, {it.twins:,} left out"
    for gap in report.gaps:
        filled = ", ".join(
            f"{it.source} with {it.packets:,} packets of {it.instruments:,} instruments"
            for it in gap.filled_by
        )
        missed = seconds((gap.to_ns - gap.from_ns) / NS_PER_S)
        begin = ist_instant(gap.from_ns)
        yield f"  gap of {gap.connection} from {begin} IST, {missed}: filled by {filled or 'nothing'}"
    if report.renamed_instruments:
        yield f"  {report.renamed_instruments:,} tokens are other instruments in another input"
