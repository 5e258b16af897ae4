"""Sealing: the part has exactly the journal's rows, or there is no part."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from kiterec.errors import CorruptPartError, DiskFullError
from kiterec.store import sealer
from kiterec.store.files import Files, OpenFile
from kiterec.store.folder import DRAFT, JOURNAL, PART
from kiterec.store.sealer import check_against_journal, describe_part, examine_journal, seal
from kiterec.store.summary import summarize
from tests.store.recordings import journal_folder, transcript

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class FlippingFiles(Files):
    """Writes one wrong bit into a draft, as a bad memory would."""

    def append(self, file: OpenFile, buffers: Sequence[Any]) -> int:
        content = bytearray(b"".join(bytes(buffer) for buffer in buffers))
        if file.path.name.endswith(DRAFT) and len(content) > 500:
            content[len(content) // 2] ^= 1
        return super().append(file, [content])


class FullFiles(Files):
    """Has no room for drafts."""

    def _write_all(self, fd: int, views: list[memoryview]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_entry_of_a_part_can_be_read_from_the_part_again(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    sealed = seal(folder, "main-0", 0)
    assert sealed.entry == describe_part(folder.file("main-0", 0, PART), "main-0", 0)
    examined = examine_journal(folder.file("main-0", 0, JOURNAL), "main-0", 0)
    assert examined.entry is not None
    assert examined.entry.counts == sealed.entry.counts
    check_against_journal(folder.file("main-0", 0, PART), folder.file("main-0", 0, JOURNAL))


def test_a_part_that_reads_back_wrong_is_never_named(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", batches=20, rows=20)
    before = transcript(folder.path)
    with pytest.raises(CorruptPartError):
        seal(folder, "main-0", 0, files=FlippingFiles())
    assert [file.suffix for file in folder.files("main-0")] == [JOURNAL]
    assert transcript(folder.path) == before


def test_no_room_for_a_part_leaves_the_journal_alone(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r")
    with pytest.raises(DiskFullError, match="no space left"):
        seal(folder, "main-0", 0, files=FullFiles())
    assert [file.suffix for file in folder.files("main-0")] == [JOURNAL]


def test_a_difference_is_found_wherever_it_is(tmp_path: Path) -> None:
    one = journal_folder(tmp_path / "one", batches=5, rows=4)
    other = journal_folder(tmp_path / "other", batches=4, rows=4)
    seal(one, "main-0", 0)
    part, longer = one.file("main-0", 0, PART), one.file("main-0", 0, JOURNAL)
    shorter = other.file("main-0", 0, JOURNAL)
    assert sealer.compare(part, longer) == ""
    assert "more than 16 rows" in sealer.compare(part, shorter)
    changed = journal_folder(tmp_path / "changed", batches=5, rows=4, seed=2).file("main-0", 0, JOURNAL)
    assert "a difference within" in sealer.compare(part, changed)


def test_a_summary_counts_rows_once_whether_sealed_or_not(tmp_path: Path) -> None:
    folder = journal_folder(tmp_path / "r", connections=["a", "b"])
    before = summarize(folder.path)
    seal(folder, "a", 0)  # not listed yet, its journal still there
    after = summarize(folder.path)
    assert (before.rows, before.parts, after.rows, after.parts) == (40, 0, 40, 1)
    assert [connection.frames for connection in before.connections] == [c.frames for c in after.connections]
    assert after.span_s == pytest.approx(19e-6)
