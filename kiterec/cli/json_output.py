"""What `--json` prints: one JSON document on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec


def print_json(document: Any) -> None:
    """Print a struct, dataclass, mapping or list as indented JSON."""
    encoded = msgspec.json.encode(document, enc_hook=_plain)
    click.echo(msgspec.json.format(encoded, indent=2))


def _plain(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")
