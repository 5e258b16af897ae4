"""Reports a recording that was made of others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kiterec.amounts import counted, ist_instant
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


def made_from_text(made_from: dict[str, Any]) -> str:
    """Say what `cut` or `merge` wrote down about its inputs, as a sentence."""
    said = [f"{made_from.get('verb', 'made')} of {', '.join(map(str, made_from.get('recordings', [])))}"]
    for name, word in (("begin_ns", "from"), ("end_ns", "to")):
        if made_from.get(name) is not None:
            said.append(f"{word} {ist_instant(made_from[name])} IST")
    if made_from.get("connections"):
        said.append(f"connections {', '.join(made_from['connections'])}")
    if made_from.get("instruments") is not None:
        said.append(counted(len(made_from["instruments"]), "instrument"))
    if made_from.get("with_state"):
        said.append("with the last packets before it")
    if made_from.get("dedupe"):
        said.append("equal packets once")
    shifts = [ns for ns in made_from.get("clock_shifts_ns", []) if ns]
    if shifts:
        said.append(f"clocks shifted by {', '.join(f'{ns / 1e6:+,.3f} ms' for ns in shifts)}")
    return ", ".join(said)
