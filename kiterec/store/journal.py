"""The part being written: an Arrow IPC stream whose batches carry their range of `seq` and a checksum."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from kiterec.errors import StorageError
from kiterec.store.arrays import blobs, integers
from kiterec.store.checksum import crc32
from kiterec.store.envelope import NO_CHECKSUM, checksum_place, read_envelope
from kiterec.store.files import FILES, Files
from kiterec.store.schema import FORMAT, KIND_CODES, KINDS, TRANSCRIPT_SCHEMA
from kiterec.wire.transcript import Kind, Row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BATCH_BYTES: Final = 4 << 20
"""Payload of a batch; a single longer row is a batch of its own."""

MAX_WRITE_BYTES: Final = 8 << 20
"""Batches that are encoded before they are written; more would be memory that nobody accounts for."""

MAX_BATCH_ROWS: Final = 65_536

_ANY_ROW: Final = Row(0, 0, Kind.BINARY, b"")

JOURNAL_SCHEMA: Final = TRANSCRIPT_SCHEMA.with_metadata({"kiterec.format": str(FORMAT)})


def build_batch(seqs: Sequence[int], rows: Sequence[Row]) -> pa.RecordBatch:
    """Give the rows (at least one) as one batch; this copies each payload once."""
    received, monotonic, kinds, payloads = zip(*rows, strict=True)
    codes = integers([KIND_CODES[kind] for kind in kinds], pa.int8())
    return pa.RecordBatch.from_arrays(
        [
            integers(seqs, pa.uint64()),
            integers(received, TRANSCRIPT_SCHEMA.field("received_at").type),
            integers(monotonic, pa.int64()),
            pa.DictionaryArray.from_arrays(codes, KINDS, safe=False),
            blobs(payloads),
        ],
        schema=JOURNAL_SCHEMA,
    )


class _Chunks:
    """A sink that keeps what Arrow writes as the buffers that they are, so that nothing is copied."""

    closed = False

    def __init__(self) -> None:
        self.chunks: list[Any] = []

    def write(self, chunk: Any) -> int:
        self.chunks.append(chunk)
        return len(chunk)

    def flush(self) -> None:
        """Do nothing: the journal writes the chunks itself, in one call."""

    def take(self) -> list[Any]:
        chunks, self.chunks = self.chunks, []
        return chunks


class BatchEncoder:
    """Batches as the messages of one stream.

    Attributes:
        header: the schema and the dictionary of kinds, with which the stream begins.
        header_crc: its crc32, from which the checksum of each batch continues.
    """

    def __init__(self) -> None:
        self._sink = _Chunks()
        self._stream = pa.ipc.new_stream(pa.PythonFile(self._sink, mode="w"), JOURNAL_SCHEMA)
        self._stream.write_batch(build_batch((0,), (_ANY_ROW,)).slice(0, 0))
        head = b"".join(bytes(chunk) for chunk in self._sink.take())
        schema = read_envelope(memoryview(head))
        dictionary = read_envelope(memoryview(head), schema.end)
        self.header = head[: dictionary.end]
        self.header_crc = crc32(self.header)

    def encode(self, batch: pa.RecordBatch, *, first_seq: int, last_seq: int) -> list[Any]:
        """Give the batch's message as buffers, with its range of `seq` and the checksum of all its bytes."""
        custom = {
            "first_seq": str(first_seq),
            "last_seq": str(last_seq),
            "rows": str(batch.num_rows),
            "crc32": NO_CHECKSUM.decode(),
        }
        self._stream.write_batch(batch, custom_metadata=custom)
        chunks = self._sink.take()
        head = bytearray()
        while len(head) < 8 or len(head) < 8 + int.from_bytes(head[4:8], "little"):
            head += chunks.pop(0)
        at = checksum_place(memoryview(head))
        crc = crc32(head, self.header_crc)
        for chunk in chunks:
            crc = crc32(chunk, crc)
        head[at : at + 8] = b"%08x" % crc
        return [head, *chunks]

    def close(self) -> None:
        """End Arrow's stream; its end mark is written nowhere, because a journal ends where it ends."""
        self._stream.close()
        self._sink.take()


class Journal:
    """One journal file, open for appending.

    Attributes:
        file: the open file.
        size: bytes of whole batches in it, header included.
        rows: rows in it.
        payload_bytes: bytes of their payloads.
    """

    def __init__(self, path: Path, *, files: Files = FILES) -> None:
        self._files = files
        self._encoder = BatchEncoder()
        self.file = files.create(path)
        self.rows = 0
        self.payload_bytes = 0
        self.size = 0
        try:
            self.size = files.append(self.file, [self._encoder.header])
        except BaseException as error:
            files.close(self.file)
            if isinstance(error, StorageError):
                with suppress(StorageError):  # half a header helps nobody
                    files.delete(path)
            raise

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.file.path

    def append(self, seqs: Sequence[int], rows: Sequence[Row]) -> int:
        """Write rows in ascending order of `seq`, in few batches; give the bytes that this took on disk.

        Raises:
            DiskFullError: as all of `StorageError`, with the file cut back to its last whole batch; `rows`
                says how many rows it has.
        """
        before = self.size
        chunks: list[Any] = []
        done = waiting = 0
        for begin, end in _split(rows):
            batch = build_batch(seqs[begin:end], rows[begin:end])
            chunks += self._encoder.encode(batch, first_seq=seqs[begin], last_seq=seqs[end - 1])
            waiting += batch.nbytes
            if waiting >= MAX_WRITE_BYTES or end == len(rows):
                self._write(chunks, rows[done:end])
                chunks, done, waiting = [], end, 0
        return self.size - before

    def _write(self, chunks: list[Any], rows: Sequence[Row]) -> None:
        try:
            self.size += self._files.append(self.file, chunks)
        except StorageError:
            self._files.truncate(self.file, self.size)
            raise
        self.rows += len(rows)
        self.payload_bytes += sum(len(row.payload) for row in rows)

    def sync(self) -> None:
        """Return when what has been appended survives a power cut."""
        self._files.sync(self.file)

    def close(self) -> None:
        """Close the file; appending afterwards is misuse."""
        self._encoder.close()
        self._files.close(self.file)


def _split(rows: Sequence[Row]) -> list[tuple[int, int]]:
    """Give the half-open ranges of rows that become one batch each."""
    ranges = []
    begin = size = 0
    for at, row in enumerate(rows):
        if at > begin and (size + len(row.payload) > MAX_BATCH_BYTES or at - begin >= MAX_BATCH_ROWS):
            ranges.append((begin, at))
            begin, size = at, 0
        size += len(row.payload)
    ranges.append((begin, len(rows)))
    return ranges
