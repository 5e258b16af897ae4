"""Reports a recording that was made of others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kiterec.cli.json_output import print_json
from kiterec.cli.summary_text import summary_text
from kiterec.store.summary import summarize

if TYPE_CHECKING:
    from pathlib import Path


def report_made(path: Path, *, as_json: bool) -> None:
    """Print where it is and what it holds."""
    summary = summarize(path)
    if as_json:
        print_json(summary)
    else:
        click.echo(f"{path}\n{summary_text(summary)}")
