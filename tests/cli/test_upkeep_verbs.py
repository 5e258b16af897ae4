"""The verbs that look after recordings."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import kiterec, running

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
    assert entry["status"] == "recording"
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
    assert (now["status"], now["ticks"]) == ("recovered", entry["ticks"])
    assert json.loads(run("ticks", entry["path"], "--limit", "0", "--json")[1]) == ticks


def test_ls_shows_what_fits_the_terminal(run: Run, recording: Path) -> None:
    code, out, _ = run("ls", recording.parents[1])
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
    assert "unreadable" in out
    assert err.startswith("kiterec: ")
    assert "broken" in err


def test_ls_of_no_folder_says_so(run: Run) -> None:
    code, out, err = run("ls")
    assert (code, out) == (2, "")
    assert err.startswith("kiterec: recordings is no folder")


def test_an_empty_folder_has_no_recordings(run: Run, tmp_path: Path) -> None:
    assert run("ls", tmp_path, "--json") == (0, "[]\n", "")
    code, out, err = run("ls", tmp_path)
    assert (code, out) == (0, "")
    assert "no recording in" in err


def test_verify_says_that_a_whole_recording_is_clean(run: Run, recording: Path) -> None:
    code, out, err = run("verify", recording)
    assert (code, err) == (0, "")
    assert out.startswith(f"{recording}: clean (complete)\n")
    findings = json.loads(run("verify", recording, "--json")[1])
    assert findings["error_count"] == 0
    assert findings["packets"] == json.loads(run("info", recording, "--json")[1])["summary"]["ticks"]


def test_verify_names_the_file_of_a_flipped_byte_and_ends_with_3(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(recording, copy)
    part = copy / "connection=main-0" / "part-00000.parquet"
    damaged = bytearray(part.read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    part.write_bytes(damaged)
    code, out, err = run("verify", copy)
    assert (code, err) == (3, "")
    assert "error: connection=main-0/part-00000.parquet" in out


@pytest.mark.parametrize("name", ["nowhere", "notes.txt"])
def test_verify_of_no_recording_is_one_line(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "notes.txt").write_text("buy low")
    code, out, err = run("verify", tmp_path / name)
    assert (code, out) == (1, "")
    assert err.startswith("kiterec: ")
    assert name in err


def test_cut_makes_a_smaller_recording_and_refuses_to_overwrite(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    out = tmp_path / "smaller"
    words = ("cut", recording, "--instruments", "NSE:INFY,256265", "-o", out)
    code, text, err = run(*words)
    assert code == 0, err
    assert text.startswith(f"{out}\n")
    ticks = json.loads(run("ticks", out, "--limit", "0", "--json")[1])
    assert {tick["symbol"] for tick in ticks} == {"NSE:INFY", "NSE:NIFTY 50"}
    assert run("verify", out)[0] == 0
    code, text, err = run(*words)
    assert (code, text) == (2, "")
    assert err.startswith("kiterec: ")
    assert "exists" in err


def test_cut_of_a_time_that_is_none_is_wrong_usage(run: Run, recording: Path, tmp_path: Path) -> None:
    code, out, err = run("cut", recording, "--from", "noon", "-o", tmp_path / "out")
    assert (code, out) == (2, "")
    assert "'noon' is no time" in err
    assert not (tmp_path / "out").exists()


def test_merge_makes_one_recording_and_says_what_became_of_each(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(recording, copy)
    code, out, err = run("merge", recording, copy, "--dedupe", "-o", tmp_path / "both", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["inputs"][1]["twins"] == report["inputs"][1]["packets"] > 0
    assert run("verify", tmp_path / "both")[0] == 0
    code, out, err = run("merge", recording, copy, "-o", tmp_path / "all")
    assert (code, err) == (0, "")
    assert out.startswith(f"{tmp_path / 'all'}\n")


def test_prune_plans_first_and_deletes_only_with_yes(run: Run, recording: Path, tmp_path: Path) -> None:
    copy = tmp_path / "all" / "date=2026-01-05" / "recording=1"
    shutil.copytree(recording, copy)
    code, out, err = run("prune", tmp_path / "all", "--older-than", "0s")
    assert code == 0
    assert out.startswith(f"would delete {copy}")
    assert "--yes deletes" in err
    assert copy.is_dir()
    assert json.loads(run("prune", tmp_path / "all", "--max-size", "1TB", "--json")[1])["remove"] == []
    code, out, _ = run("prune", tmp_path / "all", "--older-than", "0s", "--yes")
    assert (code, out) == (0, f"deleted {copy}\n")
    assert not copy.exists()


def test_prune_without_a_limit_is_refused(run: Run, tmp_path: Path) -> None:
    code, out, err = run("prune", tmp_path)
    assert (code, out) == (2, "")
    assert "an age, a size" in err


def test_export_writes_what_ticks_shows(run: Run, recording: Path, tmp_path: Path) -> None:
    file = tmp_path / "ticks.csv"
    code, out, err = run("export", recording, "--to", file, "--columns", "symbol,seq,last_price")
    assert (code, err) == (0, "")
    assert out.startswith(f"{file}: ")
    every = json.loads(run("ticks", recording, "--limit", "0", "--json")[1])
    rows = [line.split(",") for line in file.read_text().splitlines()[1:]]
    assert [(symbol, int(seq), float(last)) for symbol, seq, last in rows] == [
        (tick["symbol"], tick["seq"], tick["last_price"]) for tick in every
    ]
    done = kiterec("export", recording, "--to", "-", "--columns", "symbol,seq,last_price")
    assert (done.returncode, done.stdout) == (0, file.read_text())


def test_export_takes_a_file_and_a_time_for_to(run: Run, recording: Path, tmp_path: Path) -> None:
    words = ("export", recording, "--to", tmp_path / "ticks.parquet", "--to")
    code, out, err = run(*words, "2020-01-01T09:15", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["rows"] == 0
    code, _, err = run(*words, tmp_path / "more.csv")
    assert code == 2
    assert "one file" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--to", "ticks.xls"), "ends with no known format"),
        (("--to", "x.csv", "--columns", "bid"), "no column 'bid'"),
        (("--to", "x.csv", "--instruments", "NSE:NOBODY"), "NSE:NOBODY"),
        (("--to", "nowhere/x.csv"), "nowhere"),
    ],
)
def test_export_refuses_what_cannot_be_and_leaves_nothing(
    run: Run, recording: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    code, out, err = run("export", recording, *words)
    assert (code, out) == (2, ""), err
    assert says in err
    assert not any(tmp_path.iterdir())
