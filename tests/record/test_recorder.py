from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kiterec.errors import AuthError, CapacityError, PluginError, SetupError
from kiterec.feed.account import Account, Secret
from kiterec.feed.config import FeedConfig
from kiterec.record import Ending, RecordConfig, Recorder, RecordResult
from kiterec.store.manifest import Status, load_manifest
from kiterec.store.options import StoreOptions
from kiterec.store.transcript import read_transcript
from kiterec.store.writer import RecordingWriter
from kiterec.wire import Kind, Mode, Row
from tests.record.exchange import DEADLINE_S, DUMP, META, Exchange, holds, ltp_frame

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

KEY, TOKEN = "KEY5f3a9c", "TOK77b1de"
FEED = FeedConfig(backoff_initial_s=0.01, backoff_max_s=0.05, subscribe_interval_s=0.0)


def account(name: str = "main", key: str = KEY) -> Account:
    return Account(name=name, api_key=Secret(key), access_token=Secret(TOKEN))


def config(exchange: Exchange, out: Path, **changes: Any) -> RecordConfig:
    settings: dict[str, Any] = {
        "accounts": [account()],
        "instruments": ["408065,2953217"],
        "url": exchange.url,
        "connections": 1,
        "out": out,
        "feed": FEED,
    }
    return RecordConfig(**(settings | changes))


def record(
    out: Path,
    script: Callable[[Exchange, Recorder], Awaitable[None]],
    *,
    exchange: Exchange | None = None,
    **changes: Any,
) -> RecordResult:
    """Record an exchange while a script moves it, and stop when the script ends."""

    async def run() -> RecordResult:
        async with asyncio.timeout(DEADLINE_S), exchange or Exchange() as served:
            recorder = Recorder(config(served, out, **changes))
            stop = asyncio.Event()

            async def play() -> None:
                await script(served, recorder)
                stop.set()

            playing = asyncio.create_task(play())
            try:
                return await recorder.run(stop)
            finally:
                playing.cancel()
                results = await asyncio.gather(playing, return_exceptions=True)
                if isinstance(results[0], AssertionError | TimeoutError):
                    raise results[0]

    return asyncio.run(run())


async def written(recorder: Recorder, rows: int) -> None:
    """Wait until so many frames have come."""

    def there() -> bool:
        status = recorder.status()
        return status is not None and sum(c.frames for c in status.connections.values()) >= rows

    await holds(there)


async def nothing(exchange: Exchange, recorder: Recorder) -> None:
    """Let it run until it ends by itself."""
    await asyncio.Event().wait()


def rows(path: Path, kind: Kind) -> list[tuple[str, bytes]]:
    found = []
    for batch in read_transcript(path):
        for connection, row_kind, payload in zip(
            batch.column("connection").to_pylist(),
            batch.column("kind").to_pylist(),
            batch.column("payload").to_pylist(),
            strict=True,
        ):
            if row_kind == kind:
                found.append((connection, payload))
    return found


def test_what_was_sent_is_recorded_byte_for_byte_and_the_recording_is_complete(tmp_path: Path) -> None:
    frames = [ltp_frame(408065, price=price) for price in range(50)]

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: exchange.subscribed == {408065, 2953217})
        for frame in frames:
            exchange.send(frame)
        exchange.send('{"type":"message","data":"hello"}')
        await written(recorder, len(frames))

    result = record(tmp_path, script, label="mine")
    assert (result.ending, result.failure, result.lost, result.exit_code) == (Ending.STOPPED, None, (), 0)
    assert rows(result.path, Kind.BINARY) == [("main-0", frame) for frame in frames]
    assert rows(result.path, Kind.TEXT)[0] == ("main-0", META.encode())
    assert result.summary is not None
    assert (result.summary.frames, result.summary.ticks) == (50, 50)
    manifest = load_manifest(result.path)
    assert (manifest.status, manifest.label, manifest.accounts) == (Status.COMPLETE, "mine", ["main"])
    assert manifest.details["mode"] == "full"
    assert result.path.name.endswith("-mine")


