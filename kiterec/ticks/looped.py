"""Writes columns by machine code: the same as `kiterec.ticks.kernels` does with numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kiterec.ticks.plan import LACKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kiterec.ticks.context import Context
    from kiterec.ticks.find import Packets
    from kiterec.ticks.plan import TickArrays


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

    plan = arrays.plan
    write_columns(
        packets.data,
        packets.offset,
        packets.length,
        packets.frame,
        packets.packet,
        _given(context.seq, np.uint64),
        _given(context.received_at, np.int64),
        _given(context.connection, np.int16),
        shift,
        arrays.arena,
        _jobs(arrays),
        int(arrays.first[plan.names.index(LACKING)]) if LACKING in plan.names else -1,
        divisors,
    )


def _jobs(arrays: TickArrays) -> NDArray[np.int64]:
    """Give the plan's jobs as numbers, with where their arrays are."""
    jobs = arrays.plan.job_numbers()
    array = jobs[:, 3]
    return np.column_stack([jobs[:, :3], arrays.plan.row_bytes()[array], arrays.first[array]])


def _given(numbers: NDArray[Any] | None, kind: type[Any]) -> NDArray[Any]:
    return np.empty(0, kind) if numbers is None else np.require(numbers, kind, ["C", "A"])
