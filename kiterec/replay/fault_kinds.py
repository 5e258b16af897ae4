"""The kinds of faults that a replay can have, as data that checks itself."""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from kiterec.wire.packets import LAYOUTS

_TRIGGERS = ("at_frame", "every_frames", "at_s", "at_seq", "probability")
_MINIMA = {
    "at_frame": 1, "every_frames": 1, "times": 1, "at_seq": 0, "at_s": 0, "for_frames": 1,
    "ms": 0, "jitter_ms": 0, "copies": 1, "keep_bytes": 0, "offset": 0,
    "orders": 1, "parts": 2, "connects": 1, "seconds": 0,
}  # fmt: skip
_CLOSE_CODES = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", forbid_unknown_fields=True):
    """One thing that goes wrong, and when. At most one of the five triggers is given.

    Frames are the binary messages of the timeline that a client gets; heartbeats, snapshots and texts are not
    counted. They are counted per seat: a client that comes back sits where it sat and goes on counting.

    Attributes:
        at_frame: at the client's n-th frame, from 1.
        every_frames: at each n-th frame.
        at_s: at the first frame from so many seconds of the timeline on.
        at_seq: at the first frame from this `seq` of the recording on.
        probability: at each frame, by chance.
        from_s: not before so many seconds of the timeline.
        until_s: and not from so many on.
        times: at most so often per seat; None for as often as the trigger says.
        clients: seats, from 1 in the order of connecting; empty for all.
    """

    at_frame: int | None = None
    every_frames: int | None = None
    at_s: float | None = None
    at_seq: int | None = None
    probability: float | None = None
    from_s: float = 0.0
    until_s: float = math.inf
    times: int | None = None
    clients: tuple[int, ...] = ()

    without_trigger: ClassVar[bool] = False
    """Has a meaning when no trigger is given."""

    def __post_init__(self) -> None:
        """Refuse what is impossible.

        Raises:
            ValueError: numbers out of range, no trigger, or more than one.
        """
        given = self.triggers()
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are two triggers; give one")
        if not given and not self.without_trigger:
            raise ValueError(f"no trigger; give one of {', '.join(_TRIGGERS)}")
        for name, minimum in _MINIMA.items():
            value = getattr(self, name, None)
            if value is not None and not value >= minimum:
                raise ValueError(f"{name} must be at least {minimum}, got {value:g}")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ValueError(f"probability is between 0 and 1, got {self.probability:g}")
        if not 0 <= self.from_s < self.until_s:
            raise ValueError(f"from_s must be before until_s, got {self.from_s:g} and {self.until_s:g}")
        if any(seat < 1 for seat in self.clients):
            raise ValueError(f"clients are numbered from 1, got {list(self.clients)}")

    @property
    def name(self) -> str:
        """Give the word that the fault has in TOML and in logs."""
        return str(self.__struct_config__.tag)

    def triggers(self) -> list[str]:
        """Give the names of the triggers that are given."""
        return [name for name in _TRIGGERS if getattr(self, name) is not None]


class Reset(Fault, frozen=True, kw_only=True, tag="reset"):
    """Break the TCP connection off in place of the frame: the client sees no close frame (1006)."""


class Close(Fault, frozen=True, kw_only=True, tag="close"):
    """Close with a code and a reason in place of the frame."""

    code: int = 1011
    reason: str = ""

    def __post_init__(self) -> None:
        """Refuse codes that no close frame may carry.

        Raises:
            ValueError: as said.
        """
        super().__post_init__()
        if self.code not in _CLOSE_CODES:
            raise ValueError(f"{self.code} cannot be in a close frame; for 1006 use the kind reset")


class Episode(Fault, frozen=True, kw_only=True):
    """Something that lasts; without a trigger, always (between `from_s` and `until_s`).

    Attributes:
        for_s: so many seconds of the timeline from the trigger on.
        for_frames: or so many frames. Neither: until the connection ends.
    """

    without_trigger: ClassVar[bool] = True

    for_s: float | None = None
    for_frames: int | None = None

    def __post_init__(self) -> None:
        """Refuse what is impossible.

        Raises:
            ValueError: a duration is not positive.
        """
        super().__post_init__()
        if self.for_s is not None and not self.for_s > 0:
            raise ValueError(f"for_s must be positive, got {self.for_s:g}")


class Silence(Episode, frozen=True, kw_only=True, tag="silence"):
    """The socket stays open and nothing comes, not even heartbeats; what was due is lost."""


