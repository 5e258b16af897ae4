"""`kiterec ticks --cache` keeps a sorted file up to date."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import kiterec
from kiterec.ticks.cache import scan_cache

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]

FIXTURE = next((Path(__file__).parents[1] / "fixtures" / "recordings").glob("date=*/recording=*"))


def test_the_cache_is_written_once(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "ticks.parquet"
    for _ in range(2):
        code, out, _ = run("ticks", FIXTURE, "--cache", target)
        assert (code, out.split(",")[0:2]) == (0, [f"{target}: 4", "553 ticks"])
        inode = target.stat().st_ino
    assert run("ticks", FIXTURE, "--cache", target)[0] == 0
    assert target.stat().st_ino == inode
    assert scan_cache(target).collect().height == kiterec.open(FIXTURE).info().summary.ticks


def test_without_a_file_it_is_the_recordings_own(run: Run, tmp_path: Path) -> None:
    recording = tmp_path / "recording"
    shutil.copytree(FIXTURE, recording)
    code, out, _ = run("ticks", recording, "--cache")
    assert (code, out.partition(":")[0]) == (0, str(recording / "ticks.parquet"))
    assert "with its cache" in kiterec.open(recording).ticks(["NSE:INFY"]).explain()
    assert run("verify", recording)[0] == 0


def test_the_cache_is_of_one_whole_recording(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "ticks.parquet"
    for words in ((FIXTURE,), ("--json",), ("--instruments", "NSE:INFY"), ("--from", "10:00")):
        code, _, told = run("ticks", FIXTURE, *words, "--cache", target)
        assert (code, target.exists()) == (2, False)
        assert "--cache takes all ticks of one recording" in " ".join(told.split())
    code, _, told = run("ticks", FIXTURE, "--cache", tmp_path / "nowhere" / "ticks.parquet")
    assert code == 1
    assert "cannot write" in told
