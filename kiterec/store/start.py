"""The first step of a recording: its folder and its first manifest."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from kiterec.clock import Clock, ist, utc
from kiterec.store.folder import RecordingFolder
from kiterec.store.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kiterec.store.files import Files
    from kiterec.store.options import StoreOptions


def new_folder(out: Path, label: str, clock: Clock, files: Files) -> RecordingFolder:
    """Make the folder of a recording that begins now, by the date in India, whose name is not taken."""
    now = ist(clock.now_ns())
    day = out / f"date={now:%Y-%m-%d}"
    if not day.exists():
        files.make_folder(day)
        files.sync_folder(out)
    name = f"recording={now:%H%M%S}-{label}"
    path = day / name
    number = 2
    while path.exists():
        path = day / f"{name}-{number}"
        number += 1
    files.make_folder(path)
    return RecordingFolder(path)


def new_manifest(
    *,
    label: str,
    accounts: Sequence[str],
    connections: Sequence[str],
    details: Mapping[str, Any],
    options: StoreOptions,
    clock: Clock,
) -> Manifest:
    """Give the manifest of a recording that begins now."""
    return Manifest(
        versions={
            "kiterec": version("kiterec"),
            "python": platform.python_version(),
            "pyarrow": pa.__version__,
        },
        label=label,
        host=platform.node(),
        created_at=utc(clock.now_ns()),
        accounts=list(accounts),
        connections=list(connections),
        limits=options.limits(),
        details={"pid": os.getpid(), **details},
    )
