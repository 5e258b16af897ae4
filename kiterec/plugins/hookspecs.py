"""The hooks that a plugin can implement, banded by the life of a recording.

All of them run in the plugin's own thread, one after the other. A plugin implements the ones that it needs
and takes the arguments that it needs; what a hook returns is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from kiterec.store.summary import Summary
    from kiterec.wire.transcript import Row

PROJECT: Final = "kiterec"
"""The name of the entry-point group and of the markers."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a plugin's functions or methods that are hooks."""


class HookSpecs:
    """What kiterec calls."""

    # -- it begins

    @hookspec
    def kiterec_recording_started(self, recording_path: Path, connections: Sequence[str]) -> None:
        """A recording was started; called once, before all others.

        Args:
            recording_path: the folder of the recording, which is being written: read it, never write there.
            connections: the names of its connections, such as `main-0`.
        """

    # -- while it runs

    @hookspec
    def kiterec_frames(self, batch: pa.RecordBatch) -> None:
        """Binary frames were received.

        Args:
            batch: one row per frame, in the order of the recording, of one or more connections: `connection`,
                `seq`, `received_at`, `monotonic_ns`, `kind` (always `binary`) and `payload`.
                `decode_batch` of `kiterec.ticks.decode` makes ticks of it.
        """

    @hookspec
    def kiterec_event(self, connection: str, row: Row) -> None:
        """Something else happened on a connection: a text came, it was lost, a gap ended.

        Args:
            connection: its name.
            row: `received_at`, `monotonic_ns`, `kind` (never `binary`) and `payload`. `decode_text` of
                `kiterec.wire` reads the payload of a `text`, `read_lifecycle` that of a gap or a loss.
        """

    # -- it ends

    @hookspec
    def kiterec_recording_stopped(self, summary: Summary | None) -> None:
        """The recording is complete; called once, after all others, if the plugin gets there in time.

        Args:
            summary: what the recording holds; None when it could not be finished.
        """


HOOKS: Final = tuple(name for name in vars(HookSpecs) if name.startswith("kiterec_"))
"""The names of all hooks."""
