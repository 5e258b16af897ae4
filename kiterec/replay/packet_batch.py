"""Where the packets of a timeline batch lie, found for the whole batch at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kiterec.replay.packet_runs import find_runs
from kiterec.ticks.find import binary_buffers, find_packets

if TYPE_CHECKING:
    import numpy.typing as npt

    from kiterec.replay.timeline import Payloads


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketBatch:
    """The packets of known length in a batch of messages.

    Shape: `message`, `offset`, `length` and `token` have one entry per packet, in the order of the wire;
    `begin` one per message and one more; `intact` one per message.

    Attributes:
        data: the bytes that offsets point into.
        message: row of the message that holds the packet.
        offset: of the packet's first byte (its instrument_token) in `data`.
        length: in bytes.
        token: instrument_token.
        begin: the packets of message `m` are `begin[m]` up to, without, `begin[m + 1]`.
        intact: the message holds just these packets; otherwise it may only be sent rebuilt.
    """

    data: npt.NDArray[np.uint8]
    message: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    length: npt.NDArray[np.int64]
    token: npt.NDArray[np.uint32]
    begin: npt.NDArray[np.int64]
    intact: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.offset)

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
            begin=_begins(message, len(intact)),
            intact=intact,
        )


def locate_packets(payloads: Payloads, *, binary: npt.NDArray[np.bool_] | None = None) -> PacketBatch:
    """Find the packets of known length in a batch of messages.

    Args:
        payloads: the messages.
        binary: which of them are frames; None for all.
    """
    messages = len(payloads)
    intact = np.ones(messages, np.bool_)
    runs = find_runs(payloads, binary=intact if binary is None else binary)
    if runs is not None:
        data, _, _ = binary_buffers(payloads)
        return _batch(data, *runs, intact=intact)
    found = find_packets(payloads, binary=binary)
    intact[found.bad_frames] = False
    found = found.known()
    return _batch(found.data, found.frame, found.offset, found.length, intact=intact)


def _batch(
    data: npt.NDArray[np.uint8],
    message: npt.NDArray[np.int64],
    offset: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    *,
    intact: npt.NDArray[np.bool_],
) -> PacketBatch:
    return PacketBatch(
        data=data,
        message=message,
        offset=offset,
        length=length,
        token=_tokens(data, offset),
        begin=_begins(message, len(intact)),
        intact=intact,
    )


def no_packets(messages: int) -> PacketBatch:
    """Give the batch of messages whose packets nobody asks for."""
    return PacketBatch(
        data=np.empty(0, np.uint8),
        message=np.empty(0, np.int64),
        offset=np.empty(0, np.int64),
        length=np.empty(0, np.int64),
        token=np.empty(0, np.uint32),
        begin=np.zeros(messages + 1, np.int64),
        intact=np.ones(messages, np.bool_),
    )


def windows(data: npt.NDArray[np.uint8], offset: npt.NDArray[np.int64], width: int) -> npt.NDArray[np.uint8]:
    """Copy `width` bytes from each offset.

    Shape: (offsets, width), contiguous.
    """
    if not len(offset):
        return np.empty((0, width), np.uint8)
    return np.lib.stride_tricks.sliding_window_view(data, width)[offset]


def _tokens(data: npt.NDArray[np.uint8], offset: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
    """Read the first four bytes of each packet."""
    if not len(offset):
        return np.empty(0, np.uint32)
    everywhere = np.ndarray(len(data) - 3, ">u4", data, strides=(1,))
    return everywhere[offset].astype(np.uint32)


def _begins(message: npt.NDArray[np.int64], messages: int) -> npt.NDArray[np.int64]:
    return np.searchsorted(message, np.arange(messages + 1)).astype(np.int64)
