"""The contract of everything that can be served: what a fake Kite says, on which connection and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Payloads: TypeAlias = pa.BinaryArray | pa.LargeBinaryArray


class TimelineKind(IntEnum):
    """What one row of a timeline is; fits a uint8 column."""

    BINARY = 0
    """A binary message, heartbeats included: the server drops those, except in exact mode."""
    TEXT = 1
    """A text message, as UTF-8."""
    DISCONNECT = 2
    """The connection was lost here; the payload is the recorded JSON object, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineBatch:
    """A stretch of a timeline.

    Shape: one row per message; the columns are equally long and may be empty.

    Attributes:
        due_ns: when the message is due, in nanoseconds since the start of the timeline; never goes back,
            neither inside a batch nor from a batch to the next.
        connection: index into `Timeline.connections`.
        kind: a `TimelineKind`.
        payloads: the messages byte for byte, without nulls. Frames as on the wire: packet count, then each
            packet after its length.
        seq: the number of each message, rising; None: messages are numbered from 0.
    """

    due_ns: npt.NDArray[np.int64]
    connection: npt.NDArray[np.int16]
    kind: npt.NDArray[np.uint8]
    payloads: Payloads
    seq: npt.NDArray[np.uint64] | None = None

    def __len__(self) -> int:
        return len(self.due_ns)

    def __post_init__(self) -> None:
        """Refuse columns of unequal length.

        Raises:
            ValueError: the columns differ in length.
        """
        columns = (self.due_ns, self.connection, self.kind, self.payloads, self.seq)
        lengths = {len(column) for column in columns if column is not None}
        if len(lengths) != 1:
            raise ValueError(
                f"the columns of a timeline batch are equally long, got lengths {sorted(lengths)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentUniverse:
    """The instruments whose state is known before the first message, so that a snapshot can be given at once.

    Attributes:
        frames: binary frames as on the wire that hold one packet per instrument, each in the highest mode
            that the timeline will give it. They are the state at the start and are not sent as messages.
    """

    frames: Payloads


class Timeline(Protocol):
    """What a `ReplayServer` serves: a recording, or a synthetic market.

    Batches are small enough to make without being noticed (about a second of market, or a megabyte), because
    the next one is made while the last is being sent. A timeline may be endless.
    """

    @property
    def connections(self) -> Sequence[str]:
        """Give the names of the connections, such as `main-0`, in the order of their indices."""
        ...

    @property
    def universe(self) -> InstrumentUniverse | None:
        """Give the state before the first message; None when nothing is known, as in a recording."""
        ...

    def batches(self) -> Iterator[TimelineBatch]:
        """Give the messages from the start; each call begins anew and gives the same bytes.

        The iterator may be advanced in a worker thread, always by one thread at a time.
        """
        ...

    def instruments_csv(self) -> bytes | None:
        """Give the day's instrument dump as CSV (12 columns, not compressed); None when there is none."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A timeline that can be read from a place in its middle; its batches have numbers."""

    def batches_from(self, seq: int, *, due_ns: int) -> Iterator[TimelineBatch]:
        """Give what `batches` gives from the message of this number on, without reading what is before.

        Args:
            seq: of the first message.
            due_ns: when the message before it was due.
        """
        ...


@runtime_checkable
class Weighed(Protocol):
    """A timeline that knows about how much it holds."""

    @property
    def payload_bytes(self) -> int:
        """Give the bytes of all its messages, about. May read a disk: call it in a thread."""
        ...


@runtime_checkable
class Dated(Protocol):
    """A timeline that knows when it was."""

    @property
    def start_ns(self) -> int:
        """Give the wall clock at the timeline's start, in nanoseconds since the epoch."""
        ...


@runtime_checkable
class Measured(Protocol):
    """A timeline that can be searched by its wall clock. Both may read a disk: call them in a thread."""

    @property
    def length_ns(self) -> int | None:
        """Give how long the timeline is; None when it is not known."""
        ...

    def position_at(self, time_ns: int) -> int:
        """Give the due time of the first message at or after a wall-clock time.

        Raises:
            ReplayError: there is none.
        """
        ...
