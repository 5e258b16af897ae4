"""The pytest plugin, as a stranger's test suite uses it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import polars as pl
import pytest
from websockets.sync.client import connect

import kiterec.recording
import kiterec.replay.testing
import kiterec.simulate.market

# pytester forgets what a suite imported, but numpy and polars cannot be imported twice in a process.
LOADED = (pl, connect, kiterec)

RECORDING = Path(__file__).parents[1] / "fixtures/recordings/date=2026-01-05/recording=100000-synthetic"
pytest_plugins = ["pytester"]

CLIENT = '''
import json
from websockets.sync.client import connect


def listen(served, tokens, mode="full"):
    """A trading program that blocks: everything that it gets until the connection is closed."""
    url = served.url + "/?api_key=k&access_token=t"
    with connect(url, compression=None, max_size=None, proxy=None) as socket:
        socket.send(json.dumps({"a": "mode", "v": [mode, tokens]}))
        return list(socket)
'''


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(client=CLIENT)
    pytester.syspathinsert()
    return pytester


def test_loading_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys, kiterec.replay.pytest_plugin\n"
        "heavy = {'polars', 'pyarrow', 'numpy', 'websockets', 'pandas', 'msgspec'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_fixtures_are_there_without_any_configuration(suite: pytest.Pytester) -> None:
    suite.makepyfile("def test_nothing():\n    pass\n")
    shown = suite.runpytest_subprocess("--fixtures")
    shown.stdout.fnmatch_lines(["kite_replay -- *", "kite_exchange -- *", "*kite_exchange(seed=1*"])


def test_a_blocking_program_gets_a_synthetic_market_to_its_end(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import kiterec
        from client import listen


        def test_my_program(kite_exchange):
            exchange = kite_exchange(seed=3, instruments=20, duration_s=5)
            tokens = exchange.timeline.instrument_tokens
            messages = listen(exchange, tokens)
            exchange.wait_finished()
            frames = [m for m in messages if isinstance(m, bytes)]
            assert set(kiterec.decode(frames)["instrument_token"]) == set(tokens)
            assert exchange.stats().state == "finished"
        """
    )
    suite.runpytest().assert_outcomes(passed=1)


def test_a_recording_is_served_from_its_folder_or_as_opened(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        f"""
        import kiterec
        import pytest
        from client import listen

        FOLDER = {str(RECORDING)!r}


        @pytest.mark.parametrize("recording", [FOLDER, kiterec.open(FOLDER)], ids=["folder", "opened"])
        def test_my_program(kite_replay, recording):
            tokens = kiterec.open(FOLDER).ticks().collect()["instrument_token"].unique().to_list()
            messages = listen(kite_replay(recording), tokens)
            assert sum(isinstance(m, bytes) for m in messages) > 10


        def test_exactly(kite_replay):
            kite = kite_replay(FOLDER, exact=True, wait_for_clients=1)
            payloads = (
                kiterec.open(FOLDER).frames(connections=["main-0"]).collect().sort("seq")["payload"].to_list()
            )
            got = [m for m in listen(kite, []) if isinstance(m, bytes)]
            assert got == payloads
        """
    )
    suite.runpytest().assert_outcomes(passed=3)


def test_several_servers_in_a_test_have_ports_and_clocks_of_their_own(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        from client import listen


        def test_two(kite_exchange):
            first, second = kite_exchange(seed=1, instruments=10), kite_exchange(seed=2, instruments=10)
            assert first.url != second.url
            listen(first, first.timeline.instrument_tokens)
            first.wait_finished()
            assert second.stats().state == "waiting"
        """
    )
    suite.runpytest().assert_outcomes(passed=1)


@pytest.mark.parametrize("body", ["pass", "assert False", "exchange.wait_finished(timeout=0.1)"])
def test_everything_is_stopped_when_the_test_ends_however_it_ends(suite: pytest.Pytester, body: str) -> None:
    before = set(threading.enumerate())
    suite.makepyfile(
        f"""
        from urllib.parse import urlsplit
        import socket

        ports = []


        def test_left_running(kite_exchange):
            exchange = kite_exchange(duration_s=None, speed=1, wait_for_clients=2)
            ports.append(urlsplit(exchange.url).port)
            {body}


        def test_nobody_listens_any_more():
            with socket.socket() as other:
                assert other.connect_ex(("127.0.0.1", ports[0])) != 0
        """
    )
    outcome = suite.runpytest()
    outcome.assert_outcomes(passed=1 + (body == "pass"), failed=int(body != "pass"))
    if "timeout" in body:
        outcome.stdout.fnmatch_lines(["*not finished after 0.1 s: waiting at 0.000 s with 0 clients*"])
    assert set(threading.enumerate()) == before


def test_a_test_sees_who_asked_for_what_and_steers_the_clock(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import json
        from websockets.sync.client import connect


        def test_my_program(kite_exchange):
            kite = kite_exchange(duration_s=60, speed=1, paused=True, wait_for_clients=0)
            token = kite.timeline.instrument_tokens[0]
            with connect(kite.url, compression=None, max_size=None, proxy=None) as socket:
                socket.recv(30)
                socket.send(json.dumps({"a": "mode", "v": ["full", [token]]}))
                assert len(socket.recv(30)) == 2 + 2 + 184  # the snapshot, also while it is paused
                (client,) = kite.clients
                assert client.modes == {token: "full"}
                kite.control.step(2)
                frames = [socket.recv(30), socket.recv(30)]
                assert [sent.payload for sent in kite.sent][-2:] == frames
                assert kite.stats().state == "paused"
                assert kite.control.seek(position_s=50) == 50
                kite.control.set_speed("max")
                kite.control.resume()
                list(socket)
            kite.wait_finished()
        """
    )
    suite.runpytest().assert_outcomes(passed=1)