def test_the_instruments_are_told_in_their_mode_over_all_connections(tmp_path: Path) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: len(exchange.connections) == 4 and len(exchange.subscribed) == 8)

    exchange = Exchange()
    accounts = [account("one", "k1"), account("two", "k2")]
    words = [",".join(map(str, range(1, 9)))]
    result = record(
        tmp_path,
        script,
        exchange=exchange,
        accounts=accounts,
        connections=2,
        mode=Mode.LTP,
        instruments=words,
    )
    assert exchange.subscribed == set(range(1, 9))
    assert {request.mode for request in exchange.modes} == {Mode.LTP}
    assert load_manifest(result.path).connections == ["one-0", "one-1", "two-0", "two-1"]
    assert len(rows(result.path, Kind.SENT)) >= 4


def test_names_are_looked_up_in_the_dump_beside_the_feed_which_is_kept(tmp_path: Path) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: exchange.subscribed == {408065, 256265})

    result = record(tmp_path, script, instruments=["NSE:INFY", "NSE:NIFTY*"])
    assert result.exit_code == 0
    assert (result.path / "instruments.parquet").is_file()


def test_a_dump_that_is_not_needed_is_kept_when_it_comes(tmp_path: Path) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await holds(lambda: bool(list(tmp_path.glob("*/*/instruments.parquet"))))

    assert record(tmp_path, script).exit_code == 0


def test_a_dump_that_is_not_needed_and_not_there_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await holds(lambda: "has no instrument dump" in caplog.text)

    result = record(tmp_path, script, exchange=Exchange(dump=None))
    assert result.exit_code == 0
    assert "was refused with HTTP 404" in caplog.text


def test_a_dump_that_is_needed_and_not_there_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="HTTP 404; names in --instruments need it: give --instrument-dump"):
        record(tmp_path / "out", nothing, exchange=Exchange(dump=None), instruments=["NSE:INFY"])
    assert list(tmp_path.iterdir()) == []


def test_a_dump_from_a_file_is_used_and_kept(tmp_path: Path) -> None:
    (tmp_path / "dump.csv").write_bytes(DUMP)

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: exchange.subscribed == {408065, 2953217, 256265})

    dump = tmp_path / "dump.csv"
    result = record(
        tmp_path / "out", script, exchange=Exchange(dump=None), instruments=["all"], instrument_dump=dump
    )
    assert (result.path / "instruments.parquet").is_file()


def test_a_dump_with_missing_columns_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "dump.csv").write_bytes(DUMP.replace(b"tick_size", b"tick"))
    with pytest.raises(SetupError, match=r"dump\.csv lacks the columns tick_size"):
        record(tmp_path / "out", nothing, instrument_dump=tmp_path / "dump.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["dump.csv"]


def test_more_instruments_than_there_is_room_start_nothing(tmp_path: Path) -> None:
    words = [",".join(map(str, range(1, 3002)))]
    with pytest.raises(CapacityError, match=r"3,001 instruments asked for, room for 3,000 \(main-0 3,000\)"):
        record(tmp_path / "out", nothing, instruments=words)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_plugin_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="no plugin is called 'nobody'"):
        record(tmp_path / "out", nothing, plugins=["nobody"])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match=r"cannot record into .*file"):
        record(tmp_path / "file", nothing)


def test_a_refused_access_token_is_an_auth_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    exchange = Exchange(refuse=403)
    with pytest.raises(AuthError, match="account main: "):
        record(tmp_path / "out", nothing, exchange=exchange, connections=2)
    assert list(tmp_path.iterdir()) == []
    assert 1 <= len(exchange.paths) <= 2, "a refused access token was tried again"


def test_an_out_folder_that_was_there_stays_when_nothing_was_recorded(tmp_path: Path) -> None:
    with pytest.raises(AuthError):
        record(tmp_path, nothing, exchange=Exchange(refuse=403))
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []


