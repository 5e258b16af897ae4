"""Reads a journal batch by batch, trusting nothing: torn ends, flipped bits and whatever lies behind them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import msgspec
import numpy as np
import pyarrow as pa

from kiterec.errors import CorruptPartError, ManifestError, StorageError
from kiterec.store.envelope import (
    MAX_METADATA_BYTES,
    RECORD_BATCH,
    BrokenMessageError,
    Envelope,
    checksum,
    read_envelope,
)
from kiterec.store.files import reason_of, storage_errors
from kiterec.store.journal_header import KNOWN_HEADER, Header, read_header
from kiterec.store.schema import TRANSCRIPT_SCHEMA, with_known_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

WINDOW_BYTES: Final = 16 << 20
_SCAN_BYTES: Final = 4 << 20
_UNDECODED: Final = pa.schema(
    pa.field(field.name, pa.int8() if field.name == "kind" else field.type) for field in TRANSCRIPT_SCHEMA
)


class DamagedRange(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a journal that do not check; the rows that were there are not in the recording.

    Attributes:
        offset: first damaged byte of the file.
        length: bytes up to the next valid batch, or to the end.
        reason: what did not check.
        after_seq: `seq` of the last valid row before; None: there is none.
        before_seq: `seq` of the first valid row behind; None: there is none.
    """

    offset: int
    length: int
    reason: str
    after_seq: int | None = None
    before_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Neighbouring whole batches, as views of one block of memory.

    Attributes:
        batches: the batches, with the columns' types of the transcript.
        first_seq: `seq` of the first row.
        last_seq: `seq` of the last row.
    """

    batches: list[pa.RecordBatch]
    first_seq: int
    last_seq: int


class JournalReader:
    """One pass over a journal, as long as it is at the moment of opening.

    Attributes:
        damage: what did not check, so far.
        torn_bytes: bytes of an unfinished message at the end; known when all windows are read.
        size: bytes of the file that are read.

    Raises:
        FileNotFoundError: it is gone, because its part has been sealed in the meantime.
        StorageError: it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage: list[DamagedRange] = []
        self.torn_bytes = 0
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(f"cannot open {path}: {reason_of(error)}") from error
        self.size = os.fstat(self._fd).st_size
        self._last_seq: int | None = None
        self._header: Header = KNOWN_HEADER

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; windows that were given stay valid."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def windows(self, *, window_bytes: int = WINDOW_BYTES) -> Iterator[Window]:
        """Give all whole batches in order of `seq`, about `window_bytes` at a time; damage never raises.

        Raises:
            ManifestError: the journal is of a newer format.
            StorageError: the disk refuses to be read.
        """
        at = self._begin()
        want = window_bytes
        while at < self.size:
            batches, used, problem = self._cut(self._read(at, want))
            if batches:
                yield _window(batches)
            at += used
            want = window_bytes
            if problem is None or (used and problem.needed is not None):
                continue
            if problem.needed is not None and at + problem.needed <= self.size:
                want = problem.needed
            else:
                at = self._skip(at, problem)

    def _read(self, at: int, size: int) -> pa.Buffer:
        buffer = pa.allocate_buffer(max(0, min(size, self.size - at)))
        with storage_errors("read", self.path):
            read = os.preadv(self._fd, [buffer], at) if buffer.size else 0
        return buffer.slice(0, read)

    def _begin(self) -> int:
        """Read the header and give where the batches begin."""
        head = self._read(0, 2 * MAX_METADATA_BYTES)
        if self._is_unwritten(head):
            self.torn_bytes = self.size
            return self.size
        try:
            self._header = read_header(head, where=self.path)
        except BrokenMessageError as problem:
            if self.size < KNOWN_HEADER.end:
                return self._skip(0, problem)
            return self._replace_header()
        except ManifestError:
            # One altered digit looks like a newer format; a batch that continues our own header tells it.
            if self._valid_at(KNOWN_HEADER.end) is None:
                raise
            return self._replace_header()
        if self._header is KNOWN_HEADER or self._header.end == self.size:
            return self._header.end
        # Another version may write other bytes for the same schema; the first batch tells that from damage.
        return self._header.end if self._valid_at(self._header.end) is not None else self._replace_header()

    def _is_unwritten(self, head: pa.Buffer) -> bool:
        """Say whether there is but a beginning of the header, and zeros or nothing behind it."""
        written = head.slice(0, min(head.size, KNOWN_HEADER.end)).to_pybytes()
        if written == KNOWN_HEADER.content:
            return False
        written = written.rstrip(b"\0")
        return KNOWN_HEADER.content.startswith(written) and self._is_zero_from(len(written))

    def _replace_header(self) -> int:
        """Go on as if the header were what this version writes: the checksums continue from its bytes."""
        self._header = KNOWN_HEADER
        self.damage.append(DamagedRange(offset=0, length=KNOWN_HEADER.end, reason="the header was altered"))
        return KNOWN_HEADER.end

    def _cut(self, data: pa.Buffer) -> tuple[list[pa.RecordBatch], int, BrokenMessageError | None]:
        """Give the valid batches at the beginning, their bytes, and what ended them; None: the end."""
        view = memoryview(data).cast("B")
        batches: list[pa.RecordBatch] = []
        used = 0
        try:
            while used < len(view):
                envelope = self._check(view, used)
                batches.append(self._decode(data, envelope))
                used = envelope.end
                self._last_seq = int(envelope.custom["last_seq"])
        except BrokenMessageError as problem:
            return batches, used, problem
        return batches, used, None

    def _check(self, view: memoryview, at: int) -> Envelope:
        """Find a batch whose checksum holds and that continues the journal.

        Raises:
            BrokenMessageError: there is none at this place.
        """
        envelope = read_envelope(view, at)
        custom = envelope.custom
        wanted = custom.get("crc32", "")
        if envelope.header_type != RECORD_BATCH or envelope.checksum_at is None:
            raise BrokenMessageError("a message that is no batch with a checksum")
        found = checksum(view, envelope, self._header.crc)
        if f"{found:08x}" != wanted:
            raise BrokenMessageError(f"a batch has crc32 {found:08x} where {wanted} was written")
        if not (custom.get("first_seq", "").isdecimal() and custom.get("last_seq", "").isdecimal()):
            raise BrokenMessageError("a batch that does not say its range of seq")
        if self._last_seq is not None and int(custom["first_seq"]) <= self._last_seq:
            raise BrokenMessageError(f"a batch begins with seq {custom['first_seq']} after {self._last_seq}")
        return envelope

    def _decode(self, data: pa.Buffer, envelope: Envelope) -> pa.RecordBatch:
        message = data.slice(envelope.start, envelope.end - envelope.start)
        try:
            kinds = self._header.kinds(message)
            plain = pa.ipc.read_record_batch(pa.ipc.read_message(message), _UNDECODED)
            columns = dict(zip(_UNDECODED.names, plain.columns, strict=True))
            columns["kind"] = with_known_kinds(pa.DictionaryArray.from_arrays(columns["kind"], kinds))
            batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=TRANSCRIPT_SCHEMA)
            batch.validate(full=True)
        except (pa.ArrowException, OSError, CorruptPartError) as error:
            raise BrokenMessageError(f"a batch that Arrow refuses: {error}") from error
        if not _has_range(batch, int(envelope.custom["first_seq"]), int(envelope.custom["last_seq"])):
            raise BrokenMessageError("a batch whose rows are not in the range of seq that it says")
        return batch

    def _skip(self, at: int, problem: BrokenMessageError) -> int:
        """Note what is wrong at a place and give where the next valid batch begins; the size if none does."""
        found = self._next_valid(at + 8 - at % 8)
        if found is None and (problem.needed is not None or self._is_zero_from(at)):
            self.torn_bytes = self.size - at
            return self.size
        end, before_seq = found or (self.size, None)
        reason = "a batch's length was altered" if problem.needed is not None else problem.reason
        self.damage.append(
            DamagedRange(
                offset=at, length=end - at, reason=reason, after_seq=self._last_seq, before_seq=before_seq
            )
        )
        return end

    def _next_valid(self, begin: int) -> tuple[int, int] | None:
        """Find the next valid batch at a multiple of 8, and its first `seq`."""
        for at in range(begin, self.size, _SCAN_BYTES):
            block = self._read(at, _SCAN_BYTES)
            words = np.frombuffer(block, "<u4", count=block.size // 8 * 2).reshape(-1, 2)
            lengths = words[:, 1]
            likely = (words[:, 0] == 0xFFFFFFFF) & (lengths >= 16) & (lengths <= MAX_METADATA_BYTES)
            for place in np.flatnonzero(likely & (lengths % 8 == 0)):
                here = at + 8 * int(place)
                if (first_seq := self._valid_at(here)) is not None:
                    return here, first_seq
        return None

    def _valid_at(self, at: int) -> int | None:
        """Give the first `seq` of the valid batch at a place; None if there is no such batch."""
        want = 8 + MAX_METADATA_BYTES
        while True:
            try:
                envelope = self._check(memoryview(self._read(at, want)).cast("B"), 0)
            except BrokenMessageError as problem:
                if problem.needed is None or problem.needed <= want or at + problem.needed > self.size:
                    return None
                want = problem.needed
            else:
                return int(envelope.custom["first_seq"])

    def _is_zero_from(self, at: int) -> bool:
        """Say whether only zeros follow: space that the file system gave, whose bytes a power cut took."""
        for begin in range(at, self.size, _SCAN_BYTES):
            if np.frombuffer(self._read(begin, _SCAN_BYTES), np.uint8).any():
                return False
        return True


def _has_range(batch: pa.RecordBatch, first_seq: int, last_seq: int) -> bool:
    """Say whether the rows' `seq` rises from the one to the other."""
    if batch.column(0).null_count or not batch.num_rows:
        return False
    seq = np.from_dlpack(batch.column(0))
    return bool(seq[0] == first_seq and seq[-1] == last_seq and (seq[1:] > seq[:-1]).all())


def _window(batches: list[pa.RecordBatch]) -> Window:
    return Window(batches, batches[0].column(0)[0].as_py(), batches[-1].column(0)[-1].as_py())
