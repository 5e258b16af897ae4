"""verify finds a whole recording clean, tells warnings from errors, and never raises."""

from __future__ import annotations

import random
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from kiterec.clock import NS_PER_S, utc
from kiterec.store.folder import JOURNAL, RecordingFolder
from kiterec.store.journal import Journal
from kiterec.store.manifest import (
    MANIFEST_NAME,
    Manifest,
    Status,
    encode_manifest,
    load_manifest,
    save_manifest,
)
from kiterec.store.recover import recover
from kiterec.store.writer import RecordingWriter
from kiterec.upkeep import Findings, verify
from kiterec.wire.frames import join_frame
from kiterec.wire.transcript import Kind, Row
from tests.store.recordings import journal_folder, make_rows, write_journal
from tests.upkeep.market_recordings import market, options, packets, record, rows, transcript

if TYPE_CHECKING:
    from pathlib import Path


def sentences(findings: Findings) -> str:
    return "\n".join(f"{it.severity} {it.file}: {it.what}" for it in [*findings.errors, *findings.warnings])


def test_a_clean_recording_verifies_clean_and_is_read_as_a_whole(whole: Path) -> None:
    seen: list[tuple[int, int]] = []
    findings = verify(whole, progress=lambda done, total: seen.append((done, total)))
    assert not findings.errors, sentences(findings)
    assert not findings.warnings, sentences(findings)
    assert findings.is_clean
    assert findings.recover is None
    assert findings.parts == len(load_manifest(whole).parts) > 4
    assert findings.rows == len(transcript(whole))
    assert findings.packets == len(packets(whole))
    assert seen[-1][0] == seen[-1][1] > 0
    assert seen == sorted(seen)


def test_findings_are_json(whole: Path) -> None:
    findings = verify(whole)
    assert msgspec.json.decode(msgspec.json.encode(findings), type=Findings) == findings


