"""Damage on purpose: what is flipped, cut, deleted, renamed, swapped or edited is named by verify."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from kiterec.store.folder import JOURNAL, PART, RecordingFolder
from kiterec.store.manifest import MANIFEST_NAME, load_manifest, save_manifest
from kiterec.upkeep import Findings, verify
from tests.store.recordings import journal_folder
from tests.upkeep.market_recordings import market, record, rows

if TYPE_CHECKING:
    from pathlib import Path

Damage = Callable[[RecordingFolder], str]
FIRST, SECOND, OTHER = ("main-0", 0, PART), ("main-0", 1, PART), ("main-1", 0, PART)


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> RecordingFolder:
    copy = tmp_path / "copy"
    shutil.copytree(whole, copy)
    return RecordingFolder(copy)


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


def swap(one: Path, other: Path) -> None:
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def flip_in_a_part(folder: RecordingFolder) -> str:
    flip(folder.file(*FIRST), 300)
    return "connection=main-0/part-00000.parquet"


def flip_the_first_byte_of_a_part(folder: RecordingFolder) -> str:
    flip(folder.file(*FIRST), 0)
    return "connection=main-0/part-00000.parquet"


def flip_in_a_footer(folder: RecordingFolder) -> str:
    path = folder.file(*FIRST)
    flip(path, path.stat().st_size - 200)
    return "connection=main-0/part-00000.parquet"


def cut_a_part(folder: RecordingFolder) -> str:
    path = folder.file(*OTHER)
    path.write_bytes(path.read_bytes()[:-1])
    return "connection=main-1/part-00000.parquet"


def empty_a_part(folder: RecordingFolder) -> str:
    folder.file(*OTHER).write_bytes(b"")
    return "connection=main-1/part-00000.parquet"


def delete_a_part(folder: RecordingFolder) -> str:
    folder.file(*SECOND).unlink()
    return "connection=main-0/part-00001.parquet"


def rename_a_part(folder: RecordingFolder) -> str:
    folder.file(*FIRST).rename(folder.file("main-0", 77, PART))
    return "connection=main-0/part-00077.parquet"


def delete_a_connection(folder: RecordingFolder) -> str:
    shutil.rmtree(folder.connection_folder("main-1"))
    return "connection=main-1/part-00000.parquet"


def rename_a_connection(folder: RecordingFolder) -> str:
    folder.connection_folder("main-1").rename(folder.connection_folder("main-9"))
    return "connection=main-9/part-00000.parquet"


def swap_two_parts(folder: RecordingFolder) -> str:
    swap(folder.file(*FIRST), folder.file(*SECOND))
    return "connection=main-0/part-00001.parquet"


def swap_parts_of_two_connections(folder: RecordingFolder) -> str:
    swap(folder.file(*FIRST), folder.file(*OTHER))
    return "connection=main-1/part-00000.parquet"


def copy_a_part(folder: RecordingFolder) -> str:
    shutil.copy(folder.file(*FIRST), folder.file("main-0", 50, PART))
    return "connection=main-0/part-00050.parquet"


def flip_in_the_manifest(folder: RecordingFolder) -> str:
    flip(folder.path / MANIFEST_NAME, 500)
    return MANIFEST_NAME


def cut_the_manifest(folder: RecordingFolder) -> str:
    path = folder.path / MANIFEST_NAME
    path.write_bytes(path.read_bytes()[:-20])
    return MANIFEST_NAME


def delete_the_manifest(folder: RecordingFolder) -> str:
    (folder.path / MANIFEST_NAME).unlink()
    return MANIFEST_NAME


def edit_a_count_of_the_manifest(folder: RecordingFolder) -> str:
    manifest = load_manifest(folder.path)
    manifest.parts[0].counts.ticks += 1
    save_manifest(folder.path, manifest)
    return "connection=main-0/part-00000.parquet"


def edit_a_range_of_the_manifest(folder: RecordingFolder) -> str:
    manifest = load_manifest(folder.path)
    manifest.parts[1].last_seq += 1
    save_manifest(folder.path, manifest)
    return "connection=main-0/part-00001.parquet"


def forget_a_part(folder: RecordingFolder) -> str:
    manifest = load_manifest(folder.path)
    del manifest.parts[0]
    save_manifest(folder.path, manifest)
    return "connection=main-0/part-00000.parquet"


def flip_in_the_instruments(folder: RecordingFolder) -> str:
    flip(folder.instruments_path, 200)
    return "instruments.parquet"


def delete_the_instruments(folder: RecordingFolder) -> str:
    folder.instruments_path.unlink()
    return "instruments.parquet"


def journal_of_somebody_else(folder: RecordingFolder) -> str:
    other = journal_folder(folder.path.parent / "other", connections=("main-0",))
    shutil.copy(other.file("main-0", 0, JOURNAL), folder.file("main-0", 60, JOURNAL))
    return "connection=main-0/part-00060.arrows"


DAMAGES: list[Damage] = [
    flip_in_a_part, flip_the_first_byte_of_a_part, flip_in_a_footer, cut_a_part, empty_a_part, delete_a_part,
    rename_a_part,
    delete_a_connection, rename_a_connection, swap_two_parts, swap_parts_of_two_connections, copy_a_part,
    flip_in_the_manifest, cut_the_manifest, delete_the_manifest, edit_a_count_of_the_manifest,
    edit_a_range_of_the_manifest, forget_a_part, flip_in_the_instruments, delete_the_instruments,
    journal_of_somebody_else,
]  # fmt: skip


def told(findings: Findings) -> str:
    return "\n".join(f"{it.file}: {it.what}" for it in findings.errors)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda it: it.__name__)
def test_damage_is_an_error_that_names_the_file(folder: RecordingFolder, damage: Damage) -> None:
    named = damage(folder)
    findings = verify(folder.path)
    assert not findings.is_clean
    assert named in {it.file for it in findings.errors}, told(findings)
    assert all(it.next_step for it in findings.errors)


def test_a_deleted_part_leaves_holes_that_are_named(folder: RecordingFolder) -> None:
    (gone,) = [
        part for part in load_manifest(folder.path).parts if (part.connection, part.number) == ("main-0", 1)
    ]
    delete_a_part(folder)
    findings = verify(folder.path)
    assert f"it is missing, with {gone.counts.rows:,} rows" in told(findings)
    assert f"seq {gone.first_seq:,} to" in told(findings)


def test_swapped_parts_say_whose_place_they_have(folder: RecordingFolder) -> None:
    swap_parts_of_two_connections(folder)
    words = told(verify(folder.path))
    assert (
        "part-00000.parquet: it is part 0 of connection main-1 by its own metadata, not part 0 of main-0"
        in words
    )
    assert "comes after seq" in words


def test_a_copied_part_repeats_rows(folder: RecordingFolder) -> None:
    copy_a_part(folder)
    assert "have the seq of another row" in told(verify(folder.path))


def test_a_flipped_row_group_is_named_with_its_rows(folder: RecordingFolder) -> None:
    flip_in_a_part(folder)
    findings = verify(folder.path)
    (group,) = [it for it in findings.errors if "row group 0 cannot be read" in it.what]
    part = load_manifest(folder.path).parts[0]
    assert (group.first_seq, group.last_seq) == (part.first_seq, part.last_seq)


def test_a_strange_file_is_a_warning(folder: RecordingFolder) -> None:
    (folder.path / "notes.txt").write_text("buy low")
    findings = verify(folder.path)
    assert findings.is_clean
    assert [(it.file, it.what) for it in findings.warnings] == [
        ("notes.txt", "kiterec did not make this file")
    ]


@pytest.mark.parametrize("target", ["part", "journal", "manifest"])
def test_every_random_flip_is_found_in_the_file_that_has_it(tmp_path: Path, target: str) -> None:
    """The full count is `make damage`'s; here a few are done on each kind of file."""
    if target == "journal":
        recording = journal_folder(tmp_path / "killed", batches=10).path
        path = RecordingFolder(recording).file("main-0", 0, JOURNAL)
    else:
        recording = record(tmp_path, rows(market(2), connections=("main-0",)))
        path = recording / MANIFEST_NAME if target == "manifest" else RecordingFolder(recording).file(*FIRST)
    content = path.read_bytes()
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    for _ in range(40):
        damaged = bytearray(content)
        at, bit = chance.randrange(len(content)), chance.randrange(8)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        findings = verify(recording)
        notes = [*findings.errors, *(it for it in findings.warnings if it.offset is not None)]
        name = str(path.relative_to(recording))
        assert name in {it.file for it in notes}, f"seed {seed}: bit {bit} of byte {at} was not noticed"
