"""The first step of a recording: its folder and its first manifest."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from kiterec.clock import Clock, ist, utc
from kiterec.errors import StorageError
from kiterec.store.folder import RecordingFolder
from kiterec.store.manifest import Manifest

_TRIES: Final = 5
"""Another recorder may take the name, or remove the day's folder because it is empty."""

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from kiterec.store.files import Files
    from kiterec.store.options import StoreOptions


def new_folder(out: Path, label: str, clock: Clock, files: Files) -> RecordingFolder:
    """Make the folder of a recording that begins now, by the date in India, whose name is not taken."""
    now = ist(clock.now_ns())
    day = out / f"date={now:%Y-%m-%d}"
    name = f"recording={now:%H%M%S}-{label}"
    path = day / name
    number = 2
    for left in reversed(range(_TRIES)):
        make_folders(day, files)
        files.sync_folder(out)  # who made the day's folder may have died before it was safe
        while path.exists():
            path = day / f"{name}-{number}"
            number += 1
        try:
            files.make_folder(path)
        except StorageError:
            if not left or (day.exists() and not path.exists()):
                raise
        else:
            break
    return RecordingFolder(path)


def make_folders(path: Path, files: Files) -> None:
    """Make a folder and the parents that it lacks, each name safe; another process may do so too."""
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        try:
            files.make_folder(folder)
        except StorageError:
            if not folder.is_dir():
                raise
        files.sync_folder(folder.parent)


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
