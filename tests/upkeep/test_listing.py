"""list_recordings says what each manifest says, and what is wrong where one cannot be read."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import msgspec

from kiterec.clock import NS_PER_S
from kiterec.simulate.market import VIRTUAL_START
from kiterec.store.manifest import MANIFEST_NAME, Status
from kiterec.store.writer import RecordingWriter
from kiterec.upkeep import cut, list_recordings
from tests.store.recordings import journal_folder
from tests.upkeep.market_recordings import HostClock, instant, options, packets

if TYPE_CHECKING:
    from pathlib import Path


def test_a_finished_recording_is_described_by_its_manifest_alone(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "date=2026-01-05" / "recording=100000-test"
    path.mkdir(parents=True)
    shutil.copy(whole / MANIFEST_NAME, path)
    (listing,) = list_recordings(tmp_path)
    assert listing.problem is None
    assert (listing.path, listing.label, listing.date) == (str(path), "test", "2026-01-05")
    assert (listing.status, listing.is_being_written) == (Status.COMPLETE, False)
    assert listing.connections == 2
    assert listing.ticks == len(packets(whole))
    assert listing.begin_ns is not None
    assert 0 < listing.begin_ns - VIRTUAL_START < NS_PER_S
    assert listing.span_s is not None
    assert 9 < listing.span_s < 10
    assert listing.bytes == (path / MANIFEST_NAME).stat().st_size
    assert json.loads(msgspec.json.encode(listing))["status"] == "complete"


def test_the_size_is_that_of_all_files(whole: Path) -> None:
    (listing,) = list_recordings(whole)
    assert listing.bytes == sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())


def test_a_cut_knows_how_many_instruments_it_has(whole: Path, tmp_path: Path) -> None:
    cut(whole, tmp_path / "out", instruments=["NSE:INFY", "NSE:TCS"], begin=instant(2))
    (listing,) = list_recordings(tmp_path)
    assert listing.instruments == 2


def test_an_unfinished_recording_is_counted_from_its_journals(tmp_path: Path) -> None:
    journal_folder(tmp_path / "killed")
    (listing,) = list_recordings(tmp_path)
    assert (listing.status, listing.is_being_written) == (Status.RECORDING, False)
    assert listing.frames > 0
    assert listing.end_ns is not None


def test_a_recording_that_is_being_written_says_so(tmp_path: Path) -> None:
    writer = RecordingWriter.create(
        tmp_path,
        label="live",
        accounts=["main"],
        connections=["main-0"],
        options=options(),
        clock=HostClock(),
    )
    try:
        (listing,) = list_recordings(tmp_path)
        assert listing.is_being_written
        assert (listing.begin_ns, listing.span_s, listing.date) == (None, None, "2026-01-05")
    finally:
        writer.close()


def test_a_recording_that_cannot_be_read_has_a_problem_and_hides_no_other(
    whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / MANIFEST_NAME).write_text("{")
    good, bad = list_recordings(tmp_path)
    assert good.problem is None
    assert bad.status is None
    assert bad.problem is not None
    assert "is no manifest" in bad.problem


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert list_recordings(tmp_path) == []
