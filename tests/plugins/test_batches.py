from __future__ import annotations

from kiterec.plugins.batches import Recorded, frames_and_events
from kiterec.store.schema import READ_SCHEMA
from kiterec.wire import Kind, Row


def row(kind: Kind, payload: bytes, at: int = 0) -> Row:
    return Row(1_000 + at, 2_000 + at, kind, payload)


def test_runs_of_frames_become_batches_and_the_rest_stays_in_its_place() -> None:
    rows = [
        Recorded("main-0", 7, row(Kind.BINARY, b"a")),
        Recorded("main-1", 8, row(Kind.BINARY, b"b", 1)),
        Recorded("main-0", 9, row(Kind.TEXT, b"{}")),
        Recorded("main-0", 10, row(Kind.GAP, b"{}")),
        Recorded("main-0", 12, row(Kind.BINARY, b"c")),
    ]
    first, text, gap, last = frames_and_events(rows)
    assert (text, gap) == (rows[2], rows[3])
    assert not isinstance(first, Recorded)
    assert not isinstance(last, Recorded)
    assert first.schema.equals(READ_SCHEMA)
    assert first.column("connection").to_pylist() == ["main-0", "main-1"]
    assert first.column("seq").to_pylist() == [7, 8]
    assert first.column("payload").to_pylist() == [b"a", b"b"]
    assert first.column("kind").to_pylist() == ["binary", "binary"]
    assert [at.value for at in first.column("received_at")] == [1_000, 1_001]
    assert last.column("monotonic_ns").to_pylist() == [2_000]


def test_no_rows_give_nothing() -> None:
    assert list(frames_and_events([])) == []
