"""cut gives a smaller valid recording whose payloads are those of the larger one."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import kiterec
from kiterec.clock import NS_PER_S
from kiterec.errors import ManifestError, SetupError, StorageError
from kiterec.simulate.market import VIRTUAL_START
from kiterec.store.manifest import Status, load_manifest, save_manifest
from kiterec.store.transcript import read_transcript
from kiterec.store.writer import RecordingWriter
from kiterec.upkeep import cut, merge, verify
from kiterec.upkeep.last_packets import LastPackets
from kiterec.wire.frames import join_frame, split_frame
from kiterec.wire.transcript import Kind, Row, read_lifecycle
from tests.store.recordings import wait_until
from tests.upkeep.market_recordings import (
    instant,
    market,
    options,
    packets,
    record,
    rows,
    token_of,
    transcript,
)

if TYPE_CHECKING:
    from pathlib import Path

BEGIN, END = instant(3), instant(7)


def content(path: Path) -> list[tuple[Any, ...]]:
    """Give everything of each row but its seq."""
    return [
        (row["connection"], row["received_at"], row["monotonic_ns"], row["kind"], row["payload"])
        for row in transcript(path)
    ]


def test_a_cut_of_everything_has_the_same_rows(whole: Path, tmp_path: Path) -> None:
    made = cut(whole, tmp_path / "out")
    assert content(made) == content(whole)
    assert [row["seq"] for row in transcript(made)] == list(range(len(transcript(whole))))
    assert (made / "instruments.parquet").read_bytes() == (whole / "instruments.parquet").read_bytes()
    assert verify(made).is_clean


def test_a_cut_by_time_is_half_open(whole: Path, tmp_path: Path) -> None:
    made = cut(whole, tmp_path / "out", begin=BEGIN, end=END)
    expected = [row for row in content(whole) if BEGIN <= row[1] < END]
    assert content(made) == expected
    assert 0 < len(expected) < len(content(whole))
    findings = verify(made)
    assert (findings.is_clean, findings.warnings) == (True, [])


def test_a_cut_by_connection_keeps_only_its_rows(whole: Path, tmp_path: Path) -> None:
    made = cut(whole, tmp_path / "out", connections=["main-1"])
    assert content(made) == [row for row in content(whole) if row[0] == "main-1"]
    assert load_manifest(made).connections == ["main-1"]
    assert verify(made).is_clean


def test_a_cut_by_instrument_keeps_its_packets_byte_for_byte_and_everything_that_is_no_frame(
    whole: Path, tmp_path: Path
) -> None:
    dump = kiterec.open(whole).instruments()
    assert dump is not None
    tokens = {dump.resolve("NSE:INFY"), dump.resolve("NSE:NIFTY 50"), dump.resolve("NSE:TCS")}
    made = cut(whole, tmp_path / "out", instruments=["NSE:INFY", "NSE:NIFTY 50", dump.resolve("NSE:TCS")])
    expected = []
    for connection, *times, kind, payload in content(whole):
        if kind == Kind.BINARY and len(payload) > 1:
            kept = [packet for packet in split_frame(payload) if token_of(packet) in tokens]
            if not kept:
                continue
            expected.append((connection, *times, kind, join_frame(kept)))
        else:
            expected.append((connection, *times, kind, payload))
    assert content(made) == expected
    assert load_manifest(made).details["instruments"] == 3
    assert verify(made).is_clean


def test_frames_that_do_not_decode_keep_what_is_whole_in_them(tmp_path: Path) -> None:
    wanted, other = (256265).to_bytes(4) + bytes(40), bytes(44)
    torn = join_frame([wanted, other, wanted])[:-3]
    odd = join_frame([other, bytes(17), wanted])
    texts = [Row(n, n, Kind.BINARY, payload) for n, payload in enumerate([torn, odd, b"\xff\xff", b"\0"])]
    source = record(tmp_path / "out", (("main-0", row) for row in texts))
    made = cut(source, tmp_path / "cut", instruments=[256265])
    assert [row["payload"] for row in transcript(made)] == [join_frame([wanted])] * 2 + [b"\0"]


def test_the_state_in_front_is_the_last_packet_of_each_instrument_before_the_cut(
    whole: Path, tmp_path: Path
) -> None:
    made = cut(whole, tmp_path / "out", begin=BEGIN, with_state=True)
    begin_ns = VIRTUAL_START + 3 * NS_PER_S
    last = {(name, token_of(packet)): packet for at, name, packet in packets(whole) if at < begin_ns}
    found = transcript(made)
    front = [row for row in found if row["received_at"] == BEGIN]
    assert [row["kind"] for row in front] == ["marker", "binary"] * 2
    state = {
        (row["connection"], token_of(packet)): packet
        for row in front
        if row["kind"] == "binary"
        for packet in split_frame(row["payload"])
    }
    assert state == last
    assert read_lifecycle(front[0]["payload"])["what"] == "state before the cut"
    assert [row["payload"] for row in found[4:]] == [row[4] for row in content(whole) if row[1] >= BEGIN]
    findings = verify(made)
    assert (findings.is_clean, findings.warnings) == (True, [])


def test_the_state_of_some_instruments_holds_only_them(whole: Path, tmp_path: Path) -> None:
    some = [token_of(packet) for _, _, packet in packets(whole)[:3]]
    made = cut(whole, tmp_path / "out", begin=BEGIN, instruments=some, with_state=True)
    assert {token_of(packet) for _, _, packet in packets(made)} == set(some)


def test_large_states_are_several_frames(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kiterec.upkeep.last_packets.FRAME_PACKETS", 7)
    state = LastPackets()
    for batch in read_transcript(whole):
        state.add(batch)
    sizes = [
        len(split_frame(payload))
        for payload in state.rows(at_ns=0, monotonic_ns=0).column("payload").to_pylist()
        if not payload.startswith(b"{")
    ]
    assert max(sizes) == 7
    assert sum(sizes) == 40


def test_the_manifest_says_what_it_was_made_from(whole: Path, tmp_path: Path) -> None:
    made = cut(whole, tmp_path / "deep" / "er" / "out", begin=BEGIN, connections=["main-0"])
    manifest = load_manifest(made)
    assert manifest.status is Status.COMPLETE
    assert manifest.details["made_from"] == {
        "verb": "cut", "recordings": [whole.name], "begin_ns": VIRTUAL_START + 3 * NS_PER_S, "end_ns": None,
        "connections": ["main-0"], "with_state": False, "instruments": None,
    }  # fmt: skip
    assert (manifest.label, manifest.accounts) == ("test", ["main"])
    assert manifest.created_at is not None
    assert manifest.created_at >= BEGIN


def test_what_is_made_of_a_recording_that_lacks_something_says_so(whole: Path, tmp_path: Path) -> None:
    assert load_manifest(cut(whole, tmp_path / "good")).notes == []
    shutil.copytree(whole, source := tmp_path / "source")
    manifest = load_manifest(source)
    manifest.status, manifest.problems, manifest.lost_rows = Status.QUARANTINED, ["main-0 part 9 is gone"], 7
    save_manifest(source, manifest)
    cut(source, tmp_path / "cut")
    merge([whole, source], tmp_path / "merged")
    for made in (tmp_path / "cut", tmp_path / "merged"):
        notes = "; ".join(load_manifest(made).notes)
        assert "source, of which this was made, is quarantined: 1 things do not check" in notes
        assert "main-0 part 9 is gone" in notes
        assert "lacks 7 rows" in notes


def test_progress_reaches_the_end(whole: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    cut(whole, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(transcript(whole)),) * 2


def test_many_row_groups_and_parts_give_the_same(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiterec.upkeep.lane.ROW_GROUP_BYTES", 10_000)
    monkeypatch.setattr("kiterec.upkeep.lane.PART_BYTES", 40_000)
    monkeypatch.setattr("kiterec.upkeep.building.BUDGET_BYTES", 5_000)
    made = cut(whole, tmp_path / "out")
    assert content(made) == content(whole)
    assert len(load_manifest(made).parts) > 2
    assert verify(made).is_clean


def test_a_recording_that_is_being_written_can_be_cut(tmp_path: Path) -> None:
    writer = RecordingWriter.create(tmp_path / "out", label="live", accounts=["main"], options=options())
    try:
        for connection, row in rows(market(2)):
            writer.append(connection, row)
        wait_until(lambda: writer.stats().written_rows == writer.stats().rows)
        made = cut(writer.path, tmp_path / "cut")
    finally:
        writer.close()
    assert content(made) == content(writer.path)


def test_nothing_is_left_behind_when_a_cut_fails(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(
        SetupError, match=r"nothing of .* is left by this cut; it goes from 2026-01-05 10:00:00"
    ):
        cut(whole, tmp_path / "some" / "where" / "out", begin=instant(100))
    with pytest.raises(SetupError, match="no instrument NSE:INFI"):
        cut(whole, tmp_path / "some" / "out", instruments=["NSE:INFI"])
    with pytest.raises(StorageError, match="has no connection 'nobody'"):
        cut(whole, tmp_path / "some" / "out", connections=["nobody"])
    with pytest.raises(ManifestError, match="is no recording"):
        cut(tmp_path, tmp_path / "some" / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(SetupError, match="exists already; give a folder that does not"):
        cut(whole, tmp_path / "out")
    with pytest.raises(SetupError, match="is inside the recording"):
        cut(whole, whole / "cut")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "precious"]


def test_what_a_killed_cut_left_does_not_disturb_the_next(whole: Path, tmp_path: Path) -> None:
    left = tmp_path / ".out.being-made" / "connection=main-0"
    left.mkdir(parents=True)
    (left / "part-00000.parquet").write_bytes(b"half")
    (left.parent / "notes").touch()
    made = cut(whole, tmp_path / "out")
    assert content(made) == content(whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_damaged_part_ends_the_cut_with_its_name_and_what_to_do(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    part = copy / "connection=main-0" / "part-00000.parquet"
    damaged = bytearray(part.read_bytes())
    damaged[300] ^= 1
    part.write_bytes(damaged)
    with pytest.raises(StorageError, match=r"part-00000\.parquet does not read as a part") as failure:
        cut(copy, tmp_path / "out")
    assert "bring it back from a copy, or ask for other times; kiterec verify" in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
    (unreadable,) = [it.what for it in verify(copy).errors if "row group 0 cannot be read" in it.what]
    assert "kiterec verify" not in unreadable  # it is what says so
    cut(copy, tmp_path / "out", begin=instant(8))