class HeartbeatsOnly(Episode, frozen=True, kw_only=True, tag="heartbeats_only"):
    """Nothing but heartbeats comes; what was due is lost."""


class Latency(Episode, frozen=True, kw_only=True, tag="latency"):
    """Everything but heartbeats comes later, in its order.

    Attributes:
        ms: by so many real milliseconds.
        jitter_ms: and up to so many more, by chance.
    """

    ms: float = 0.0
    jitter_ms: float = 0.0


class Bandwidth(Episode, frozen=True, kw_only=True, tag="bandwidth"):
    """Everything but heartbeats goes through a line of so many bytes a (real) second, in its order."""

    bytes_per_s: float

    def __post_init__(self) -> None:
        """Refuse what is impossible.

        Raises:
            ValueError: no positive rate.
        """
        super().__post_init__()
        if not self.bytes_per_s > 0:
            raise ValueError(f"bytes_per_s must be positive, got {self.bytes_per_s:g}")


class Duplicate(Fault, frozen=True, kw_only=True, tag="duplicate"):
    """Send the frame again, `copies` times."""

    copies: int = 1


class Reorder(Fault, frozen=True, kw_only=True, tag="reorder"):
    """Send the frame after the client's next message."""


class Drop(Fault, frozen=True, kw_only=True, tag="drop"):
    """Do not send the frame."""


class Truncate(Fault, frozen=True, kw_only=True, tag="truncate"):
    """Send only the frame's beginning: `keep_bytes` of it, or by chance."""

    keep_bytes: int | None = None


class FlipByte(Fault, frozen=True, kw_only=True, tag="flip_byte"):
    """Change one byte of the frame: the one at `offset`, or by chance."""

    offset: int | None = None


class UnknownPacket(Fault, frozen=True, kw_only=True, tag="unknown_packet"):
    """Put a packet of a length that no client knows into the frame, in front of the others."""

    length: int = 64

    def __post_init__(self) -> None:
        """Refuse lengths that are known.

        Raises:
            ValueError: a known length, or one that does not fit.
        """
        super().__post_init__()
        if self.length in LAYOUTS or not 0 <= self.length <= 0xFFFF:
            raise ValueError(f"length must be an unknown one up to 65535, got {self.length}")


class ErrorMessage(Fault, frozen=True, kw_only=True, tag="error_message"):
    """Send an error text before the frame."""

    text: str = "Something went wrong."


class OrderBurst(Fault, frozen=True, kw_only=True, tag="order_burst"):
    """Send many order updates at once before the frame: `orders` of them, each in three steps to COMPLETE."""

    orders: int = 10


class SplitSnapshot(Fault, frozen=True, kw_only=True, tag="split_snapshot"):
    """Send a snapshot as several frames; its trigger counts snapshots, none means all."""

    without_trigger: ClassVar[bool] = True

    parts: int = 2


class AtConnect(Fault, frozen=True, kw_only=True):
    """Something that happens to attempts to connect.

    The triggers that count frames say after which frame the next attempt is met; `probability` is for each
    attempt; without a trigger every attempt is. `times` is over all attempts.

    Attributes:
        attempts: only these, counted over all clients from 1.
        connects: how many attempts are met each time that the trigger fires.
    """

    without_trigger: ClassVar[bool] = True

    attempts: tuple[int, ...] = ()
    connects: int = 1


class Refuse(AtConnect, frozen=True, kw_only=True, tag="refuse"):
    """Refuse with an HTTP status: 403 (bad access token), 429 (too many connections), 400 (bad encoding)."""

    status: int = 403

    def __post_init__(self) -> None:
        """Refuse what is no refusal.

        Raises:
            ValueError: the status is below 400 or above 599.
        """
        super().__post_init__()
        if not 400 <= self.status <= 599:
            raise ValueError(f"status is between 400 and 599, got {self.status}")


class SlowAccept(AtConnect, frozen=True, kw_only=True, tag="slow_accept"):
    """Answer the attempt only after so many real seconds."""

    seconds: float = 5.0


AnyFault = (
    Reset | Close | Silence | HeartbeatsOnly | Latency | Bandwidth | Duplicate | Reorder | Drop | Truncate
    | FlipByte | UnknownPacket | ErrorMessage | OrderBurst | SplitSnapshot | Refuse | SlowAccept
)  # fmt: skip
