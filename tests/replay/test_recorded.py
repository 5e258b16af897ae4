"""A recording as a timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kiterec.errors import ManifestError, ReplayError
from kiterec.replay.recorded import RecordedTimeline
from kiterec.replay.server import ReplayServer
from kiterec.replay.timeline import TimelineKind
from kiterec.store.transcript import read_transcript
from kiterec.store.writer import RecordingWriter
from kiterec.wire.packets import Mode
from kiterec.wire.transcript import Kind, Row, lifecycle_payload
from tests.replay.handmade import MS, frame, listening, packet, run
from tests.replay.test_server import CSV

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kiterec.replay.timeline import TimelineBatch

START = 1_763_700_000_000_000_000
ROWS = [
    (0, "main-10", Kind.CONNECTED, lifecycle_payload(attempt=1)),
    (10, "main-10", Kind.TEXT, b'{"type":"order","data":{}}'),
    (20, "main-2", Kind.BINARY, frame(packet(184, 256, last_price=1), packet(32, 521))),
    (20, "main-2", Kind.SENT, b'{"a":"subscribe","v":[256]}'),
    (30, "main-10", Kind.BINARY, b"\x00"),
    (25, "main-2", Kind.BINARY, frame(packet(184, 256, last_price=2))),
    (40, "main-10", Kind.DISCONNECTED, lifecycle_payload(code=1006)),
]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    writer = RecordingWriter.create(tmp_path, label="test", accounts=["main"])
    writer.set_instruments(CSV)
    for ms, connection, kind, payload in ROWS:
        writer.append(connection, Row(START + ms * MS, 5_000 + ms * MS, kind, payload))
    writer.close()
    return writer.path


@pytest.mark.parametrize("rows_per_batch", [1, 3, 1000])
def test_received_messages_come_in_the_order_of_seq_with_their_times(
    recording: Path, monkeypatch: pytest.MonkeyPatch, rows_per_batch: int
) -> None:
    def in_pieces(*args: object, **options: object) -> Iterator[object]:
        for batch in read_transcript(*args, **options):
            for begin in range(0, batch.num_rows, rows_per_batch):
                yield batch.slice(begin, rows_per_batch)

    monkeypatch.setattr("kiterec.replay.recorded.read_transcript", in_pieces)
    timeline = RecordedTimeline(recording)
    assert timeline.connections == ("main-2", "main-10")
    rows = [
        (due // MS, timeline.connections[connection], TimelineKind(kind), payload)
        for batch in timeline.batches()
        for due, connection, kind, payload in zip(
            batch.due_ns.tolist(), batch.connection, batch.kind, batch.payloads.to_pylist(), strict=True
        )
    ]
    binary, text, gone = TimelineKind.BINARY, TimelineKind.TEXT, TimelineKind.DISCONNECT
    assert rows == [
        (10, "main-10", text, ROWS[1][3]),
        (20, "main-2", binary, ROWS[2][3]),
        (30, "main-10", binary, b"\x00"),
        (30, "main-2", binary, ROWS[5][3]),
        (40, "main-10", gone, ROWS[6][3]),
    ]


def test_a_stretch_can_be_taken_out_by_the_wall_clock(recording: Path) -> None:
    timeline = RecordedTimeline(recording, begin_ns=START + 20 * MS, end_ns=START + 30 * MS)
    due = [due for batch in timeline.batches() for due in batch.due_ns.tolist()]
    assert due == [0, 5 * MS]


def test_the_dump_of_the_recording_is_given_as_csv(recording: Path) -> None:
    csv = RecordedTimeline(recording).instruments_csv()
    assert csv is not None
    header, first, *_ = csv.splitlines()
    assert header == CSV.splitlines()[0]
    assert first.startswith(b'408065,1594,INFY,"INFOSYS, LTD",')


def test_a_recording_is_served_in_the_modes_that_are_asked_for(recording: Path) -> None:
    async def main() -> None:
        async with (
            ReplayServer(RecordedTimeline(recording), speed=None) as server,
            listening(server.url) as client,
        ):
            await client.want(Mode.LTP, 256, 521)
            await client.until_closed()
            assert client.frames == [
                frame(packet(8, 256, last_price=1), packet(8, 521)),
                frame(packet(8, 256, last_price=2)),
            ]
            assert client.texts[1:] == [ROWS[1][3].decode()]

    run(main())


def test_an_exact_replay_gives_each_connection_its_bytes(recording: Path) -> None:
    async def main() -> None:
        async with (
            ReplayServer(RecordedTimeline(recording), exact=True) as server,
            listening(server.url) as first,
            listening(server.url) as second,
        ):
            await first.until_closed()
            await second.until_closed()
            assert first.messages == [ROWS[2][3], ROWS[5][3]]
            assert second.messages == [ROWS[1][3].decode(), b"\x00"]

    run(main())


def test_a_folder_without_a_recording_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=str(tmp_path)):
        RecordedTimeline(tmp_path)


def test_a_recording_without_connections_is_refused(tmp_path: Path) -> None:
    writer = RecordingWriter.create(tmp_path, label="test", accounts=[])
    writer.close()
    with pytest.raises(ReplayError, match="nothing was recorded"):
        RecordedTimeline(writer.path)


def test_a_recording_knows_when_it_was_and_where_a_time_lies(recording: Path) -> None:
    timeline = RecordedTimeline(recording)
    assert timeline.start_ns == START
    assert timeline.length_ns == 40 * MS
    assert [timeline.position_at(START + ms * MS) // MS for ms in (-5, 0, 15, 20, 40)] == [0, 0, 20, 20, 40]
    with pytest.raises(ReplayError, match="nothing was recorded at or after"):
        timeline.position_at(START + 41 * MS)


def test_a_seek_goes_to_a_recorded_time_or_number(recording: Path) -> None:
    async def main() -> None:
        server = ReplayServer(RecordedTimeline(recording), paused=True)
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            assert await server.seek(time_ns=START + 30 * MS) == 0.03
            await client.until(lambda: client.packets == [packet(184, 256, last_price=1)])
            assert server.stats().time_ns == START + 30 * MS
            await server.seek(seq=2)
            await server.step()
            assert server.stats().seq == 2
            server.resume()
            await client.until_closed()
            assert server.stats().seq == 6

    run(main())


def test_a_recording_is_read_from_any_message_on_as_if_from_its_start(tmp_path: Path) -> None:
    writer = RecordingWriter.create(tmp_path, label="test", accounts=["main"])
    for n in range(60):
        payload = frame(packet(184, 256, last_price=n)) if n % 7 else b"\x00"
        # The clock goes back once, as after a restart between two merged recordings.
        monotonic_ns = (n if n < 40 else n - 30) * MS
        writer.append(f"main-{n % 3}", Row(START + n * MS, monotonic_ns, Kind.BINARY, payload))
    writer.close()
    whole = rows_of(RecordedTimeline(writer.path).batches())
    for first in range(1, 60, 7):
        due_ns = whole[first - 1][1]
        assert rows_of(RecordedTimeline(writer.path).batches_from(first, due_ns=due_ns)) == whole[first:]


def rows_of(batches: Iterator[TimelineBatch]) -> list:
    return [
        row
        for batch in batches
        for row in zip(
            batch.seq.tolist(),
            batch.due_ns.tolist(),
            batch.connection.tolist(),
            batch.kind.tolist(),
            batch.payloads.to_pylist(),
            strict=True,
        )
    ]
