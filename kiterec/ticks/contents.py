"""What a recording holds, as data: packet lengths, instruments, epochs, and how the clocks went."""

from __future__ import annotations

from typing import Final

import msgspec

MAX_LISTED: Final = 200
"""Epochs of a connection and steps of the clock that are listed; all of them are counted."""


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """One connect of a connection.

    Attributes:
        epoch: its number; None in a recording that does not say it.
        begin_ns: when it was connected, ns since the epoch.
        end_ns: when it was lost or closed; None: not in this recording.
        reason: why it ended.
    """

    epoch: int | None
    begin_ns: int
    end_ns: int | None = None
    reason: str = ""


class ClockStep(msgspec.Struct, frozen=True, kw_only=True):
    """The wall clock went on by another amount than the monotonic one.

    Attributes:
        connection: whose rows show it; a step of the host's clock shows on each.
        at_ns: `received_at` of the first row behind it.
        step_ns: by how much the wall clock jumped; negative is back. A host that slept jumps ahead.
    """

    connection: str
    at_ns: int
    step_ns: int


class PacketCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many packets of one length there are.

    Attributes:
        length: bytes.
        name: of the layout, such as `index full`; `unknown` for a length without one.
        mode: `ltp`, `quote` or `full`; None where the length is unknown.
        packets: how many.
    """

    length: int
    name: str
    mode: str | None
    packets: int


class InstrumentCount(msgspec.Struct, frozen=True, kw_only=True):
    """How much came of one instrument.

    Attributes:
        instrument_token: its token.
        symbol: its name; None without a dump that has it.
        segment: its exchange segment.
        ticks: packets of known length.
        ticks_s: of these a second of the recording.
    """

    instrument_token: int
    symbol: str | None
    segment: str
    ticks: int
    ticks_s: float


class ConnectionContents(msgspec.Struct, kw_only=True):
    """What the rows of one connection hold.

    Attributes:
        connection: its name.
        epoch_count: how often it was connected.
        epochs: the first `MAX_LISTED` of them.
        packets: by length.
        clock_drift_ns: by how much more the wall clock went on than the monotonic one, steps included.
    """

    connection: str
    epoch_count: int = 0
    epochs: list[Epoch] = []
    packets: list[PacketCount] = []
    clock_drift_ns: int = 0


class Contents(msgspec.Struct, kw_only=True):
    """What the rows of a recording hold, as far as its manifest does not say it.

    Attributes:
        packets: by length, of all connections.
        bad_frames: frames that hold anything but whole packets of known length.
        instruments: instruments that had a tick.
        top: the busiest of them.
        clock_step_count: steps of the clock.
        clock_steps: the first `MAX_LISTED` of them.
        connections: one entry a connection, by name.
    """

    packets: list[PacketCount] = []
    bad_frames: int = 0
    instruments: int = 0
    top: list[InstrumentCount] = []
    clock_step_count: int = 0
    clock_steps: list[ClockStep] = []
    connections: list[ConnectionContents] = []
