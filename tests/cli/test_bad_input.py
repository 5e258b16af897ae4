"""Bad input gives one line that says what, where and what to do, and leaves nothing half-written."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from kiterec.cli import VERBS
from tests.cli.commands import SECRETS, kiterec, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., tuple[int, str, str]]


def refused(outcome: tuple[int, str, str], *, code: int, says: str) -> str:
    """Check that a command printed one line and no data; gives the line."""
    found, out, err = outcome
    lines = [line for line in err.splitlines() if " INFO " not in line]
    assert found == code, err
    assert not out
    assert len(lines) == 1, err
    assert lines[0].startswith("kiterec: ")
    assert says in lines[0]
    return lines[0]


def nothing_in(folder: Path) -> bool:
    return not any(folder.rglob("*"))


def test_a_missing_account_is_named_with_how_to_give_it(run: Run, tmp_path: Path) -> None:
    line = refused(run("record", "--instruments", "408065"), code=2, says="KITE_ACCESS_TOKEN")
    assert "kiterec.toml" in line
    assert nothing_in(tmp_path)


def test_half_an_account_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITE_API_KEY", SECRETS["KITE_API_KEY"])
    line = refused(run("record", "--instruments", "408065"), code=2, says="KITE_ACCESS_TOKEN is not")
    assert SECRETS["KITE_API_KEY"] not in line


def test_an_expired_access_token_ends_with_a_plain_reason_and_leaves_nothing(tmp_path: Path) -> None:
    simulate = ("simulate", "--port", "0", "--instruments", "10", "--check-credentials")
    with running(*simulate, **SECRETS) as server:
        url = server.wait_for(r"ws://127\.0\.0\.1:\d+")[0]
        stale = SECRETS | {"KITE_ACCESS_TOKEN": "yesterdays-token"}
        done = kiterec(
            "-v", "record", "--url", url, "--instruments", "408065", "--out", tmp_path / "out", **stale
        )
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("kiterec: ")
    assert "403" in last
    assert not done.stdout
    assert not (tmp_path / "out").exists() or nothing_in(tmp_path / "out")
    assert "yesterdays-token" not in done.stderr
    assert SECRETS["KITE_API_KEY"] not in done.stderr


def test_an_unknown_symbol_is_named_with_the_nearest_one(run: Run, exchange: str, tmp_path: Path) -> None:
    outcome = run("record", "--url", exchange, "--instruments", "NSE:INFYY", "--out", "out")
    line = refused(outcome, code=2, says="NSE:INFYY")
    assert "NSE:INFY?" in line or "NSE:INFY," in line
    assert nothing_in(tmp_path)


def test_a_dump_with_missing_columns_names_them(run: Run, exchange: str, tmp_path: Path) -> None:
    dump = tmp_path / "dump.csv"
    dump.write_text("instrument_token,tradingsymbol\n408065,INFY\n")
    words = ("--instruments", "all", "--instrument-dump", dump, "--out", "out")
    line = refused(run("record", "--url", exchange, *words), code=2, says="exchange_token")
    assert str(dump) in line
    assert not (tmp_path / "out").exists()


def test_a_list_of_instruments_with_missing_columns_names_them(
    run: Run, exchange: str, tmp_path: Path
) -> None:
    listed = tmp_path / "mine.csv"
    listed.write_text("symbol\nINFY\n")
    outcome = run("record", "--url", exchange, "--instruments", f"@{listed}", "--out", "out")
    refused(outcome, code=2, says="instrument_token")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(run: Run, exchange: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "recordings"
    outcome = run("record", "--url", exchange, "--instruments", "408065", "--out", out)
    refused(outcome, code=2, says=str(out))
    assert (tmp_path / "file").read_text() == ""


def test_a_port_in_use_is_named(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(run("simulate", "--port", str(port)), code=1, says=f"port {port} of 127.0.0.1 is in use")


READERS = [
    ("info",), ("ticks",), ("ticks", "--cache", "ticks.parquet"), ("candles",), ("report",),
    ("verify",), ("replay",),
    ("cut", "-o", "out"), ("export", "-o", "ticks.csv"), ("merge", "other", "-o", "out"),
]  # fmt: skip


@pytest.mark.parametrize("words", READERS)
def test_a_path_where_no_recording_is_ends_with_2_and_the_same_sentence_in_all_verbs(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (stranger := tmp_path / "notes.txt").write_text("buy low")
    (empty := tmp_path / "empty").mkdir()
    verb, *rest = words
    refused(
        run(verb, tmp_path / "nowhere", *rest), code=2, says=f"{tmp_path / 'nowhere'} does not exist; `kite"
    )
    refused(
        run(verb, stranger, *rest), code=2, says=f"{stranger} is no recording but a file; give the folder"
    )
    refused(run(verb, empty, *rest), code=2, says=f"{empty} is no recording: it has no recording.json")
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "empty"}


@pytest.mark.parametrize("words", READERS)
def test_a_folder_of_recordings_is_no_recording_and_one_is_named(
    run: Run, recording: Path, words: tuple[str, ...]
) -> None:
    verb, *rest = words
    line = refused(run(verb, recording.parents[1], *rest), code=2, says="such as")
    assert str(recording) in line


@pytest.mark.parametrize("verb", ["ls", "prune", "recover"])
def test_a_folder_that_does_not_exist_ends_with_2(run: Run, verb: str) -> None:
    refused(run(verb, "nowhere"), code=2, says="nowhere does not exist")


def test_a_connection_that_is_not_there_is_named_with_those_that_are(run: Run, recording: Path) -> None:
    code, out, err = run("cut", recording, "--connections", "main-0,main-7", "-o", "out")
    assert (code, out) == (2, "")
    assert "no connection 'main-7'; it has main-0, main-1, main-2" in " ".join(err.split())


@pytest.mark.parametrize("verb", ["ticks", "candles", "report"])
def test_an_unknown_symbol_ends_with_2_in_all_verbs(run: Run, recording: Path, verb: str) -> None:
    refused(run(verb, recording, "--instruments", "NSE:NOBODY"), code=2, says="NSE:NOBODY")


def test_a_label_that_cannot_name_a_folder_is_called_a_label(run: Run, exchange: str, tmp_path: Path) -> None:
    words = ("--instruments", "NSE:INFY", "--label", "my label/x", "--out", "out")
    refused(run("record", "--url", exchange, *words), code=2, says="label 'my label/x' cannot name a folder")
    assert nothing_in(tmp_path)


@pytest.mark.parametrize("verb", ["info", "ticks", "replay"])
def test_a_recording_of_a_newer_format_is_refused(run: Run, tmp_path: Path, verb: str) -> None:
    (tmp_path / "recording.json").write_text(json.dumps({"format": 99}))
    line = refused(run(verb, tmp_path), code=1, says="format 99")
    assert "upgrade" in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("record", "--instruments", "1", "--duration", "soon"), "'soon' is no duration"),
        (("record", "--instruments", "1", "--until", "noon"), "'noon' is no time"),
        (("record", "--instruments", "1", "--part-size", "big"), "'big' is no size"),
        (("record", "--instruments", "1", "--mode", "everything"), "'everything'"),
        (("record",), "--instruments"),
        (("replay", "x", "--speed", "0"), "'0' is no speed"),
        (("simulate", "--port", "99999"), "99999"),
        (("simulate", "--start", "later"), "'later' is no start"),
        (("ticks",), "RECORDING"),
        (("ticks", "x", "--csv", "--json"), "exclude each other"),
        (("recrod",), "did you mean record?"),
        (("frobnicate",), "the verbs are"),
    ],
)
def test_wrong_usage_ends_with_code_2_and_says_what(run: Run, words: tuple[str, ...], says: str) -> None:
    code, out, err = run(*words)
    assert code == 2
    assert not out
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--url", "http://127.0.0.1"), "ws://"),
        (("--url", "ws://user:pass@127.0.0.1"), "credentials"),
        (("--duration", "0"), "duration"),
        (("--until", "2020-01-01T09:15"), "is over"),
        (("--flush-interval", "0"), "flush_interval_s"),
        (("--config", "missing.toml"), "missing.toml"),
        (("--plugin", "nobody"), "nobody"),
    ],
)
def test_an_impossible_setting_is_refused_before_anything_starts(
    run: Run, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    url = () if "--url" in words else ("--url", "ws://127.0.0.1:1")
    code, out, err = run("record", *url, "--instruments", "408065", *words)
    assert code == 2, err
    assert not out
    assert len(err.splitlines()) == 1, err
    assert says in err
    assert "pass" not in err
    assert nothing_in(tmp_path)


def test_an_error_that_nobody_expected_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    import kiterec.plugins
    from kiterec.cli import main

    monkeypatch.setattr(kiterec.plugins, "describe_plugins", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["plugins"])


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(run: Run, verb: str) -> None:
    code, out, err = run(verb, "--help")
    assert code == 0, err
    assert out.startswith(f"Usage: kiterec {verb}")
    assert max(map(len, out.splitlines())) <= 100


def test_help_names_every_verb_with_a_whole_sentence(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    for verb in VERBS:
        (line,) = (line for line in out.splitlines() if line.startswith(f"  {verb} "))
        assert line.endswith(".")
        assert not line.endswith("...")
