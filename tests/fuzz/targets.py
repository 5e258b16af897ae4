"""What is fuzzed: each target takes any bytes, and may raise nothing but what its contract names."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from kiterec.errors import CorruptPartError, DecodeError, ManifestError
from kiterec.store.envelope import BrokenMessageError, checksum, read_envelope
from kiterec.store.journal_header import KNOWN_HEADER
from kiterec.store.journal_reader import JournalReader
from kiterec.store.manifest import decode_manifest
from kiterec.store.parts import open_part, read_group
from kiterec.ticks.find import find_packets
from kiterec.wire.frames import is_heartbeat, join_frame, scan_frame, split_frame
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHECKSUM = re.compile(rb'"checksum": "[0-9a-f]*"\n}\n\Z')
# Memory or a RAM disk, where there is one: a file per input must not wait for a disk.
_PLACE = "/dev/shm" if Path("/dev/shm").is_dir() else None


def journal(data: bytes) -> None:
    """Any journal is read to its end; its whole batches are in order, its damage within the file."""
    for content in (data, with_valid_checksums(data)):
        # A journal may say that it is of a newer format, and be refused for that.
        with _file(content) as path, suppress(ManifestError), JournalReader(path) as reader:
            last = -1
            for window in reader.windows():
                for batch in window.batches:
                    seqs = batch.column("seq").to_pylist()
                    assert batch.num_rows == 0 or seqs[0] > last or last == -1
                    last = seqs[-1] if seqs else last
            assert 0 <= reader.torn_bytes <= len(content)
            for found in reader.damage:
                assert 0 <= found.offset < found.offset + found.length <= max(len(content), KNOWN_HEADER.end)


def part(data: bytes) -> None:
    """Any part is read, or refused as corrupt."""
    with _file(data) as path, suppress(CorruptPartError), open_part(path) as file:
        for group in range(min(file.num_row_groups, 100)):
            with suppress(pa.ArrowException, OSError):
                for batch in read_group(file, group):
                    batch.validate(full=True)


def manifest(data: bytes) -> None:
    """Any manifest is read, or refused; with a valid checksum it still may be nonsense."""
    for content in (data, with_valid_digest(data)):
        with suppress(ManifestError):
            decode_manifest(content, where=Path("recording.json"))


def frames(data: bytes) -> None:
    """One by one and all together, frames give the same packets and the same problems."""
    payloads = list(_cut(data))
    packets = find_packets(pa.array([data, *payloads], pa.binary()))
    bad = set(packets.bad_frames.tolist())
    for number, frame in enumerate([data, *payloads]):
        scan = scan_frame(frame)
        assert (number in bad) == bool(scan.problems)
        mine = packets.frame == number
        begins = (packets.offset[mine] - packets.frame_start[number]).tolist()
        assert list(zip(begins, packets.length[mine].tolist(), strict=True)) == scan.packets
        with suppress(DecodeError):
            pieces = split_frame(frame)
            assert is_heartbeat(frame) or join_frame(pieces) == frame
            assert all(len(piece) in LAYOUTS for piece in pieces) == (not scan.problems)
        assert all(0 <= problem.offset <= len(frame) for problem in scan.problems)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "journal": journal, "part": part, "manifest": manifest, "frames": frames,
}  # fmt: skip


def with_valid_checksums(data: bytes) -> bytes:
    """Give a journal whose batches say the checksum that they have, so that what lies behind it is tried."""
    content = bytearray(data)
    at = KNOWN_HEADER.end
    while at < len(content):
        try:
            envelope = read_envelope(memoryview(content), at)
        except BrokenMessageError:
            break
        if envelope.checksum_at is not None:
            crc = checksum(memoryview(bytes(content)), envelope, KNOWN_HEADER.crc)
            content[envelope.checksum_at : envelope.checksum_at + 8] = b"%08x" % crc
        at = envelope.end
    return bytes(content)


def with_valid_digest(data: bytes) -> bytes:
    """Give a manifest whose checksum holds, whatever else it says."""
    blank = _CHECKSUM.sub(b'"checksum": ""\n}\n', data)
    if blank.endswith(b'"checksum": ""\n}\n'):
        digest = hashlib.sha256(blank).hexdigest().encode()
        return blank[: -len(b'"\n}\n')] + digest + b'"\n}\n'
    return blank


def _cut(data: bytes) -> Iterator[bytes]:
    """Cut the bytes to frames by lengths among them."""
    at = 0
    while at + 2 <= len(data):
        size = int.from_bytes(data[at : at + 2])
        yield data[at + 2 : at + 2 + size]
        at += 2 + size


class _file:
    """A file with this content, for a while."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __enter__(self) -> Path:
        handle, name = tempfile.mkstemp(dir=_PLACE, prefix="kiterec-fuzz-")
        with os.fdopen(handle, "wb") as file:
            file.write(self._content)
        self._path = Path(name)
        return self._path

    def __exit__(self, *error: object) -> None:
        self._path.unlink(missing_ok=True)
