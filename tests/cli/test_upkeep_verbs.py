"""The verbs that look after recordings."""

from __future__ import annotations

import io
import json
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import kiterec, running

if TYPE_CHECKING:
    from collections.abc import Callable

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
    for verb, place in (("ls", killed), ("info", entry["path"])):
        code, out, err = run(verb, place)
        assert code == 0
        assert " unfinished " in out or "\nunfinished, " in out
        assert f"recover {entry['path']}" in err

    assert "would be recovered" in run("recover", killed, "--dry-run")[1]
    assert json.loads(run("ls", killed, "--json")[1]) == [entry]
    code, out, _ = run("recover", killed, "--json")
    assert code == 0
    assert [report["status"] for report in json.loads(out)] == ["recovered"]
    assert "nothing" in run("recover", killed)[2]
    (now,) = json.loads(run("ls", killed, "--json")[1])
    assert (now["status"], now["ticks"]) == ("recovered", entry["ticks"])
    assert json.loads(run("ticks", entry["path"], "--limit", "0", "--json")[1]) == ticks


def test_ls_shows_what_fits_the_terminal_and_names_what_does_not(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run("ls", recording.parents[1])
    assert (code, err) == (0, "")
    head, row = out.splitlines()
    assert head.startswith("recording  ")
    assert row.startswith("date=")
    assert head.split()[-4:] == ["connections", "frames", "ticks", "size"]
    monkeypatch.setattr("kiterec.cli.tables.room", lambda: 60)
    code, out, err = run("ls", recording.parents[1])
    assert code == 0
    assert max(map(len, out.splitlines())) <= 60
    assert err.startswith("no room for ")
    shown = out.splitlines()[0]
    for title in ("begin (IST)", "instruments", "connections", "frames", "ticks", "size"):
        assert (title in shown) != (title in err), title


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
    assert err.startswith("kiterec: recordings does not exist; give the folder")


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


def test_info_says_in_words_what_a_recording_was_made_from(run: Run, recording: Path, tmp_path: Path) -> None:
    words = (
        "--from",
        "00:00",
        "--instruments",
        "NSE:INFY",
        "--connections",
        "main-0,main-1,main-2",
        "-o",
        "one",
    )
    assert run("cut", recording, *words)[0] == 0
    (line,) = (line for line in run("info", "one")[1].splitlines() if "made from" in line)
    assert f"cut of {recording.name}, from " in line
    assert line.endswith(" IST, connections main-0, main-1, main-2, 1 instrument")
    assert run("merge", recording, "one", "--dedupe", "-o", "both")[0] == 0
    (line,) = (line for line in run("info", "both")[1].splitlines() if "made from" in line)
    assert f"merge of {recording.name}, one, equal packets once" in line


@pytest.mark.parametrize("verb", ["ticks", "candles"])
def test_a_span_outside_of_the_recording_is_told_with_what_there_is(
    run: Run, recording: Path, verb: str
) -> None:
    for span in (("--to", "2020-01-01T09:15"), ("--from", "2099-01-01T09:15")):
        code, out, err = run(verb, recording, *span, "--json")
        assert (code, out) == (0, "[]\n")
        assert re.search(r"nothing was received .* has \d{4}-\d\d-\d\d .* to .* IST", err), err
    assert run(verb, recording, "--from", "2020-01-01T09:15", "--json")[2] == ""
    code, out, err = run(verb, recording, "--from", "10:00", "--to", "09:00")
    assert (code, out) == (2, "")
    assert "'10:00' is not before --to '09:00'" in " ".join(err.split())


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
    assert code == 0
    assert "nothing was received" in err
    assert json.loads(out)["rows"] == 0
    code, _, err = run(*words, tmp_path / "more.csv")
    assert code == 2
    assert "one file" in err


def test_export_takes_its_file_as_cut_and_merge_do_and_to_is_then_a_time(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    words = ("export", recording, "-o", tmp_path / "ticks.parquet")
    code, out, err = run(*words, "--to", "23:59:59.999", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["rows"] == json.loads(run("info", recording, "--json")[1])["summary"]["ticks"]
    code, _, err = run(*words)
    assert code == 2
    assert "--overwrite" in err
    code, _, err = run(*words, "--to", "noon", "--overwrite")
    assert code == 2
    assert "'noon' is no time" in err
    assert run(*words, "--overwrite")[0] == 0
    assert run("export", recording)[0] == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--to", "ticks.xls"), "ends with no known format"),
        (("--out", "ticks"), "name one with --format"),
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


def test_info_says_all_that_a_recording_holds(run: Run, recording: Path, tmp_path: Path) -> None:
    code, out, err = run("info", recording, "--json", "--top", "3")
    assert (code, err) == (0, "")
    told = json.loads(out)
    held = told["contents"]
    assert sum(one["packets"] for one in held["packets"]) == told["summary"]["ticks"]
    assert len(held["top"]) == 3
    assert {one["connection"]: one["epoch_count"] for one in held["connections"]} == {
        "main-0": 1,
        "main-1": 1,
        "main-2": 1,
    }
    assert told["limits"]["flush_interval_s"] == 0.1
    assert told["latencies"]["flush"]["p99_ms"] > 0
    assert (
        sum(told["kinds"].values())
        == told["summary"]["rows"]
        == sum(p["counts"]["rows"] for p in told["parts"])
    )
    code, out, err = run("info", recording)
    assert (code, err) == (0, "")
    for word in ("limits", "flush", "fsync", "p99", "epoch", "length", "184", "busiest", "clock: "):
        assert word in out
    code, out, _ = run("info", recording, "--quick", "--json")
    assert (code, json.loads(out)["contents"]) == (0, None)


def test_info_of_a_damaged_recording_says_what_its_manifest_says(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(recording, tmp_path / "copy"))
    part = next(copy.rglob("part-*.parquet"))
    part.write_bytes(part.read_bytes()[:100] + b"\xff" + part.read_bytes()[101:])
    code, out, err = run("info", copy)
    assert code == 3
    assert "complete" in out
    assert err.startswith("kiterec: ")
    assert err.count("\n") == 1
    assert part.name in err


def test_a_dash_takes_names_of_recordings_from_stdin(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{recording}\n\n{recording}\n".encode())))
    code, out, _ = run("verify", "-", "--json")
    assert (code, len(json.loads(out))) == (0, 2)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    code, out, err = run("info", "-")
    assert (code, out) == (2, "")
    assert "stdin has no name" in err


def test_verbs_that_only_read_take_a_url_and_the_others_say_what_they_take(run: Run, recording: Path) -> None:
    url = recording.resolve().as_uri()
    for verb in (("info",), ("ticks", "--limit", "1"), ("candles",), ("export", "-o", "-")):
        code, out, err = run(verb[0], url, *verb[1:])
        assert (code, err) == (0, ""), err
        assert out
    for verb in ("verify", "recover", "prune", "ls"):
        code, out, err = run(verb, url)
        assert (code, out) == (2, "")
        assert "copy the recording there first" in err
