"""The first two messages of a journal: the schema and the dictionary of kinds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kiterec.errors import ManifestError
from kiterec.store.checksum import crc32
from kiterec.store.envelope import DICTIONARY, SCHEMA, BrokenMessageError, read_envelope
from kiterec.store.journal import BatchEncoder
from kiterec.store.schema import FORMAT, KINDS, TRANSCRIPT_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Header:
    """A journal's header.

    Attributes:
        content: its bytes.
        crc: their crc32, from which the checksums of the batches continue.
    """

    content: bytes
    crc: int = field(init=False)
    _kinds: pa.Array | None = None

    def __post_init__(self) -> None:
        self.crc = crc32(self.content)

    @property
    def end(self) -> int:
        """Where the batches begin."""
        return len(self.content)

    def kinds(self, message: pa.Buffer) -> pa.Array:
        """Give the dictionary of kinds; Arrow shows it only with a batch, so one is lent."""
        if self._kinds is None:
            stream = pa.ipc.open_stream(pa.BufferReader(self.content + message.to_pybytes()))
            self._kinds = stream.read_next_batch().column("kind").dictionary
        return self._kinds


KNOWN_HEADER: Final = Header(BatchEncoder().header, KINDS)
"""What this version of kiterec writes."""


def read_header(head: pa.Buffer, *, where: Path) -> Header:
    """Read the header at the beginning of a journal.

    Raises:
        BrokenMessageError: there is none, or it is of another schema.
        ManifestError: it is of a newer format.
    """
    if head.slice(0, min(head.size, KNOWN_HEADER.end)).to_pybytes() == KNOWN_HEADER.content:
        return KNOWN_HEADER
    schema = read_envelope(memoryview(head).cast("B"))
    dictionary = read_envelope(memoryview(head).cast("B"), schema.end)
    if (schema.header_type, dictionary.header_type) != (SCHEMA, DICTIONARY):
        raise BrokenMessageError("the journal does not begin with a schema and its dictionary")
    try:
        found = pa.ipc.read_schema(head.slice(0, schema.end))
    except (pa.ArrowException, OSError) as error:
        raise BrokenMessageError("the journal's schema is garbage") from error
    written = (found.metadata or {}).get(b"kiterec.format", b"")
    if written.isdigit() and int(written) > FORMAT:
        raise ManifestError(
            f"{where} is a journal of format {int(written)}; this kiterec reads format {FORMAT}: upgrade it"
        )
    if not found.equals(TRANSCRIPT_SCHEMA):
        raise BrokenMessageError("the journal has another schema than the transcript's")
    return Header(head.slice(0, dictionary.end).to_pybytes())
