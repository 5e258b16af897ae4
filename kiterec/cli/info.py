"""`kiterec info`: what a recording holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from kiterec.cli.json_output import print_json
from kiterec.cli.options import json_option, recordings_argument
from kiterec.cli.parameters import RECORDING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiterec.recording import Recording
    from kiterec.store.info import RecordingInfo
    from kiterec.ticks.contents import Contents


@click.command(short_help="Say what recordings hold.")
@recordings_argument(RECORDING)
@click.option(
    "--top", default=10, show_default=True, type=click.IntRange(0), metavar="N",
    help="List this many of the busiest instruments.",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="Only what the manifest says; no row is read.")
@json_option
def info(*, recordings: tuple[Path, ...], top: int, quick: bool, as_json: bool) -> None:
    """Say what RECORDING holds: the manifest, spans, epochs, gaps, packets, instruments, sizes, clocks.

    Everything is read once, which takes a second for some hundred MB; --quick does without. A recording that
    is still being written can be looked at too. With --json, several recordings give a list.

    Exit code 3: something in it cannot be read; what the manifest says is shown all the same.
    """
    import kiterec
    from kiterec.cli import LOST
    from kiterec.cli.unfinished import hint, is_unfinished

    opened = [kiterec.open(path) for path in recordings]
    found = [recording.info() for recording in opened]
    looked = [None if quick else _look(recording, top) for recording in opened]
    if as_json:
        shown = [_as_json(it, contents) for it, contents in zip(found, looked, strict=True)]
        print_json(shown[0] if len(shown) == 1 else shown)
    else:
        unfinished = [is_unfinished(it) for it in found]
        click.echo("\n\n".join(map(_text, found, unfinished, looked)))
        for it, dead in zip(found, unfinished, strict=True):
            if dead:
                click.echo(f"kiterec: {hint(it.path)}", err=True)
    if not quick and None in looked:
        sys.exit(LOST)


def _look(recording: Recording, top: int) -> Contents | None:
    """Read all rows; None, and a line on stderr, when they cannot be read."""
    from kiterec.cli.progress_bar import progress_bar
    from kiterec.errors import StorageError

    try:
        with progress_bar(f"reading {recording.path.name}") as progress:
            return recording.contents(top=top, progress=progress)
    except StorageError as error:
        click.echo(f"kiterec: {error}", err=True)
        return None


def _as_json(info: RecordingInfo, contents: Contents | None) -> dict[str, Any]:
    import msgspec

    return {**msgspec.to_builtins(info), "contents": msgspec.to_builtins(contents)}


def _text(info: RecordingInfo, unfinished: bool, contents: Contents | None) -> str:
    from kiterec.amounts import ist_instant, size
    from kiterec.cli.contents_text import contents_text
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
    pairs += [("limits", _limits(info.limits)), *_latencies(info)]
    if info.torn_bytes:
        pairs.append(("torn", f"{info.torn_bytes:,} bytes of unfinished batches that a crash left"))
    lines = [f"  {name:<12} {value}" for name, value in pairs if value]
    numbers = summary_text(summary, state=UNFINISHED if unfinished else None)
    return "\n".join([info.path, *lines, numbers, *([] if contents is None else [contents_text(contents)])])


def _limits(limits: dict[str, float | int | None]) -> str:
    """Give the writer's options that its promises rest on; --json has them all."""
    from kiterec.amounts import seconds, size

    shown = (
        ("flush", "flush_interval_s", seconds), ("fsync", "fsync_interval_s", seconds),
        ("parts", "part_bytes", size), ("or", "part_duration_s", seconds), ("memory", "memory_budget", size),
    )  # fmt: skip
    said = []
    for word, name, show in shown:
        if name in limits:
            value = limits[name]
            said.append(f"{word} {'never' if value is None else show(value)}")
    return ", ".join(said).replace(", or ", " or ")


def _latencies(info: RecordingInfo) -> Iterator[tuple[str, str]]:
    for name, it in info.latencies.items():
        if it.get("count"):
            yield name, f"p50 {it['p50_ms']:,.1f} ms, p99 {it['p99_ms']:,.1f} ms, max {it['max_ms']:,.1f} ms"
