"""Recovery: whatever instant the writer died at, each row is there once, and a second run changes nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from kiterec.errors import ManifestError, SetupError
from kiterec.store.folder import DAMAGED, DRAFT, JOURNAL, PART, TORN, RecordingFolder, find_recordings
from kiterec.store.journal_header import KNOWN_HEADER
from kiterec.store.lock import FolderLock
from kiterec.store.manifest import MANIFEST_NAME, Manifest, Status, save_manifest
from kiterec.store.recover import find_unfinished, recover
from kiterec.store.sealer import examine_journal, seal
from kiterec.store.sealing import note_sealed
from tests.store.die_between import ROWS
from tests.store.recordings import (
    CrashError,
    CrashingFiles,
    by_connection,
    crash_points,
    journal_folder,
    make_rows,
    transcript,
    tree,
    write_journal,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_dead_writers_journals_are_sealed(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", connections=["main-0", "main-1"])
    before = transcript(folder.path)
    assert len(before) == 40
    report = recover(folder.path)
    assert (report.status_before, report.status) == (Status.RECORDING, Status.RECOVERED)
    assert (report.rows, len(report.sealed), report.problems) == (40, 2, [])
    assert transcript(folder.path) == before
    assert [file.suffix for file in folder.files("main-1")] == [PART]
    manifest = folder.manifest()
    assert [part.counts.rows for part in manifest.parts] == [20, 20]
    assert manifest.ended_at is not None


def test_recovering_twice_changes_nothing(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    recover(folder.path)
    once = tree(folder.path)
    report = recover(folder.path)
    assert not report.changed
    assert report.status is Status.RECOVERED
    assert tree(folder.path) == once


def test_a_dry_run_tells_the_same_and_writes_nothing(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", connections=["a", "b"])
    content = bytearray(folder.file("a", 0, JOURNAL).read_bytes())
    content[len(content) // 2] ^= 1
    folder.file("a", 0, JOURNAL).write_bytes(content)
    before = tree(folder.path)
    planned = recover(folder.path, dry_run=True)
    assert tree(folder.path) == before
    assert recover(folder.path) == planned


@pytest.mark.parametrize("altered", [False, True], ids=["whole", "with damage"])
def test_a_crash_between_any_two_operations_of_recovery_loses_nothing(tmp_path: Path, altered: bool) -> None:
    origin = journal_folder(tmp_path / "origin", connections=["a", "b"], batches=3, rows=3)
    if altered:
        path = origin.file("a", 0, JOURNAL)
        content = bytearray(path.read_bytes())
        content[-30] ^= 1
        content += content[-100:]  # and a torn end
        path.write_bytes(content)
    expected = transcript(origin.path)
    done: set[str] = set()
    for crash_at in crash_points():
        path = tmp_path / f"crash-{crash_at}"
        shutil.copytree(origin.path, path)
        files = CrashingFiles(crash_at)
        try:
            recover(path, files=files)
        except CrashError:
            assert transcript(path) == expected, f"right after a crash at {crash_at}: {files.seen[-1:]}"
        else:
            break
        finally:
            done |= {operation.partition(" ")[0] for operation in files.seen}
        report = recover(path)
        assert report.status is (Status.QUARANTINED if altered else Status.RECOVERED)
        assert transcript(path) == expected, f"recovered after a crash at {crash_at}: {files.seen[-1:]}"
        assert not recover(path).changed, f"crash at {crash_at}"
        kept = [name for name in tree(path) if name.endswith(DAMAGED)]
        assert kept == (["connection=a/part-00000.arrows" + DAMAGED] if altered else [])
        shutil.rmtree(path)
    assert crash_at > 20
    assert done >= {"create", "append", "sync", "rename", "sync_folder", "delete"}


def test_a_writer_that_dies_between_any_two_operations_leaves_what_it_had_written(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.store.die_between", str(tmp_path), "4"]
    subprocess.run(command, check=True, timeout=100)
    sent = {f"main-{n}": [row.payload for row in ROWS[n::2]] for n in range(2)}
    complete = 0
    for out in sorted(tmp_path.iterdir(), key=lambda path: int(path.name)):
        for path in find_recordings(out):
            there = by_connection(transcript(path))
            for connection, payloads in there.items():
                assert payloads == sent[connection][: len(payloads)], f"before operation {out.name}"
            report = recover(path)
            assert report.problems == [], f"before operation {out.name}"
            assert by_connection(transcript(path)) == there, f"before operation {out.name}"
            assert not recover(path).changed
            complete += there == sent
    assert int(out.name) > 50
    assert complete


def test_damage_is_listed_kept_and_quarantines(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", batches=5, rows=2)
    path = folder.file("main-0", 0, JOURNAL)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    report = recover(folder.path)
    assert report.status is Status.QUARANTINED
    assert len(report.problems) == 1
    manifest = folder.manifest()
    (damage,) = manifest.damage
    assert damage.range.after_seq is not None
    assert path.with_name(damage.kept_as).read_bytes() == content
    assert len(transcript(folder.path)) == 8


def test_a_torn_end_is_no_damage(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    path = folder.file("main-0", 0, JOURNAL)
    path.write_bytes(path.read_bytes()[:-5])
    report = recover(folder.path)
    assert report.status is Status.RECOVERED
    assert report.torn_bytes == folder.manifest().torn_bytes > 0
    assert len(transcript(folder.path)) == 15


def test_a_journal_without_a_whole_batch_goes_away(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", connections=["a", "b"])
    path = folder.file("b", 0, JOURNAL)
    path.write_bytes(path.read_bytes()[:900])
    recover(folder.path)
    assert folder.files("b") == []
    assert {connection for connection, *_ in transcript(folder.path)} == {"a"}


def test_a_part_that_differs_from_its_journal_is_set_aside_and_sealed_again(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    expected = transcript(folder.path)
    other = journal_folder(tmp_path / "other", seed=9)
    seal(other, "main-0", 0)
    part = folder.file("main-0", 0, PART)
    shutil.copy(other.file("main-0", 0, PART), part)
    report = recover(folder.path)
    assert report.status is Status.QUARANTINED
    assert transcript(folder.path) == expected
    assert part.with_name(part.name + DAMAGED).exists()
    assert not recover(folder.path).changed


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_power_cut_that_took_the_end_of_a_sealed_journal_costs_nothing(
    tmp_path: Path, share: float
) -> None:
    folder = journal_folder(tmp_path / "r")
    expected = transcript(folder.path)
    seal(folder, "main-0", 0)
    journal = folder.file("main-0", 0, JOURNAL)
    content = journal.read_bytes()
    journal.write_bytes(content[: int(len(content) * share)])
    report = recover(folder.path)
    assert (report.status, report.problems) == (Status.RECOVERED, [])
    assert transcript(folder.path) == expected
    assert not journal.exists()
    assert folder.manifest().torn_bytes == 0


def test_a_broken_part_beside_its_journal_is_sealed_again(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    expected = transcript(folder.path)
    folder.file("main-0", 0, PART).write_bytes(b"PAR1 no more")
    recover(folder.path)
    assert transcript(folder.path) == expected


def test_drafts_are_removed_but_one_without_its_journal_is_kept(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    folder.file("main-0", 0, DRAFT).write_bytes(b"half")
    lone = folder.file("main-0", 7, DRAFT)
    lone.write_bytes(b"strange")
    (folder.path / (MANIFEST_NAME + ".tmp")).write_bytes(b"{")
    report = recover(folder.path)
    assert not folder.file("main-0", 0, DRAFT).exists()
    assert lone.with_name(lone.name + DAMAGED).read_bytes() == b"strange"
    assert not (folder.path / (MANIFEST_NAME + ".tmp")).exists()
    assert report.status is Status.QUARANTINED


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"format": 1}', b"\xff" * 50], ids=repr)
def test_a_lost_manifest_is_rebuilt_from_the_files(tmp_path: Path, content: bytes | None) -> None:
    folder = journal_folder(tmp_path / "r", connections=["a", "b"])
    seal(folder, "a", 0)
    expected = transcript(folder.path)
    (folder.path / MANIFEST_NAME).unlink()
    if content is not None:
        (folder.path / MANIFEST_NAME).write_bytes(content)
    report = recover(folder.path)
    assert (report.status_before, report.status) == (None, Status.QUARANTINED)
    assert transcript(folder.path) == expected
    assert {part.connection for part in folder.manifest().parts} == {"a", "b"}
    assert not recover(folder.path).changed


def test_a_missing_part_quarantines(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    recover(folder.path)
    folder.file("main-0", 0, PART).unlink()
    report = recover(folder.path)
    assert report.status is Status.QUARANTINED
    assert "missing" in report.problems[0]
    assert not recover(folder.path).changed


def test_a_recording_of_a_newer_format_is_left_alone(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    (folder.path / MANIFEST_NAME).write_bytes(b'{"format": 99}')
    before = tree(folder.path)
    with pytest.raises(ManifestError, match=r"format 99.*upgrade"):
        recover(folder.path)
    assert tree(folder.path) == before
    assert find_unfinished(tmp_path) == []


def test_a_recording_that_is_being_written_is_refused_and_not_found(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    assert find_unfinished(tmp_path) == [folder.path]
    with FolderLock(folder.path):
        assert find_unfinished(tmp_path) == []
        with pytest.raises(SetupError, match="being recorded"):
            recover(folder.path)
    recover(folder.path)
    assert find_unfinished(tmp_path) == []


def test_no_recording_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=MANIFEST_NAME):
        recover(tmp_path)
    with pytest.raises(ManifestError, match="does not exist"):
        recover(tmp_path / "nowhere")


def test_several_parts_of_a_connection_are_recovered_in_order(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    write_journal(folder.file("main-0", 1, JOURNAL), [make_rows(5, seed=3)], first_seq=20)
    seal(folder, "main-0", 0)
    recover(folder.path)
    assert [(part.number, part.first_seq) for part in folder.manifest().parts] == [(0, 0), (1, 20)]
    assert [seq for _, seq, *_ in transcript(folder.path)] == list(range(25))


@pytest.mark.parametrize("dry_run", [False, True], ids=["for good", "after a dry run"])
def test_a_journal_is_kept_until_its_listed_part_has_been_read_again(tmp_path: Path, dry_run: bool) -> None:
    folder = journal_folder(tmp_path / "r", batches=20, rows=50)
    expected = transcript(folder.path)
    manifest = folder.manifest()
    note_sealed(manifest, folder, "main-0", 0, seal(folder, "main-0", 0))
    save_manifest(folder.path, manifest)  # the writer dies before it deletes the journal
    part = folder.file("main-0", 0, PART)
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 0x10
    part.write_bytes(content)
    planned = recover(folder.path, dry_run=True) if dry_run else None
    report = recover(folder.path)
    assert planned in (None, report)
    assert report.status is Status.QUARANTINED
    assert transcript(folder.path) == expected
    assert part.with_name(part.name + DAMAGED).read_bytes() == content
    assert not recover(folder.path).changed


def test_a_listed_part_of_another_length_quarantines(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    recover(folder.path)
    part = folder.file("main-0", 0, PART)
    part.write_bytes(part.read_bytes()[:-7])
    report = recover(folder.path)
    assert report.status is Status.QUARANTINED
    assert "are listed" in report.problems[0]


@pytest.mark.parametrize("batches", [1, 4])
def test_the_bytes_of_a_torn_end_are_kept_because_a_flipped_length_looks_like_one(
    tmp_path: Path, batches: int
) -> None:
    path = tmp_path / "r" / "connection=main-0" / "part-00000.arrows"
    path.parent.mkdir(parents=True)
    rows = make_rows(20)
    size = 20 // batches
    sizes = write_journal(path, [rows[at : at + size] for at in range(0, 20, size)])
    save_manifest(tmp_path / "r", Manifest(label="test", connections=["main-0"]))
    content = bytearray(path.read_bytes())
    content[sizes[-2] + 5] ^= 0x40  # of the last batch's length
    path.write_bytes(content)
    planned = recover(tmp_path / "r", dry_run=True)
    report = recover(tmp_path / "r")
    assert report == planned
    assert report.torn_bytes == sizes[-1] - sizes[-2]
    kept = path.with_name(path.name + TORN + DAMAGED)
    assert kept.read_bytes() == content[sizes[-2] :]
    assert report.kept == [f"connection=main-0/{kept.name}"]
    (note,) = RecordingFolder(tmp_path / "r").manifest().notes
    assert kept.name in note
    assert not recover(tmp_path / "r").changed


def test_a_journal_of_zeros_is_torn_because_a_power_cut_leaves_that(tmp_path: Path) -> None:
    for number, content in enumerate([bytes(4096), KNOWN_HEADER.content[:100] + bytes(5000)]):
        folder = journal_folder(tmp_path / str(number), connections=["a", "b"])
        folder.file("a", 0, JOURNAL).write_bytes(content)
        report = recover(folder.path)
        assert (report.status, report.problems) == (Status.RECOVERED, [])
        assert report.torn_bytes == len(content)


def test_progress_counts_the_bytes_of_journals(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", connections=["a", "b"])
    sizes = [folder.file(name, 0, JOURNAL).stat().st_size for name in ("a", "b")]
    seen: list[tuple[int, int]] = []
    recover(folder.path, dry_run=True, progress=lambda *it: seen.append(it))
    recover(folder.path, progress=lambda *it: seen.append(it))
    assert seen == [(sizes[0], sum(sizes)), (sum(sizes), sum(sizes))] * 2


def test_a_dry_run_keeps_nobody_out(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    descriptor = os.open(folder.path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # as another reader that asks whether it is locked
        assert recover(folder.path, dry_run=True).status is Status.RECOVERED
    finally:
        os.close(descriptor)
    with FolderLock(folder.path), pytest.raises(SetupError, match="being recorded"):
        recover(folder.path, dry_run=True)


def test_a_dry_run_beside_somebody_who_recovers_looks_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = journal_folder(tmp_path / "r").path
    done = []

    def examine_late(*words: Any) -> Any:
        if not done:
            done.append(recover(path))
        return examine_journal(*words)

    monkeypatch.setattr("kiterec.store.recovery.examine_journal", examine_late)
    report = recover(path, dry_run=True)
    assert done[0].sealed
    assert (report.status, report.changed) == (Status.RECOVERED, False)


def test_a_recording_that_vanishes_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kept = journal_folder(tmp_path / "kept")
    gone = journal_folder(tmp_path / "gone")

    def find(root: Path) -> list[Path]:
        shutil.rmtree(gone.path, ignore_errors=True)
        return [gone.path, kept.path]

    monkeypatch.setattr("kiterec.store.recover.find_recordings", find)
    assert find_unfinished(tmp_path) == [kept.path]
    assert "a recording was skipped" in caplog.text
