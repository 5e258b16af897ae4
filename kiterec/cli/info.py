"""`kiterec info`: what a recording holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kiterec.cli.json_output import print_json
from kiterec.cli.options import json_option
from kiterec.cli.parameters import RECORDING

if TYPE_CHECKING:
    from pathlib import Path

    from kiterec.recording import RecordingInfo


@click.command()
@click.argument("recordings", nargs=-1, required=True, metavar="RECORDING...", type=RECORDING)
@json_option
def info(*, recordings: tuple[Path, ...], as_json: bool) -> None:
    """Say what RECORDING holds: spans, frames, ticks, sizes, gaps.

    A recording that is still being written can be looked at too. With --json, several recordings give a list.
    """
    import kiterec
    from kiterec.cli.unfinished import hint, is_unfinished

    found = [kiterec.open(path).info() for path in recordings]
    if as_json:
        print_json(found[0] if len(found) == 1 else found)
    else:
        unfinished = [is_unfinished(it) for it in found]
        click.echo("\n\n".join(map(_text, found, unfinished)))
        for it, dead in zip(found, unfinished, strict=True):
            if dead:
                click.echo(f"kiterec: {hint(it.path)}", err=True)


def _text(info: RecordingInfo, unfinished: bool) -> str:
    from kiterec.amounts import ist_instant, size
    from kiterec.cli.made_recording import made_from_text
    from kiterec.cli.summary_text import summary_text
    from kiterec.cli.unfinished import UNFINISHED
    from kiterec.clock import to_ns

    summary = info.summary
    pairs = [
        ("recorded on", info.host),
        ("begun", "" if info.created_at is None else f"{ist_instant(to_ns(info.created_at))} IST"),
        ("ended", "" if info.ended_at is None else f"{ist_instant(to_ns(info.ended_at))} IST"),
        ("with", ", ".join(f"{name} {version}" for name, version in info.versions.items())),
        ("accounts", ", ".join(info.accounts)),
        ("dump", "none" if info.instruments is None else f"{info.instruments:,} instruments"),
    ]
    for name, value in info.details.items():
        if name == "made_from" and isinstance(value, dict):
            pairs.append(("made from", made_from_text(value)))
            continue
        pairs.append((name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)))
    if summary.ticks and summary.disk_bytes:
        ratio = summary.wire_bytes / summary.disk_bytes
        per_tick = size(summary.disk_bytes / summary.ticks)
        pairs.append(("compression", f"{ratio:.1f} to 1, {per_tick} a tick"))
    lines = [f"  {name:<12} {value}" for name, value in pairs if value]
    return "\n".join([info.path, *lines, summary_text(summary, state=UNFINISHED if unfinished else None)])