def test_verify_writes_nothing(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    verify(copy)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


def test_a_frame_that_does_not_decode_is_listed_with_its_place_and_is_no_error(tmp_path: Path) -> None:
    bad = join_frame([bytes(44), bytes(44)])[:-5]
    odd = join_frame([bytes(44), bytes(17)])
    content = [("main-0", Row(1_000 + n, n, Kind.BINARY, payload)) for n, payload in enumerate([bad, odd])]
    findings = verify(record(tmp_path, iter(content)))
    assert findings.is_clean
    assert findings.bad_frames == 2
    first, second = findings.warnings
    assert (first.first_seq, first.offset) == (0, 50)
    assert "packet 2 of 2 declares 44 bytes, 39 are left" in first.what
    assert (second.first_seq, second.offset) == (1, 50)
    assert "17 bytes has no layout" in second.what


def test_many_bad_frames_are_counted_and_only_some_described(tmp_path: Path) -> None:
    content = [("main-0", Row(n, n, Kind.BINARY, b"\xff\xff\xff")) for n in range(500)]
    findings = verify(record(tmp_path, iter(content)))
    assert findings.bad_frames == 500
    assert len(findings.warnings) == 21
    assert "500 frames in all" in findings.warnings[-1].what


def test_a_clock_that_goes_back_is_a_warning(tmp_path: Path) -> None:
    content = [("main-0", Row(n, at, Kind.TEXT, b"{}")) for n, at in enumerate([5, 6, 4, 7])]
    findings = verify(record(tmp_path, iter(content)))
    assert findings.is_clean
    (warning,) = findings.warnings
    assert warning.first_seq == 2
    assert "goes back 2 ns" in warning.what


def test_an_unfinished_recording_says_what_recover_would_do_and_is_clean_after_it(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "killed", connections=("main-0", "main-1"))
    findings = verify(folder.path)
    assert findings.is_clean, sentences(findings)
    assert findings.journals == 2
    assert "its recorder died" in sentences(findings)
    assert findings.recover is not None
    assert findings.recover.status is Status.RECOVERED
    assert len(findings.recover.sealed) == 2
    recover(folder.path)
    findings = verify(folder.path)
    assert findings.is_clean, sentences(findings)
    assert findings.recover is None


def test_a_torn_end_is_a_warning_at_its_offset(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "killed")
    journal = folder.file("main-0", 0, JOURNAL)
    with journal.open("ab") as file:
        whole = file.tell()
        file.write(b"\xff\xff\xff\xff\x10\x02\x00\x00" + bytes(40))
    findings = verify(folder.path)
    (torn,) = [it for it in findings.warnings if "ends within a batch" in it.what]
    assert torn.offset == whole
    assert findings.is_clean
    recover(folder.path)
    findings = verify(folder.path)
    assert findings.is_clean, sentences(findings)
    (kept,) = [it for it in findings.warnings if it.file.endswith("part-00000.arrows.torn.damaged")]
    assert "48 bytes behind the last whole batch" in kept.what


def test_holes_at_the_very_end_of_a_crash_are_a_warning_and_others_an_error(tmp_path: Path) -> None:
    def make(name: str, step_ns: int, status: Status) -> Path:
        """Rows 0-9 and 12-13: what another connection had between them never reached the disk."""
        folder = RecordingFolder(tmp_path / name)
        folder.connection_folder("main-0").mkdir(parents=True)
        content = [row._replace(monotonic_ns=n * step_ns) for n, row in enumerate(make_rows(14))]
        path = folder.file("main-0", 0, JOURNAL)
        write_journal(path, [content[:10]])
        late = tmp_path / "late.arrows"
        late.unlink(missing_ok=True)
        header = write_journal(late, [content[12:]], first_seq=12)[0]
        with path.open("ab") as file:
            file.write(late.read_bytes()[header:])
        save_manifest(folder.path, Manifest(connections=["main-0"], limits={"fsync_interval_s": 1.0}))
        recover(folder.path)
        manifest = load_manifest(folder.path)
        manifest.status = status
        save_manifest(folder.path, manifest)
        return folder.path

    late = verify(make("late", 1_000_000, Status.RECOVERED))
    assert late.is_clean
    assert "2 rows are missing: seq 10 to 11, at the very end" in sentences(late)
    for findings in (
        verify(make("early", 60_000_000_000, Status.RECOVERED)),
        verify(make("complete", 1_000_000, Status.COMPLETE)),
    ):
        assert not findings.is_clean
        assert "error .: 2 rows are missing: seq 10 to 11" in sentences(findings)


@pytest.mark.parametrize(
    ("age_s", "is_clean"), [(1, True), (5, True), (7, False), (900, False), (-60, False), (None, False)]
)
def test_rows_may_be_missing_before_the_first_where_a_recording_died_young(
    tmp_path: Path, age_s: int | None, *, is_clean: bool
) -> None:
    """Of two connections the one that began the recording lost all."""
    content = make_rows(4)
    created_at = None if age_s is None else utc(content[-1].received_at) - timedelta(seconds=age_s)
    folder = RecordingFolder(tmp_path / "young")
    folder.connection_folder("main-1").mkdir(parents=True)
    write_journal(folder.file("main-1", 0, JOURNAL), [content], first_seq=2)
    manifest = Manifest(connections=["main-0", "main-1"], limits={"fsync_interval_s": 1.0})
    manifest.created_at = created_at
    save_manifest(folder.path, manifest)
    recover(folder.path)
    findings = verify(folder.path)
    assert findings.is_clean is is_clean, sentences(findings)
    severity, where = ("warning", ", at the very end") if is_clean else ("error", "")
    assert f"{severity} .: 2 rows are missing: seq 0 to 1{where}" in sentences(findings)


@pytest.mark.parametrize("first", [0, 100])
def test_a_long_hole_just_before_the_last_moments_is_an_error(tmp_path: Path, first: int) -> None:
    """Rows of a quarter of an hour are gone with the journal that held them, and the next one is there."""
    folder = RecordingFolder(tmp_path / "holed")
    folder.connection_folder("main-0").mkdir(parents=True)
    (early,) = make_rows(1)
    passed_ns = 900 * NS_PER_S
    late = early._replace(received_at=early.received_at + passed_ns, monotonic_ns=passed_ns)
    if first:
        write_journal(folder.file("main-0", 0, JOURNAL), [[early] * first])
    write_journal(folder.file("main-0", 2, JOURNAL), [[late] * 4], first_seq=90_000)
    manifest = Manifest(connections=["main-0"], limits={"fsync_interval_s": 1.0})
    manifest.created_at = utc(early.received_at)
    save_manifest(folder.path, manifest)
    recover(folder.path)
    findings = verify(folder.path)
    assert f"error .: {90_000 - first:,} rows are missing: seq {first} to 89,999" in sentences(findings)


def test_a_recording_that_is_being_written_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    writer = RecordingWriter.create(tmp_path, label="live", accounts=["main"], options=options())
    try:
        for connection, row in rows(market(3)):
            writer.append(connection, row)
        findings = verify(writer.path)
        assert findings.is_being_written
        assert findings.is_clean, sentences(findings)
        assert findings.status is Status.RECORDING
        assert findings.recover is None
    finally:
        writer.close()
    assert verify(writer.path).is_clean


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"format": 1}', b"[" * 100_000])
def test_a_folder_with_a_manifest_of_garbage_is_an_error_not_an_exception(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / MANIFEST_NAME).write_bytes(content)
    findings = verify(tmp_path)
    assert [it.file for it in findings.errors] == [MANIFEST_NAME]


