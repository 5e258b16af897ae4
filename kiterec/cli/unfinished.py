"""What `ls` and `info` say of a recording whose recorder is gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from kiterec.cli.started import command

if TYPE_CHECKING:
    from kiterec.store.info import RecordingInfo

UNFINISHED: Final = "unfinished"
"""Shown instead of `recording` when nobody records it any more."""


def is_unfinished(info: RecordingInfo) -> bool:
    """Say whether a recording was not finished and nobody is writing it."""
    from kiterec.store.lock import is_locked
    from kiterec.store.manifest import Status

    return info.status is Status.RECORDING and not is_locked(Path(info.path))


def hint(path: Path | str) -> str:
    """Say how it is finished."""
    return f"the recorder of {path} is gone; {command('recover', path)} seals what it left"
