"""Writes columns by machine code: the same as `kiterec.ticks.kernels` does with numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kiterec.ticks.plan import LACKING, allocate
from kiterec.ticks.walks import KNOWN_LENGTHS, most_packets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kiterec.ticks.context import Context
    from kiterec.ticks.find import Packets
    from kiterec.ticks.plan import Plan, TickArrays


def write_rows(
    arrays: TickArrays,
    shift: NDArray[np.int64],
    packets: Packets,
    context: Context,
    divisors: NDArray[np.float64],
) -> None:
    """Decode packets of known lengths into rows of the arrays; the interpreter is free meanwhile.

    Args:
        arrays: of a plan for their lengths.
        shift: of each frame: its packets move by so many rows from their place here; or one number for all.
        packets: what to decode.
        context: of their frames.
        divisors: by exchange segment.
    """
    from kiterec.ticks.column_loops import write_columns

    write_columns(
        packets.data,
        packets.offset,
        packets.length,
        packets.frame,
        packets.packet,
        *_of_frames(context),
        shift,
        arrays.arena,
        *_jobs(arrays),
        divisors,
    )


def decode_frames(
    plan: Plan,
    buffers: tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]],
    context: Context,
    divisors: NDArray[np.float64],
) -> tuple[TickArrays, NDArray[np.int64]]:
    """Find and decode packets in one go; the interpreter is free meanwhile.

    Args:
        plan: for all known lengths.
        buffers: of the frames, as `binary_buffers` gives them; those of size 0 are passed over.
        context: of the frames.
        divisors: by exchange segment.

    Returns:
        The ticks' numbers, and how many rows precede those of each frame, at last how many there are.
    """
    from kiterec.ticks import frame_loops

    first = np.empty(len(buffers[1]) + 1, np.int64)
    arrays = allocate(plan, most_packets(*buffers))
    frame_loops.decode_frames(
        *buffers, KNOWN_LENGTHS, *_of_frames(context), first, arrays.arena, *_jobs(arrays), divisors
    )
    return arrays.first_rows(int(first[-1])), first


def _of_frames(
    context: Context,
) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int16]]:
    """Give what is known of each frame as loops take it, empty where nothing is."""
    return (
        _given(context.seq, np.uint64),
        _given(context.received_at, np.int64),
        _given(context.connection, np.int16),
    )


def _jobs(arrays: TickArrays) -> tuple[NDArray[np.int64], int]:
    """Give the plan's jobs as numbers, with where their arrays are; and where that of `LACKING` is."""
    plan = arrays.plan
    jobs = plan.job_numbers
    array = jobs[:, 3]
    lacking = int(arrays.first[plan.names.index(LACKING)]) if LACKING in plan.names else -1
    return np.column_stack([jobs[:, :3], plan.row_bytes[array], arrays.first[array]]), lacking


def _given(numbers: NDArray[Any] | None, kind: type[Any]) -> NDArray[Any]:
    return np.empty(0, kind) if numbers is None else np.require(numbers, kind, ["C", "A"])