def test_an_access_token_that_dies_keeps_what_was_recorded_with_exit_code_3(tmp_path: Path) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        exchange.send(ltp_frame(408065))
        await written(recorder, 1)
        exchange.refuse = 403
        exchange.cut()
        await nothing(exchange, recorder)

    result = record(tmp_path, script)
    assert (result.ending, result.exit_code) == (Ending.FEED, 3)
    assert isinstance(result.failure, AuthError)
    assert load_manifest(result.path).status is Status.COMPLETE
    assert rows(result.path, Kind.BINARY) == [("main-0", ltp_frame(408065))]
    assert len(rows(result.path, Kind.REFUSED)) == 1
    assert len(rows(result.path, Kind.GAP)) == 1
    assert result.lost
    assert "main-0 missed" in result.lost[0]


def test_a_lost_connection_comes_back_and_its_gap_is_told(tmp_path: Path) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        exchange.send(ltp_frame(1))
        await written(recorder, 1)
        exchange.subscribed.clear()
        exchange.cut()
        await exchange.until(lambda: exchange.subscribed == {408065, 2953217})
        exchange.send(ltp_frame(2))
        await written(recorder, 2)

    result = record(tmp_path, script)
    assert result.ending is Ending.STOPPED
    assert rows(result.path, Kind.BINARY) == [("main-0", ltp_frame(1)), ("main-0", ltp_frame(2))]
    (gap,) = [json.loads(payload) for _, payload in rows(result.path, Kind.GAP)]
    assert gap["from"] < gap["to"]
    assert result.exit_code == 3
    assert [line.split(" in ")[1].split(";")[0] for line in result.lost] == ["1 gap"]


def test_instruments_that_the_server_refuses_are_told_at_the_end(tmp_path: Path) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        exchange.send('{"type":"error","data":"Can\'t subscribe to more than 3000 instruments."}')
        exchange.send(ltp_frame(1))
        await written(recorder, 1)

    result = record(tmp_path, script)
    assert result.exit_code == 3
    assert result.lost == ("main-0: the server refused 1 request; the refused rows say what",)
    ((_, refused),) = rows(result.path, Kind.REFUSED)
    assert b"more than 3000" in refused


def test_no_more_connections_are_opened_than_there_are_instruments(tmp_path: Path) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: exchange.subscribed == {408065, 2953217})

    exchange = Exchange()
    result = record(tmp_path, script, exchange=exchange, connections=3)
    assert len(exchange.paths) == 2
    assert load_manifest(result.path).connections == ["main-0", "main-1"]


def test_tokens_that_are_not_in_the_dump_get_one_warning_and_are_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "dump.csv").write_bytes(DUMP)

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: len(exchange.subscribed) == 8)

    words = ["NSE:INFY,1,2,3,4,5,6,7"]
    dump = tmp_path / "dump.csv"
    assert record(tmp_path / "out", script, instruments=words, instrument_dump=dump).exit_code == 0
    (line,) = [line for line in caplog.messages if "not in today's instrument dump" in line]
    assert line.startswith("instrument_token 1, 2, 3, 4, 5 and 2 more: ")


def test_a_token_that_is_not_in_a_dump_that_comes_late_gets_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await holds(lambda: "not in today's instrument dump" in caplog.text)

    assert record(tmp_path, script, instruments=["408065,77"]).exit_code == 0
    assert "instrument_token 77: not in today's instrument dump; Kite sends nothing for them" in caplog.text


def test_a_recording_without_a_tick_ends_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        exchange.send(b"\x00")
        await written(recorder, 1)

    assert record(tmp_path, script).exit_code == 0
    assert "nothing was received: the server sent no ticks" in caplog.text


def test_a_normal_run_logs_few_lines_and_its_end_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: exchange.subscribed == set(range(1, 7)))
        exchange.send(ltp_frame(1))
        await written(recorder, 3)

    with caplog.at_level(logging.INFO, "kiterec"):
        record(tmp_path, script, connections=3, instruments=["1,2,3,4,5,6"], exchange=Exchange(dump=None))
    assert len(caplog.records) < 20
    assert len([line for line in caplog.messages if line.startswith("recording ended")]) == 1
    assert "nothing was received" not in caplog.text


def test_a_recording_that_is_removed_is_not_said_to_have_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "kiterec"), pytest.raises(AuthError):
        record(tmp_path / "out", nothing, exchange=Exchange(refuse=403), connections=2)
    assert not [line for line in caplog.messages if line.startswith("recording ended")]
    assert caplog.text.count("refused the access token") == 1