def test_what_was_sent_is_what_the_program_got_and_the_same_each_time(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import json
        from client import listen
        from kiterec.replay.fault_kinds import Drop, Duplicate, FlipByte
        from kiterec.replay.scenario import Scenario
        from websockets.sync.client import connect

        BAD_DAY = (Drop(probability=0.1), Duplicate(every_frames=7), FlipByte(probability=0.1))


        def test_my_program(kite_exchange, tmp_path):
            runs = []
            for scenario in (BAD_DAY, Scenario(seed=1, faults=BAD_DAY), Scenario(seed=2, faults=BAD_DAY)):
                kite = kite_exchange(seed=3, instruments=20, duration_s=5, faults=scenario, lockstep=True)
                got = listen(kite, kite.timeline.instrument_tokens)
                kite.wait_finished()
                assert [sent.payload for sent in kite.sent] == [m for m in got if m != b"\\0"]
                assert kite.faults.counts["duplicate"] == 2
                runs.append((kite.faults.events, kite.stats().transcripts))
            assert runs[0] == runs[1] != runs[2]


        def test_step_by_step(kite_exchange):
            kite = kite_exchange(instruments=10, duration_s=60, lockstep="acknowledged", at_end="hold")
            tokens = kite.timeline.instrument_tokens
            with connect(kite.url, compression=None, max_size=None, proxy=None) as socket:
                socket.recv(30)
                socket.send(json.dumps({"a": "mode", "v": ["ltp", tokens]}))
                socket.recv(30)  # the snapshot; nobody waits for its acknowledgement
                for _ in range(5):
                    before = len(kite.sent)
                    assert isinstance(socket.recv(30), bytes)
                    assert len(kite.sent) <= before + 1
                    kite.control.acknowledge()


        def test_a_scenario_in_a_file(kite_exchange, tmp_path):
            (tmp_path / "bad.toml").write_text("[[fault]]\\nkind = 'reset'\\nat_frame = 2")
            kite = kite_exchange(faults=tmp_path / "bad.toml")
            try:
                listen(kite, kite.timeline.instrument_tokens)
            except Exception as lost:
                assert "no close frame" in str(lost)
            assert [event.kind for event in kite.faults.events] == ["reset"]
        """
    )
    suite.runpytest().assert_outcomes(passed=3)


def test_a_server_that_cannot_start_says_why_in_the_test(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        def test_port(kite_exchange):
            taken = kite_exchange()
            kite_exchange(port=int(taken.url.rpartition(":")[2]))
        """
    )
    outcome = suite.runpytest()
    outcome.assert_outcomes(failed=1)
    outcome.stdout.fnmatch_lines(["*ReplayError: port * of 127.0.0.1 is in use*"])


def test_workers_of_xdist_do_not_get_in_each_others_way(suite: pytest.Pytester) -> None:
    pytest.importorskip("xdist")
    suite.makepyfile(
        """
        import pytest
        from client import listen


        @pytest.mark.parametrize("seed", range(2))
        def test_my_program(kite_exchange, seed):
            exchange = kite_exchange(seed=seed, instruments=10, duration_s=2)
            assert len(listen(exchange, exchange.timeline.instrument_tokens)) > 3
        """
    )
    suite.runpytest_subprocess("-n", "2").assert_outcomes(passed=2)
