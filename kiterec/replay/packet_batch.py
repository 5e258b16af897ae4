"""Where the packets of a timeline batch lie, found for the whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kiterec.replay import engine
from kiterec.replay.instrument_index import NO_SLOTS, UNKNOWN, find_positions, hash_shift
from kiterec.replay.packet_runs import find_runs
from kiterec.ticks.find import binary_buffers, find_packets
from kiterec.ticks.walks import KNOWN_LENGTHS, most_packets

if TYPE_CHECKING:
    from types import ModuleType

    import numpy.typing as npt

    from kiterec.replay.instrument_index import Slots
    from kiterec.replay.timeline import Payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketBatch:
    """The packets of known length in a batch of messages.

    Shape: `message`, `offset`, `length`, `token` and `instrument` have one entry per packet, in the order of
    the wire; `begin` one per message and one more; `intact` one per message.

    Attributes:
        data: the bytes that offsets point into.
        message: row of the message that holds the packet.
        offset: of the packet's first byte (its instrument_token) in `data`.
        length: in bytes.
        token: instrument_token.
        instrument: its position in the index, as far as that knew it when the packets were located;
            `UNKNOWN` for others.
        begin: the packets of message `m` are `begin[m]` up to, without, `begin[m + 1]`.
        intact: the message holds just these packets; otherwise it may only be sent rebuilt.
        known: no `instrument` is `UNKNOWN`.
    """

    data: npt.NDArray[np.uint8]
    message: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    token: npt.NDArray[np.uint32]
    instrument: npt.NDArray[np.int32]
    begin: npt.NDArray[np.int64]
    intact: npt.NDArray[np.bool_]
    known: bool

    def __len__(self) -> int:
        return len(self.offset)

    def payload_bytes(self) -> int:
        """Give about how many bytes the packets are in, from the first to the last."""
        return int(self.offset[-1] - self.offset[0]) if len(self.offset) else 0

    def where(self, keep: npt.NDArray[np.bool_]) -> PacketBatch:
        """Give the batch with only some of its packets; a frame that lost one is not intact any more."""
        intact = self.intact.copy()
        intact[self.message[~keep]] = False
        message = self.message[keep]
        return PacketBatch(
            data=self.data,
            message=message,
            offset=self.offset[keep],
            length=self.length[keep],
            token=self.token[keep],
            instrument=self.instrument[keep],
            begin=_begins(message, len(intact)),
            intact=intact,
            known=self.known,
        )


def locate_packets(
    payloads: Payloads, *, binary: npt.NDArray[np.bool_] | None = None, slots: Slots = NO_SLOTS
) -> PacketBatch:
    """Find the packets of known length in a batch of messages.

    Args:
        payloads: the messages.
        binary: which of them are frames; None for all.
        slots: those of an `InstrumentIndex`, to which another thread may add meanwhile.
    """
    if (loops := engine.loops()) is not None:
        return _by_loop(loops, payloads, binary, slots)
    messages = len(payloads)
    intact = np.ones(messages, np.bool_)
    runs = find_runs(payloads, binary=intact if binary is None else binary)
    if runs is not None:
        data, _, _ = binary_buffers(payloads)
        return _batch(data, *runs, intact=intact, slots=slots)
    # Numba's import in the middle of a replay would keep what is due waiting.
    found = find_packets(payloads, binary=binary, by_loop=False)
    intact[found.bad_frames] = False
    found = found.known()
    return _batch(found.data, found.frame, found.offset, found.length, intact=intact, slots=slots)


def _by_loop(
    loops: ModuleType, payloads: Payloads, binary: npt.NDArray[np.bool_] | None, slots: Slots
) -> PacketBatch:
    data, start, size = binary_buffers(payloads)
    if binary is not None:
        size = np.where(binary, size, 0)
    most = most_packets(data, start, size)
    message, offset, length = (np.empty(most, np.int64) for _ in range(3))
    token, instrument = np.empty(most, np.uint32), np.empty(most, np.int32)
    begin, intact = np.empty(len(size) + 1, np.int64), np.empty(len(size), np.bool_)
    held, known = loops.locate(
        data, start, size, KNOWN_LENGTHS, slots, hash_shift(slots),
        message, offset, length, token, instrument, begin, intact,
    )  # fmt: skip
    return PacketBatch(
        data=data,
        message=message[:held],
        offset=offset[:held],
        length=length[:held],
        token=token[:held],
        instrument=instrument[:held],
        begin=begin,
        intact=intact,
        known=known,
    )


def _batch(
    data: npt.NDArray[np.uint8],
    message: npt.NDArray[np.int64],
    offset: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    *,
    intact: npt.NDArray[np.bool_],
    slots: Slots,
) -> PacketBatch:
    token = _tokens(data, offset)
    instrument = find_positions(slots, token)
    return PacketBatch(
        data=data,
        message=message,
        offset=offset,
        length=length,
        token=token,
        instrument=instrument,
        begin=_begins(message, len(intact)),
        intact=intact,
        known=not (instrument == UNKNOWN).any(),
    )


def no_packets(messages: int) -> PacketBatch:
    """Give the batch of messages whose packets nobody asks for."""
    return PacketBatch(
        data=np.empty(0, np.uint8),
        message=np.empty(0, np.int64),
        offset=np.empty(0, np.int64),
        length=np.empty(0, np.int64),
        token=np.empty(0, np.uint32),
        instrument=np.empty(0, np.int32),
        begin=np.zeros(messages + 1, np.int64),
        intact=np.ones(messages, np.bool_),
        known=True,
    )


def windows(data: npt.NDArray[np.uint8], offset: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """Copy `width` bytes from each offset.

    Shape: (offsets, width), contiguous.
    """
    if not len(offset):
        return np.empty((0, width), np.uint8)
    # An item of `width` bytes from each byte on: each is one copy.
    everywhere = np.ndarray((len(data) - width + 1,), f"V{width}", data, strides=(1,))
    return everywhere[offset].view(np.uint8).reshape(-1, width)


def _tokens(data: npt.NDArray[np.uint8], offset: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Read the first four bytes of each packet."""
    if not len(offset):
        return np.empty(0, np.uint32)
    everywhere = np.ndarray(len(data) - 3, ">u4", data, strides=(1,))
    return everywhere[offset].astype(np.uint32)


def _begins(message: npt.NDArray[np.int64], messages: int) -> npt.NDArray[np.int64]:
    return np.searchsorted(message, np.arange(messages + 1)).astype(np.int64)