def test_stopping_while_the_dump_is_awaited_starts_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S):
            asked, stop = asyncio.Event(), asyncio.Event()

            async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                asked.set()
                await reader.read()  # until the other side hangs up
                writer.close()

            server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
            async with server:
                url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                settings = RecordConfig(
                    accounts=[account()], instruments=["all"], url=url, out=tmp_path / "out", dump_timeout_s=2
                )
                running = asyncio.create_task(Recorder(settings).run(stop))
                await asked.wait()
                stop.set()
                with pytest.raises(SetupError, match="it was stopped before anything was recorded"):
                    await running

    asyncio.run(run())
    assert list(tmp_path.iterdir()) == []


def test_a_recording_ends_after_its_duration(tmp_path: Path) -> None:
    result = record(tmp_path, nothing, duration_s=0.2)
    assert (result.ending, result.exit_code) == (Ending.SCHEDULE, 0)


def test_an_end_that_is_over_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="is over"):
        record(tmp_path / "out", nothing, until_ns=1)
    assert list(tmp_path.iterdir()) == []


def test_plugins_get_every_row_with_its_place_in_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.plugins import example_plugin

    diary = example_plugin.Diary()
    monkeypatch.setattr(example_plugin, "diary", diary)

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        for price in range(20):
            exchange.send(ltp_frame(408065, price=price))
        await written(recorder, 20)

    plugin = "tests.plugins.example_plugin:diary"
    result = record(tmp_path, script, plugins=[plugin, "tests.plugins.example_plugin:Failing"])
    assert result.exit_code == 0
    assert result.plugins[plugin].errors == 0
    assert result.plugins["tests.plugins.example_plugin:Failing"].errors >= 1
    seen = {
        seq: payload
        for call in diary.calls
        if call[0] == "frames"
        for seq, payload in zip(
            call[1].column("seq").to_pylist(), call[1].column("payload").to_pylist(), strict=True
        )
    }
    recorded = {
        seq: payload
        for batch in read_transcript(result.path)
        for seq, kind, payload in zip(
            batch.column("seq").to_pylist(),
            batch.column("kind").to_pylist(),
            batch.column("payload").to_pylist(),
            strict=True,
        )
        if kind == "binary"
    }
    assert seen == recorded
    assert diary.calls[0] == ("started", result.path, ("main-0",))
    assert diary.calls[-1][0] == "stopped"
    assert diary.calls[-1][1].frames == 20


def test_a_disk_that_cannot_keep_up_holds_the_reading_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: list[RecordingWriter] = []
    paused: list[bool] = []
    create = RecordingWriter.create

    def keep(*args: Any, **options: Any) -> RecordingWriter:
        writer = create(*args, **options)
        writer.on_pressure(paused.append)
        writers.append(writer)
        return writer

    monkeypatch.setattr(RecordingWriter, "create", keep)
    frames = [ltp_frame(*range(1, 500), price=price) for price in range(200)]

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        for frame in frames:
            exchange.send(frame)
        await written(recorder, len(frames))

    result = record(tmp_path, script, store=StoreOptions(memory_budget=1_000, flush_interval_s=0.01))
    assert True in paused
    assert result.exit_code == 0
    assert [payload for _, payload in rows(result.path, Kind.BINARY)] == frames
    assert rows(result.path, Kind.BACKPRESSURE)


def test_a_disk_that_fails_ends_the_recording_with_what_is_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kiterec.errors import DiskFullError
    from kiterec.store.files import Files

    full: list[bool] = []
    append = Files.append

    def refuse(self: Files, *args: Any, **options: Any) -> int:
        if full:
            raise DiskFullError("no space left on the test's disk")
        return append(self, *args, **options)

    monkeypatch.setattr(Files, "append", refuse)

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        exchange.send(ltp_frame(1))
        await written(recorder, 1)
        await holds(lambda: _unwritten(recorder) == 0)
        full.append(True)
        exchange.send(ltp_frame(2))
        await nothing(exchange, recorder)

    result = record(tmp_path, script)
    assert (result.ending, result.exit_code) == (Ending.STORAGE, 3)
    assert "no space left" in str(result.failure)
    assert rows(result.path, Kind.BINARY)[0] == ("main-0", ltp_frame(1))
    assert result.lost


