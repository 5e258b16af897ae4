"""Small recordings for the tests of the store."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, Any

from kiterec.store.files import Files
from kiterec.store.folder import JOURNAL, RecordingFolder
from kiterec.store.journal import Journal
from kiterec.store.manifest import Manifest, save_manifest
from kiterec.store.options import StoreOptions
from kiterec.store.transcript import read_transcript
from kiterec.store.writer import RecordingWriter
from kiterec.wire.transcript import Kind, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

START_NS = 1_795_200_000_000_000_000  # 2026-11-20 18:40 UTC


def make_rows(count: int, *, seed: int = 1, size: int = 60) -> list[Row]:
    """Give rows of several kinds whose payloads are all different."""
    chance = random.Random(seed)
    rows = []
    for number in range(count):
        kind = chance.choices([Kind.BINARY, Kind.TEXT, Kind.SENT, Kind.CONNECTED], [20, 3, 2, 1])[0]
        payload = number.to_bytes(4, "big") + chance.randbytes(chance.randrange(size))
        rows.append(Row(START_NS + number * 1000, number * 1000, kind, payload))
    return rows


def write_journal(path: Path, batches: Sequence[Sequence[Row]], *, first_seq: int = 0) -> list[int]:
    """Write each list of rows as one append; give the size of the file before the first and after each."""
    journal = Journal(path)
    sizes = [journal.size]
    seq = first_seq
    try:
        for rows in batches:
            journal.append(range(seq, seq + len(rows)), rows)
            seq += len(rows)
            sizes.append(journal.size)
    finally:
        journal.close()
    return sizes


def journal_folder(
    path: Path, *, batches: int = 4, rows: int = 5, connections: Sequence[str] = ("main-0",), seed: int = 1
) -> RecordingFolder:
    """Make a recording whose writer died: each connection has one journal, `seq` going round."""
    path.mkdir(parents=True)
    folder = RecordingFolder(path)
    save_manifest(path, Manifest(label="test", connections=list(connections)))
    for place, connection in enumerate(connections):
        folder.connection_folder(connection).mkdir()
        journal = Journal(folder.file(connection, 0, JOURNAL))
        made = make_rows(batches * rows, seed=seed + place)
        for at in range(0, len(made), rows):
            seqs = [place + len(connections) * number for number in range(at, at + rows)]
            journal.append(seqs, made[at : at + rows])
        journal.close()
    return folder


def transcript(path: Path, **options: Any) -> list[tuple[str, int, str, bytes]]:
    """Give (connection, seq, kind, payload) of all rows."""
    return [
        (row["connection"], row["seq"], row["kind"], row["payload"])
        for batch in read_transcript(path, **options)
        for row in batch.select(["connection", "seq", "kind", "payload"]).to_pylist()
    ]


def fast_options(**changes: Any) -> StoreOptions:
    """Give options for small recordings on small disks."""
    settings: dict[str, Any] = {"flush_interval_s": 0.01, "min_free_bytes": 0, "warn_free_bytes": 0}
    return StoreOptions(**(settings | changes))


def new_writer(out: Path, **changes: Any) -> RecordingWriter:
    """Begin a recording with `fast_options`."""
    files = changes.pop("files", None)
    more = {} if files is None else {"files": files}
    return RecordingWriter.create(
        out, label="test", accounts=["main"], options=fast_options(**changes), **more
    )


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    """Return when a condition holds; fail when it does not for a very long time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        pause.wait(0.002)


class CrashError(BaseException):
    """The process ends here, as far as the store can tell."""


class CrashingFiles(Files):
    """Ends the world before the operation of this number, and everything after it."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.seen: list[str] = []

    def before(self, operation: str, path: Path) -> None:
        if len(self.seen) >= self.at:
            raise CrashError(f"before {operation} {path}")
        self.seen.append(f"{operation} {path.name}")


def tree(path: Path) -> dict[str, bytes]:
    """Give all files below a folder with their bytes."""
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def by_connection(rows: Sequence[tuple[str, int, str, bytes]]) -> dict[str, list[bytes]]:
    """Give each connection's payloads in order."""
    payloads: dict[str, list[bytes]] = {}
    for connection, _, _, payload in rows:
        payloads.setdefault(connection, []).append(payload)
    return payloads


def crash_points() -> Iterator[int]:
    """Count up: the number of operations before the crash."""
    number = 0
    while True:
        yield number
        number += 1
