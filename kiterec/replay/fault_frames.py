"""What faults make of one frame: bytes in, messages out, chance from a given generator."""

from __future__ import annotations

import itertools
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from kiterec.replay.fault_kinds import (
    Drop,
    Duplicate,
    ErrorMessage,
    FlipByte,
    OrderBurst,
    SplitSnapshot,
    Truncate,
    UnknownPacket,
)
from kiterec.wire.frames import HEADER_BYTES, is_heartbeat, join_frame, scan_frame
from kiterec.wire.messages import ErrorText, encode_text
from kiterec.wire.orders import OrderUpdate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from kiterec.replay.fault_kinds import Fault

ORDER_STEPS: Final = ("PUT ORDER REQ RECEIVED", "OPEN", "COMPLETE")
"""The statuses of each order of a burst, in their order."""

_ORDERS_BEGIN: Final = datetime(2026, 1, 5, 4, 30, tzinfo=UTC)


def rewrite(fault: Fault, frame: bytes, chance: Random) -> list[bytes | str]:
    """Give what goes out in place of a frame.

    Raises:
        TypeError: the fault is not about single frames.
    """
    out: Sequence[bytes | str]
    match fault:
        case Duplicate():
            out = [frame] * (1 + fault.copies)
        case Drop():
            out = []
        case Truncate():
            out = [_truncated(fault, frame, chance)]
        case FlipByte():
            out = [_flipped(fault, frame, chance)]
        case UnknownPacket():
            out = [_with_strange_packet(fault, frame, chance)]
        case ErrorMessage():
            out = [encode_text(ErrorText(fault.text)), frame]
        case OrderBurst():
            out = [*_orders(fault, chance), frame]
        case SplitSnapshot():
            out = _split(fault, frame)
        case _:
            raise TypeError(f"{fault.name} does not rewrite frames")
    return list(out)


def _truncated(fault: Truncate, frame: bytes, chance: Random) -> bytes:
    # At least the count stays, for less would be a heartbeat.
    keep = chance.randrange(min(HEADER_BYTES, len(frame)), max(HEADER_BYTES + 1, len(frame)))
    return frame[: keep if fault.keep_bytes is None else fault.keep_bytes]


def _flipped(fault: FlipByte, frame: bytes, chance: Random) -> bytes:
    offset, mask = chance.randrange(max(1, len(frame))), chance.randrange(1, 256)
    if fault.offset is not None:
        offset = fault.offset
    if offset >= len(frame):
        return frame
    return frame[:offset] + bytes([frame[offset] ^ mask]) + frame[offset + 1 :]


def _with_strange_packet(fault: UnknownPacket, frame: bytes, chance: Random) -> bytes:
    strange = struct.pack(">H", fault.length) + chance.randbytes(fault.length)
    if is_heartbeat(frame):  # what another fault has left of it
        return frame
    (count,) = struct.unpack_from(">H", frame)
    return struct.pack(">H", count + 1) + strange + frame[HEADER_BYTES:]


def _orders(fault: OrderBurst, chance: Random) -> list[str]:
    begin = chance.randrange(10**9)
    return [
        encode_text(_order(begin + number, step))
        for step in range(len(ORDER_STEPS))
        for number in range(fault.orders)
    ]


def _split(fault: SplitSnapshot, frame: bytes) -> list[bytes]:
    packets = [frame[offset : offset + length] for offset, length in scan_frame(frame).packets]
    parts = max(1, min(fault.parts, len(packets)))
    cuts = [len(packets) * part // parts for part in range(parts + 1)]
    return [join_frame(packets[begin:end]) for begin, end in itertools.pairwise(cuts)]


def _order(number: int, step: int) -> OrderUpdate:
    status = ORDER_STEPS[step]
    done = status == "COMPLETE"
    at = _ORDERS_BEGIN + timedelta(seconds=number % 10_000 + step)
    return OrderUpdate(
        user_id="AB1234", placed_by="AB1234", order_id=f"26010{number:010}", exchange_order_id=None,
        status=status, order_timestamp=at, exchange_timestamp=at if step else None, variety="regular",
        exchange="NSE", tradingsymbol="INFY", instrument_token=408065, order_type="MARKET",
        transaction_type="BUY" if number % 2 else "SELL", validity="DAY", product="CNC", quantity=1,
        price=0.0, average_price=1500.0 if done else 0.0, filled_quantity=int(done),
        pending_quantity=int(not done), cancelled_quantity=0, meta={},
    )  # fmt: skip
