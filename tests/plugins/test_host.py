from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from kiterec.errors import PluginError
from kiterec.plugins import PluginHost
from kiterec.wire import Kind, Row
from tests.plugins import example_plugin
from tests.plugins.example_plugin import Diary, Stuck

HERE = "tests.plugins.example_plugin"
PATH = Path("somewhere")


def frame(number: int, size: int = 4) -> Row:
    return Row(number, number, Kind.BINARY, number.to_bytes(4) + bytes(size - 4))


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> Diary:
    found = Diary()
    monkeypatch.setattr(example_plugin, "diary", found)
    return found


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = Stuck()
    monkeypatch.setattr(example_plugin, "stuck", found, raising=False)
    yield found
    found.let_go.set()


def seqs(diary: Diary) -> list[int]:
    return [seq for call in diary.calls if call[0] == "frames" for seq in call[1].column("seq").to_pylist()]


def test_a_plugin_gets_every_row_once_in_order_between_start_and_stop(diary: Diary) -> None:
    host = PluginHost([f"{HERE}:diary"], batch_interval_s=0.001)
    host.start(PATH, ["main-0", "main-1"])
    gap = Row(5, 5, Kind.GAP, b"{}")
    for number in range(500):
        host.append("main-0", frame(number))
    host.append("main-1", gap)
    host.append("main-1", frame(501))
    host.stop(None, deadline_s=30)
    assert diary.calls[0] == ("started", PATH, ("main-0", "main-1"))
    assert diary.calls[-1] == ("stopped", None)
    assert seqs(diary) == [*range(500), 501]
    assert [call for call in diary.calls if call[0] == "event"] == [("event", "main-1", gap)]
    assert diary.calls[-3] == ("event", "main-1", gap)
    assert host.stats()[f"{HERE}:diary"].calls == len(diary.calls)


def test_hooks_run_in_the_plugins_own_thread(diary: Diary) -> None:
    host = PluginHost([f"{HERE}:diary"])
    host.start(PATH, [])
    host.append("main-0", frame(1))
    host.stop(deadline_s=30)
    assert diary.threads == {f"kiterec-plugin-{HERE}:diary"}