def test_a_recording_that_was_not_finished_is_recovered_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = tmp_path / "date=2026-11-20" / "recording=091500-old"
    _make_unfinished(old)

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        async with asyncio.timeout(DEADLINE_S):
            while load_manifest(old).status is not Status.RECOVERED:
                await asyncio.sleep(0.02)

    with caplog.at_level(logging.INFO, "kiterec"):
        assert record(tmp_path, script).exit_code == 0
    assert load_manifest(old).status is Status.RECOVERED
    assert "recovered an unfinished recording" in caplog.text
    assert rows(old, Kind.BINARY) == [("main-0", ltp_frame(7))]


def test_an_old_recording_that_cannot_be_read_does_not_stop_a_new_one(tmp_path: Path) -> None:
    old = tmp_path / "date=2026-11-20" / "recording=091500-old"
    _make_unfinished(old)
    (old / "recording.json").write_text("{")

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))

    assert record(tmp_path, script).exit_code == 0


def test_the_status_tells_what_a_live_view_shows(tmp_path: Path) -> None:
    seen = []

    async def script(exchange: Exchange, recorder: Recorder) -> None:
        await exchange.until(lambda: bool(exchange.subscribed))
        exchange.send(ltp_frame(1, 2, 3))
        await written(recorder, 1)
        seen.append(recorder.status())

    record(tmp_path, script, duration_s=1000)
    (status,) = seen
    assert status is not None
    connection = status.connections["main-0"]
    assert (connection.state, connection.frames, connection.ticks, connection.instruments) == (
        "open",
        1,
        3,
        2,
    )
    assert connection.received_bytes == len(ltp_frame(1, 2, 3)) + len(META)
    assert connection.age_s is not None
    assert 0 <= connection.age_s < DEADLINE_S
    assert status.left_s is not None
    assert 900 < status.left_s <= 1000
    assert not status.held


def test_a_recorder_without_a_start_has_no_status_and_runs_once(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S), Exchange() as exchange:
            recorder = Recorder(config(exchange, tmp_path))
            assert recorder.status() is None
            stop = asyncio.Event()
            stop.set()
            await recorder.run(stop)
            with pytest.raises(ValueError, match="has run before"):
                await recorder.run(stop)

    asyncio.run(run())


def test_a_cancelled_recording_is_sealed_all_the_same(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S), Exchange() as exchange:
            recorder = Recorder(config(exchange, tmp_path))
            running = asyncio.create_task(recorder.run())
            await exchange.until(lambda: bool(exchange.subscribed))
            exchange.send(ltp_frame(5))
            await written(recorder, 1)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()

    asyncio.run(run())
    (path,) = tmp_path.glob("*/*")
    assert load_manifest(path).status is Status.COMPLETE
    assert rows(path, Kind.BINARY) == [("main-0", ltp_frame(5))]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"accounts": []}, "there is no account to record with"),
        ({"connections": 0}, "max_connections is 0"),
        ({"url": "http://x"}, "expected ws:// or wss://"),
        ({"dump_timeout_s": 0}, "dump_timeout_s is 0"),
    ],
)
def test_an_impossible_config_is_refused(changes: dict[str, Any], sentence: str) -> None:
    settings: dict[str, Any] = {"accounts": [account()], "instruments": ["1"]}
    with pytest.raises(SetupError, match=sentence):
        RecordConfig(**(settings | changes))


def _unwritten(recorder: Recorder) -> int | None:
    status = recorder.status()
    return None if status is None else status.unwritten_bytes


def _make_unfinished(path: Path) -> None:
    """Make what a recorder leaves that was killed: a journal, and a manifest that says it is recording."""
    from kiterec.store.journal import Journal
    from kiterec.store.manifest import Manifest, save_manifest

    (path / "connection=main-0").mkdir(parents=True)
    save_manifest(path, Manifest(label="old", connections=["main-0"]))
    journal = Journal(path / "connection=main-0" / "part-00000.arrows")
    journal.append([0], [Row(1, 1, Kind.BINARY, ltp_frame(7))])
    journal.close()
