"""A file that shows what a fuzzing process is doing, so that it is known whatever ends the process."""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

MAX_INPUT = 64 << 10
_HEAD = struct.Struct("<QQI")


class Shown(NamedTuple):
    """What the file says: inputs tried, peak growth in bytes, and the input that is being tried."""

    inputs: int
    grown: int
    data: bytes


class Artifact:
    """The writing side."""

    def __init__(self, path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(_HEAD.size + MAX_INPUT)
        with path.open("r+b") as file:
            self._shown = mmap.mmap(file.fileno(), _HEAD.size + MAX_INPUT)

    def show(self, inputs: int, grown: int, data: bytes) -> None:
        """Say what is tried now."""
        self._shown[: _HEAD.size + len(data)] = _HEAD.pack(inputs, grown, len(data)) + data


def read_artifact(path: Path) -> Shown:
    """Give what the file says; nothing if it is not there."""
    content = path.read_bytes() if path.exists() else bytes(_HEAD.size)
    inputs, grown, size = _HEAD.unpack_from(content)
    return Shown(inputs, grown, content[_HEAD.size : _HEAD.size + size])