def test_an_exception_is_logged_once_in_full_then_counted_and_harms_nobody(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    failing = f"{HERE}:Failing"
    host = PluginHost([failing, f"{HERE}:diary"], batch_interval_s=0.001)
    host.start(PATH, [])
    with caplog.at_level(logging.INFO, "kiterec.plugins"):
        for number in range(20):
            host.append("main-0", frame(number))
            host.append("main-0", Row(1, 1, Kind.TEXT, b"{}"))
        host.stop(deadline_s=30)
    told = [record for record in caplog.records if record.exc_info]
    assert len(told) == 1
    assert "the plugin is broken" in caplog.text
    stats = host.stats()[failing]
    assert (stats.errors, stats.last_error) == (20, "ValueError")
    assert f"plugin={failing} errors=20 last_error=ValueError" in caplog.text
    assert len(seqs(diary)) == 20


def test_a_plugin_that_calls_exit_is_contained() -> None:
    failing = f"{HERE}:Failing"
    host = PluginHost([failing], {failing: {"error": SystemExit}})
    host.start(PATH, [])
    host.append("main-0", frame(1))
    host.stop(deadline_s=30)
    stats = host.stats()[failing]
    assert (stats.last_error, stats.abandoned) == ("SystemExit", False)


def test_a_slow_plugin_loses_its_own_oldest_batches_and_nobody_elses(stuck: Stuck, diary: Diary) -> None:
    names = [f"{HERE}:stuck", f"{HERE}:diary"]
    host = PluginHost(names, backlog_bytes=20_000, batch_interval_s=0.001)
    host.start(PATH, [])
    host.append("main-0", frame(0, 1_000))
    assert stuck.entered.wait(30)
    for number in range(1, 101):
        host.append("main-0", frame(number, 1_000))
        # The other plugin has it before the next one comes, so each frame is a batch of its own.
        _until(lambda number=number: seqs(diary)[-1:] == [number])
    stuck.let_go.set()
    host.stop(deadline_s=30)
    stats = host.stats()
    lost = stats[names[0]].lost_rows
    assert 80 <= lost < 100
    assert seqs(stuck) == [0, *range(lost + 1, 101)]
    assert stuck.calls[-1] == ("stopped", None)
    assert (stats[names[1]].lost_rows, host.lost_rows) == (0, 0)
    assert seqs(diary) == list(range(101))


def test_appending_never_waits_for_a_stuck_plugin(stuck: Stuck) -> None:
    host = PluginHost([f"{HERE}:stuck"], backlog_bytes=10_000, batch_interval_s=0.001)
    host.start(PATH, [])
    host.append("main-0", frame(0))
    assert stuck.entered.wait(30)
    done = threading.Event()

    def feed() -> None:
        for number in range(5_000):
            host.append("main-0", frame(number, 100))
        done.set()

    threading.Thread(target=feed, daemon=True).start()
    assert done.wait(30)
    stuck.let_go.set()
    host.stop(deadline_s=30)
    stats = host.stats()[f"{HERE}:stuck"]
    assert stats.lost_rows + host.lost_rows > 4_000
    assert len(seqs(stuck)) + stats.lost_rows + host.lost_rows == 5_001


def test_a_plugin_that_never_ends_is_left_behind_at_the_deadline(
    stuck: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    host = PluginHost([f"{HERE}:stuck"], batch_interval_s=0.001)
    host.start(PATH, [])
    host.append("main-0", frame(0))
    assert stuck.entered.wait(30)
    host.stop(deadline_s=0.05)
    assert host.stats()[f"{HERE}:stuck"].abandoned
    assert "did not end in time and is left behind" in caplog.text


def test_rows_that_make_no_batch_are_logged_and_counted_and_those_after_them_come(
    diary: Diary, caplog: pytest.LogCaptureFixture
) -> None:
    host = PluginHost([f"{HERE}:diary"], batch_interval_s=0.001)
    host.start(PATH, [])
    host.append("main-0", Row("never", 1, Kind.BINARY, b""))  # type: ignore[arg-type]
    _until(lambda: host.lost_rows == 1)
    host.append("main-0", frame(2))
    host.stop(deadline_s=30)
    assert "rows could not be handed to the plugins: rows=1" in caplog.text
    assert seqs(diary) == [1]


def test_a_host_without_plugins_takes_rows_and_keeps_none() -> None:
    host = PluginHost([])
    host.start(PATH, [])
    host.append("main-0", frame(1))
    host.stop(deadline_s=30)
    assert (host.names, host.stats()) == ([], {})


def test_one_bad_plugin_among_good_ones_starts_nothing() -> None:
    before = threading.active_count()
    with pytest.raises(PluginError, match="no plugin is called 'nobody'"):
        PluginHost([f"{HERE}:Diary", "nobody"])
    assert threading.active_count() == before


def test_a_host_is_started_once_and_stopped_as_often_as_one_likes() -> None:
    host = PluginHost([])
    host.stop()
    host.start(PATH, [])
    with pytest.raises(ValueError, match="started already"):
        host.start(PATH, [])
    host.stop(deadline_s=30)
    host.stop(deadline_s=30)


def test_the_trace_variable_prints_each_hook_call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KITEREC_TRACE_HOOKS", "1")
    name = f"{HERE}:Diary"
    host = PluginHost([name])
    host.start(PATH, ["main-0"])
    host.append("main-0", frame(1))
    host.append("main-0", Row(1, 1, Kind.GAP, b"{}"))
    host.stop(deadline_s=30)
    sys.stderr.flush()
    assert capsys.readouterr().err.splitlines() == [
        f"kiterec hook: {name} kiterec_recording_started recording_path={PATH!r} connections=('main-0',)",
        f"kiterec hook: {name} kiterec_frames batch=<1 rows>",
        f"kiterec hook: {name} kiterec_event connection='main-0' row=<gap>",
        f"kiterec hook: {name} kiterec_recording_stopped summary=None",
    ]


def _until(condition: Any) -> None:
    """Wait for a condition that another thread makes true."""
    deadline = threading.Event()
    timer = threading.Timer(30, deadline.set)
    timer.start()
    try:
        while not condition():
            assert not deadline.wait(0.001), "not within 30 s"
    finally:
        timer.cancel()