def test_no_folder_and_a_newer_format_are_errors(tmp_path: Path) -> None:
    assert "no such folder" in sentences(verify(tmp_path / "nowhere"))
    (tmp_path / MANIFEST_NAME).write_bytes(encode_manifest(Manifest(format=99)))
    findings = verify(tmp_path)
    assert "format 99" in sentences(findings)
    assert findings.error_count == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_folder_of_random_bytes_never_raises(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = journal_folder(tmp_path / "killed", seed=seed)
    for suffix in (".arrows", ".parquet", ".parquet.tmp"):
        path = folder.connection_folder("main-0") / f"part-{chance.randrange(3):05d}{suffix}"
        path.write_bytes(chance.randbytes(chance.randrange(5_000)))
    (folder.path / "instruments.parquet").write_bytes(b"PAR1" + chance.randbytes(200) + b"PAR1")
    findings = verify(folder.path)
    assert not findings.is_clean, f"seed {seed}"
    assert "instruments.parquet" in sentences(findings)


def test_however_many_holes_a_crash_leaves_at_its_end_they_are_warnings(tmp_path: Path) -> None:
    path = tmp_path / "date=2026-01-05" / "recording=100000-crash"
    for name, seqs in (("main-0", range(0, 200, 2)), ("main-1", range(1, 9, 2))):
        (path / f"connection={name}").mkdir(parents=True)
        journal = Journal(path / f"connection={name}" / "part-00000.arrows")
        journal.append(list(seqs), make_rows(len(seqs)))
        journal.close()
    save_manifest(path, Manifest(connections=["main-0", "main-1"]))
    recover(path)
    findings = verify(path)
    assert findings.errors == []
    assert "rows in all are missing, in 95 places, at the very end" in sentences(findings)


def test_a_part_that_cannot_be_read_is_one_error_and_its_rows_no_holes(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / whole.name
    shutil.copytree(whole, path)
    part = max(path.glob("connection=*/part-00000.parquet"), key=lambda each: each.stat().st_size)
    content = bytearray(part.read_bytes())
    content[len(content) // 3] ^= 1
    part.write_bytes(content)
    findings = verify(path)
    assert findings.warnings == []
    assert {error.file for error in findings.errors} == {str(part.relative_to(path))}
