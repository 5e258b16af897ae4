"""The market as the replay has reached it: a batch of the timeline with all that the clients' shares need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.replay.framing import CUT_LENGTH, mode_bit
from kiterec.replay.instrument_index import InstrumentIndex
from kiterec.replay.market_state import MarketState
from kiterec.replay.owners import Owners
from kiterec.replay.packet_batch import locate_packets, no_packets
from kiterec.replay.share import Share
from kiterec.replay.texts import TextFilter
from kiterec.replay.timeline import TimelineKind
from kiterec.replay.wire_frames import wire_rows
from kiterec.ticks.find import binary_buffers
from kiterec.wire.packets import Mode

if TYPE_CHECKING:
    import numpy.typing as npt

    from kiterec.replay.packet_batch import PacketBatch
    from kiterec.replay.timeline import InstrumentUniverse, TimelineBatch
    from kiterec.replay.wire_frames import WireRows

_FULL: Final = mode_bit(Mode.FULL)


class MarketBatch:
    """A batch of the timeline after redundancy is taken out.

    Attributes:
        packets: those that may be sent.
        instrument: position in the index, one per packet.
        texts: the text messages that clients get, by row.
        lost: by row of a disconnect, the instruments that the lost connection spoke for; a timeline of one
            connection has no entries, for it spoke for all.
    """

    __slots__ = (
        "_bytes_before",
        "_lengths",
        "_messages",
        "_sendable",
        "_state",
        "_wire",
        "instrument",
        "lost",
        "packets",
        "source",
        "texts",
    )

    def __init__(
        self,
        source: TimelineBatch,
        packets: PacketBatch,
        instrument: npt.NDArray[np.int32],
        texts: dict[int, str],
        state: MarketState,
        *,
        wire: WireRows | None = None,
    ) -> None:
        self.source = source
        self.packets = packets
        self.instrument = instrument
        self.texts = texts
        self.lost: dict[int, npt.NDArray[np.int64]] = {}
        self._state = state
        self._sendable: npt.NDArray[np.uint8] | None = None
        self._messages: dict[int, bytes] = {}
        self._wire = wire
        self._bytes_before: npt.NDArray[np.int64] | None = None
        self._lengths: npt.NDArray[np.int64] | None = None

    @classmethod
    def untouched(cls, source: TimelineBatch, *, wire: WireRows | None = None) -> MarketBatch:
        """Give a batch whose messages are only passed on, as in exact mode."""
        return cls(source, no_packets(len(source)), np.empty(0, np.int32), {}, MarketState(), wire=wire)

    def bytes_before(self) -> npt.NDArray[np.int64]:
        """Give how many bytes of messages precede each message, and at last their sum.

        Shape: one entry per message and one more, rising.
        """
        if self._bytes_before is None:
            _, _, size = binary_buffers(self.source.payloads)
            self._bytes_before = np.concatenate([[0], np.cumsum(size)])
        return self._bytes_before

    def wire(self) -> WireRows:
        """Give the messages as WebSocket frames, one copy for all clients."""
        if self._wire is None:
            self._wire = wire_rows(self.source.payloads)
        return self._wire

    def texts_in(self, begin: int, end: int) -> dict[int, bytes | str]:
        """Give the texts among the messages `begin` up to, without, `end`."""
        return {row: text for row, text in self.texts.items() if begin <= row < end}

    def fits(self, mode: int) -> bool:
        """Tell whether a mode bit, not 0, leaves every packet as it was recorded."""
        if mode in {0, _FULL}:
            return mode == _FULL
        if self._lengths is None:
            self._lengths = np.flatnonzero(np.bincount(self.packets.length))
        return bool((CUT_LENGTH[mode, self._lengths] == self._lengths).all())

    def sendable(self) -> npt.NDArray[np.uint8]:
        """Give the modes in which each packet is sent; worked out when the first client needs it."""
        if self._sendable is None:
            self._sendable = self._state.sendable()
        return self._sendable

    def due_ns(self, row: int) -> int:
        """Give the instant of a message."""
        return int(self.source.due_ns[row])

    def seq(self, row: int) -> int:
        """Give the number of a message."""
        return -1 if self.source.seq is None else int(self.source.seq[row])

    def message(self, row: int) -> bytes:
        """Give a message as it was recorded; the same object for every client."""
        message = self._messages.get(row)
        if message is None:
            message = self._messages[row] = self.source.payloads[row].as_py()
        return message


@dataclass(frozen=True, slots=True)
class MarketMemory:
    """A copy of all that is known of a market at an instant, for the instruments in the order of its index.

    Attributes:
        packets: the last packet of each in 184 bytes.
        length: its length; 0: none yet.
        owners: which connection speaks for which; None where there is one connection alone.
        texts: which texts were sent.
    """

    packets: npt.NDArray[np.uint8]
    length: npt.NDArray[np.int64]
    owners: Owners | None
    texts: TextFilter

    def size(self) -> int:
        """Give about how many bytes it holds."""
        return 2 * (self.packets.nbytes + self.length.nbytes)


class Market:
    """Everything that is known of the market at the replay's instant.

    Args:
        connections: how many connections the timeline has; one alone needs no owners of instruments.
    """

    __slots__ = ("_everything", "_owners", "_state", "_texts", "index")

    def __init__(self, *, connections: int) -> None:
        self.index = InstrumentIndex()
        self._owners = Owners() if connections > 1 else None
        self._state = MarketState()
        self._texts = TextFilter()
        self._everything: tuple[MarketBatch, int, int, Share | None] | None = None

    def open(self, universe: InstrumentUniverse) -> None:
        """Take over the state before the first message."""
        packets = locate_packets(universe.frames)
        self._state.enter(packets, self._instruments(packets), instruments=len(self.index))
        self._state.advance(len(packets))

    def reset(self, universe: InstrumentUniverse | None) -> None:
        """Go back to the start: nothing but the positions of instruments is known any more."""
        self._owners = None if self._owners is None else Owners()
        self._texts = TextFilter()
        self._state = MarketState()
        self._state.enter(no_packets(0), np.empty(0, np.int32), instruments=len(self.index))
        if universe is not None:
            self.open(universe)

    def memory(self) -> MarketMemory:
        """Give a copy of what is known now, between two batches."""
        packets, length = self._state.packets(np.arange(self._state.instruments, dtype=np.int32))
        owners = None if self._owners is None else self._owners.copy()
        return MarketMemory(packets, length, owners, self._texts.copy())

    def recall(self, memory: MarketMemory) -> None:
        """Go back to what was known then."""
        self._owners = None if memory.owners is None else memory.owners.copy()
        self._texts = memory.texts.copy()
        self._state = MarketState.of(memory.packets, memory.length)
        self._state.enter(no_packets(0), np.empty(0, np.int32), instruments=len(self.index))

    def enter(
        self, batch: TimelineBatch, packets: PacketBatch, *, wire: WireRows | None = None
    ) -> MarketBatch:
        """Begin the next batch; `advance` then goes through it."""
        instrument = self._instruments(packets)
        lost: dict[int, npt.NDArray[np.int64]] = {}
        if self._owners is not None:
            packets, instrument = self._owners_share(self._owners, batch, packets, instrument)
            lost = self._release(self._owners, batch)
        self._state.enter(packets, instrument, instruments=len(self.index))
        entered = MarketBatch(batch, packets, instrument, self._texts_of(batch), self._state, wire=wire)
        entered.lost.update(lost)
        return entered

    def advance(self, batch: MarketBatch, end: int) -> None:
        """Go past the messages up to, without, `end`."""
        self._state.advance(int(batch.packets.begin[end]))

    def everything(self, batch: MarketBatch, begin: int, end: int) -> Share | None:
        """Give all of a stretch as it was recorded: the same for each client that wants everything.

        None where a frame holds something that may not be sent.
        """
        latest = self._everything
        if latest is not None and latest[0] is batch and latest[1:3] == (begin, end):
            return latest[3]
        share = None
        if batch.packets.intact[begin:end].all():
            frames = np.flatnonzero(np.diff(batch.packets.begin[begin : end + 1])) + begin
            share = Share(batch, frames, batch.texts_in(begin, end))
        self._everything = batch, begin, end, share
        return share

    def last_packets(
        self, instruments: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Give the last packet of each instrument in 184 bytes, and its length; 0: none yet."""
        return self._state.packets(instruments)

    def _instruments(self, packets: PacketBatch) -> npt.NDArray[np.int32]:
        """Give the position of each packet's instrument, a new one for those that are new."""
        return packets.instrument if packets.known else self.index.add(packets.token)

    def _owners_share(
        self, owners: Owners, batch: TimelineBatch, packets: PacketBatch, instrument: npt.NDArray[np.int32]
    ) -> tuple[PacketBatch, npt.NDArray[np.int32]]:
        """Leave out the packets that another connection has said or will say."""
        owners.grow(len(self.index))
        row = packets.message
        keep = owners.claim(instrument, batch.connection[row], batch.due_ns[row], packets.length)
        return (packets, instrument) if keep is None else (packets.where(keep), instrument[keep])

    def _release(self, owners: Owners, batch: TimelineBatch) -> dict[int, npt.NDArray[np.int64]]:
        """Free the instruments of connections that are lost in a batch; give them by row."""
        rows = np.flatnonzero(batch.kind == TimelineKind.DISCONNECT).tolist()
        return {row: owners.release(int(batch.connection[row])) for row in rows}

    def _texts_of(self, batch: TimelineBatch) -> dict[int, str]:
        texts = {}
        for row in np.flatnonzero(batch.kind == TimelineKind.TEXT).tolist():
            payload = batch.payloads[row].as_py()
            connection, due_ns = int(batch.connection[row]), int(batch.due_ns[row])
            if self._texts.lets_through(payload, connection=connection, due_ns=due_ns):
                texts[row] = payload.decode(errors="replace")
        return texts
