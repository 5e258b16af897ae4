"""The verbs that look after recordings."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def killed(exchange: str, tmp_path: Path) -> Path:
    """Give the folder of a recording whose recorder was killed when some frames had been written."""
    words = ("--instruments", "all", "--connections", "1", "--out", tmp_path / "out")
    with running("record", "--url", exchange, *words) as recorder:
        recorder.wait_for("main-0 connected")
        recorder.wait_until(
            lambda: any(path.stat().st_size > 20_000 for path in (tmp_path / "out").rglob("*.arrows")),
            "journal of 20 kB",
        )
        recorder.stop(signal.SIGKILL)
    return tmp_path / "out"


def test_a_killed_recording_is_readable_listed_and_recovered_once(run: Run, killed: Path) -> None:
    (entry,) = json.loads(run("ls", killed, "--json")[1])
    assert entry["state"] == "recording"
    assert entry["ticks"] > 0
    code, out, _ = run("info", entry["path"], "--json")
    assert code == 0
    assert json.loads(out)["summary"]["ticks"] == entry["ticks"]
    ticks = json.loads(run("ticks", entry["path"], "--limit", "0", "--json")[1])
    assert len(ticks) == entry["ticks"]

    assert "would be recovered" in run("recover", killed, "--dry-run")[1]
    assert json.loads(run("ls", killed, "--json")[1]) == [entry]
    code, out, _ = run("recover", killed, "--json")
    assert code == 0
    assert [report["status"] for report in json.loads(out)] == ["recovered"]
    assert "nothing" in run("recover", killed)[2]
    (now,) = json.loads(run("ls", killed, "--json")[1])
    assert (now["state"], now["ticks"]) == ("recovered", entry["ticks"])
    assert json.loads(run("ticks", entry["path"], "--limit", "0", "--json")[1]) == ticks


def test_ls_shows_what_fits_the_terminal(run: Run, killed: Path) -> None:
    code, out, _ = run("ls", killed)
    assert code == 0
    head, row = out.splitlines()
    assert head.startswith("recording  ")
    assert row.startswith("date=")
    assert max(len(head), len(row)) <= 80


def test_ls_names_a_recording_that_it_cannot_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recording.json").write_text("{")
    code, out, err = run("ls", tmp_path)
    assert code == 3
    assert not out
    assert err.startswith("kiterec: ")
    assert "broken" in err


def test_ls_of_no_folder_says_so(run: Run) -> None:
    code, out, err = run("ls")
    assert (code, out) == (2, "")
    assert err.startswith("kiterec: recordings is no folder")


def test_an_empty_folder_has_no_recordings(run: Run, tmp_path: Path) -> None:
    code, out, err = run("ls", tmp_path, "--json")
    assert (code, out) == (0, "[]\n")
    assert "no recording in" in err
