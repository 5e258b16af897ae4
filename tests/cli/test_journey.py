"""The commands, started as a user starts them: demo, simulate, record, info, ticks, replay."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import DEADLINE_S, SECRETS, environment, kiterec, running

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]


def test_the_demo_prints_where_how_much_and_last_prices(
    demo: subprocess.CompletedProcess[str], recording: Path
) -> None:
    manifest = json.loads((recording / "recording.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["connections"] == ["main-0", "main-1", "main-2"]
    total = next(line for line in demo.stdout.splitlines() if line.startswith("all "))
    frames = sum(part["counts"]["frames"] for part in manifest["parts"])
    assert f" {frames:,} " in total
    assert frames > 0
    prices = demo.stdout.partition("last prices\n")[2].partition("\n\n")[0].splitlines()[1:]
    assert len(prices) == 8
    for line in prices:
        assert re.search(r"[A-Z]+:.* [\d,]+\.\d\d.* \d\d:\d\d:\d\d\.\d{3}", line), line


def test_what_the_demo_proposes_works_when_it_is_pasted(
    demo: subprocess.CompletedProcess[str], folder: Path
) -> None:
    proposed = [line.strip() for line in demo.stdout.partition("try next\n")[2].splitlines()]
    assert len(proposed) == 3
    for line in proposed[:2]:
        done = subprocess.run(
            ["/bin/sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S,
            env=environment(), check=False,
        )  # fmt: skip
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout
    words = shlex.split(proposed[2])
    replay = words[words.index("replay") :]
    with running("replay", folder / replay[1], *replay[2:], "--port", "0") as server:
        server.wait_for(r"ws://127\.0\.0\.1:\d+")
        code, out, _ = server.stop()
    assert code == 0
    assert not out


def test_the_demo_tells_its_story_in_under_20_lines(demo: subprocess.CompletedProcess[str]) -> None:
    assert 3 < demo.stderr.count(" INFO ") < 20
    assert "Traceback" not in demo.stderr


def test_info_shows_text_or_json(run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kiterec.cli.tables.room", lambda: 80)
    code, text, err = run("info", recording)
    assert code == 0
    assert err.startswith("no room for ")
    assert "complete" in text
    assert "main-2" in text
    assert max(map(len, text.splitlines()[1:])) <= 80
    code, out, err = run("info", recording, "--json")
    assert (code, err) == (0, "")
    info = json.loads(out)
    assert info["status"] == "complete"
    assert info["instruments"] == 300
    assert info["summary"]["gaps"] == 0
    assert len(info["summary"]["connections"]) == 3


def test_info_takes_several_recordings(run: Run, recording: Path) -> None:
    code, out, _ = run("info", recording, recording, "--json")
    assert code == 0
    assert len(json.loads(out)) == 2


def test_ticks_as_a_table_fit_the_terminal_with_names_and_indian_times(
    run: Run, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width in (60, 80, 200):
        monkeypatch.setattr("kiterec.cli.tables.room", lambda width=width: width)
        code, out, err = run("ticks", recording, "--limit", "4", "--instruments", "NSE:INFY,265")
        assert code == 0
        assert ("no room for" in err) == (width < 200)
        head, *rows = out.splitlines()
        assert head.startswith("time (IST)")
        assert len(rows) == 4
        assert all(re.match(r"\d\d:\d\d:\d\d\.\d{3}  (NSE:INFY|BSE:SENSEX)", row) for row in rows), out
        assert max(map(len, out.splitlines())) <= width
    assert "connection" in head


def test_the_last_ticks_are_the_last_and_the_first_the_first(run: Run, recording: Path) -> None:
    every = json.loads(run("ticks", recording, "--limit", "0", "--json")[1])
    order = [(tick["seq"], tick["packet"]) for tick in every]
    assert order == sorted(order)
    assert len(every) > 10
    assert json.loads(run("ticks", recording, "--limit", "5", "--json")[1]) == every[-5:]
    assert json.loads(run("ticks", recording, "--limit", "5", "--first", "--json")[1]) == every[:5]


def test_ticks_as_csv_have_every_column_and_the_depth_level_by_level(run: Run, recording: Path) -> None:
    code, out, _ = run("ticks", recording, "--limit", "9", "--instruments", "NSE:INFY", "--csv")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(out)))
    found = json.loads(run("ticks", recording, "--limit", "9", "--instruments", "NSE:INFY", "--json")[1])
    assert len(rows) == len(found) > 0
    for row, tick in zip(rows, found, strict=True):
        assert row["symbol"] == tick["symbol"] == "NSE:INFY"
        assert float(row["last_price"]) == tick["last_price"]
        assert [float(row[f"buy_price_{level}"]) for level in range(5)] == tick["buy_price"]
        assert row["received_at"] == tick["received_at"]
        assert row["received_at"].endswith("Z")


def test_ticks_of_a_span_are_received_in_it(run: Run, recording: Path) -> None:
    every = json.loads(run("ticks", recording, "--limit", "0", "--json")[1])
    begin, end = every[len(every) // 3]["received_at"], every[-1]["received_at"]
    # Python reads microseconds, and the recording has nanoseconds.
    begin, end = (f"{text[:26]}Z" for text in (begin, end))
    span = json.loads(run("ticks", recording, "--limit", "0", "--from", begin, "--to", end, "--json")[1])
    assert span == [tick for tick in every if begin[:26] <= tick["received_at"][:26] < end[:26]]
    assert 0 < len(span) < len(every)


def test_plugins_lists_the_built_in_one(run: Run) -> None:
    code, out, _ = run("plugins")
    assert code == 0
    assert "last_prices" in out
    code, out, _ = run("plugins", "--json")
    assert "last_prices" in [plugin["name"] for plugin in json.loads(out)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_recording_cleanly(exchange: str, tmp_path: Path, how: signal.Signals) -> None:
    words = ("--instruments", "NSE:INFY,NFO:*", "--connections", "2", "--out", tmp_path, "--json")
    with running("-v", "record", "--url", exchange, *words, **SECRETS) as recorder:
        recorder.wait_for(r"(?s)main-0 connected.*main-1 connected|main-1 connected.*main-0 connected")
        code, out, err = recorder.stop(how)
    assert code == 0, err
    result = json.loads(out)
    manifest = json.loads((Path(result["path"]) / "recording.json").read_text())
    assert manifest["status"] == result["summary"]["status"] == "complete"
    assert result["failure"] is None
    assert not list(Path(result["path"]).rglob("*.arrows"))
    everything = err + out + (Path(result["path"]) / "recording.json").read_text()
    for secret in SECRETS.values():
        assert secret not in everything


def test_record_shows_a_live_view_reports_in_words_and_keeps_the_dump(exchange: str, tmp_path: Path) -> None:
    words = ("--instruments", "all", "--duration", "1s", "--out", tmp_path, "--live")
    terminal = {"COLUMNS": "80", "FORCE_COLOR": "1", "TERM": "xterm"}
    done = kiterec("record", "--url", exchange, *words, **terminal)
    assert done.returncode == 0, done.stderr
    path = Path(done.stdout.splitlines()[0])
    assert path.is_relative_to(tmp_path)
    assert (path / "instruments.parquet").is_file()
    assert "main-2" in done.stdout
    assert "frames/s" in done.stderr
    assert re.search(r"main-2 +\w+ ", done.stderr)
    assert done.stderr.count(" INFO ") < 20


def test_a_replay_at_full_speed_can_be_recorded_and_ends_by_itself(recording: Path, tmp_path: Path) -> None:
    words = ("--port", "0", "--speed", "max", "--exact")
    with running("replay", recording, *words) as server:
        url = server.wait_for(r"ws://127\.0\.0\.1:\d+")[0]
        record = server.wait_for(r"kiterec (record --url .*)")[1]
        assert url in record
        with running(*shlex.split(record), "--out", tmp_path, "--json") as recorder:
            assert server.process.wait(DEADLINE_S) == 0
            _, out, _ = recorder.stop()
    again = json.loads(out)["summary"]
    manifest = json.loads((recording / "recording.json").read_text())
    for name in ("frames", "ticks"):
        assert again[name] == sum(part["counts"][name] for part in manifest["parts"])


def test_a_replay_stays_with_heartbeats_so_that_recording_it_misses_nothing(
    run: Run, recording: Path, tmp_path: Path
) -> None:
    with running("replay", recording, "--port", "0", "--speed", "max") as server:
        url = server.wait_for(r"ws://127\.0\.0\.1:\d+")[0]
        words = ("--instruments", "NSE:INFY", "--mode", "quote", "--connections", "1", "--out", tmp_path)
        with running("record", "--url", url, *words) as recorder:
            server.wait_for("all is sent")
            code, out, err = recorder.stop()
        assert (code, server.stop()[0]) == (0, 0), err
    ticks = json.loads(run("ticks", out.splitlines()[0], "--json")[1])
    assert {tick["mode"] for tick in ticks} == {"quote"}


def test_help_and_completion_are_fast_and_load_no_tables() -> None:
    code = (
        "import sys; from kiterec.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'polars', 'pyarrow', 'numpy', 'websockets', 'rich', 'pluggy'} & set(sys.modules)\n"
        "sys.exit(str(sorted(heavy)) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "_KITEREC_COMPLETE=bash_source" in done.stdout


def test_the_shell_completes_verbs_and_options() -> None:
    env = {"_KITEREC_COMPLETE": "bash_complete", "COMP_WORDS": "kiterec sim", "COMP_CWORD": "1"}
    done = kiterec(**env)
    assert done.stdout.split() == ["plain,simulate"]
