"""`kiterec cut`: a smaller recording out of a larger one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kiterec.cli.options import (
    from_option,
    instruments_option,
    json_option,
    out_option,
    split_words,
    to_option,
)
from kiterec.cli.parameters import RECORDING

if TYPE_CHECKING:
    from pathlib import Path


@click.command(short_help="Make a smaller recording.")
@click.argument("recording", type=RECORDING)
@from_option
@to_option
@instruments_option
@click.option("--connections", metavar="NAMES", help="Only these, such as main-0,main-1.")
@click.option("--with-state", is_flag=True, help="Put each instrument's last packet before the cut in front.")
@out_option
@json_option
def cut(
    *, recording: Path, begin: str | None, end: str | None, instruments: tuple[str, ...],
    connections: str | None, with_state: bool, out: Path, as_json: bool,
) -> None:  # fmt: skip
    """Make a smaller recording of RECORDING: a stretch of time, some instruments, some connections."""
    import kiterec
    from kiterec.cli.made_recording import report_made
    from kiterec.cli.progress_bar import progress_bar
    from kiterec.cli.spans import read_span
    from kiterec.upkeep.cut import cut as cut_one

    source = kiterec.open(recording)
    span = read_span(source, begin, end)
    names = None if connections is None else [name.strip() for name in connections.split(",")]
    for name in names or []:
        if name not in source.connections:
            raise click.BadParameter(
                f"{source.path} has no connection {name!r}; it has {', '.join(source.connections)}",
                param_hint="--connections",
            )
    with progress_bar("cutting") as progress:
        made = cut_one(
            source.path, out, begin=span[0], end=span[1], instruments=split_words(instruments) or None,
            connections=names, with_state=with_state, progress=progress,
        )  # fmt: skip
    report_made(made, as_json=as_json)
