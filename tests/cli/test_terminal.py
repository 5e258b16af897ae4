"""What commands leave on a terminal, in a pipe that nobody reads to its end, and when they are broken off."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import DEADLINE_S, environment
from tests.cli.screen import CTRL_C, on_terminal, screen

if TYPE_CHECKING:
    from pathlib import Path

LIVE_HEADER = "frames/s"
NEVER_DONE = """
import logging
import threading

from kiterec.plugins import hookimpl


@hookimpl
def kiterec_recording_stopped(summary):
    logging.getLogger("kiterec.slow").warning("the plugin waits")
    threading.Event().wait(60)
"""


@pytest.mark.parametrize("width", [80, 140])
def test_the_live_view_leaves_nothing_behind_when_it_is_stopped(tmp_path: Path, width: int) -> None:
    code, written = on_terminal(
        "demo", "--duration", "60s", "--out", tmp_path, width=width, keys_after=((LIVE_HEADER, CTRL_C),)
    )
    assert code == 0, written
    assert LIVE_HEADER in written
    shown = screen(written, width=width)
    assert "stopping; once more breaks off" in [line.removeprefix("^C") for line in shown]
    assert [line for line in shown if LIVE_HEADER in line] == []
    assert any(line.startswith("recorded ") for line in shown)


def test_the_live_view_leaves_nothing_behind_when_time_is_over(tmp_path: Path) -> None:
    code, written = on_terminal("demo", "--duration", "2s", "--out", tmp_path, width=80)
    assert code == 0, written
    assert LIVE_HEADER in written
    assert LIVE_HEADER not in "\n".join(screen(written, width=80))


def test_a_second_signal_breaks_off_with_what_to_do_next(exchange: str, tmp_path: Path) -> None:
    plugin = tmp_path / "slow.py"
    plugin.write_text(NEVER_DONE)
    words = ("--url", exchange, "--instruments", "all", "--plugin", plugin, "--out", tmp_path / "out")
    keys = ((LIVE_HEADER, CTRL_C), ("the plugin waits", CTRL_C))
    code, written = on_terminal("record", *words, width=80, keys_after=keys)
    assert code == 130, written
    assert "kiterec: broken off; where the recording is unfinished, " in written
    assert re.search(rf"recover {re.escape(str(tmp_path / 'out'))}", written)
    assert written.rstrip().endswith("\x1b[?25h")
    assert "Traceback" not in written


def test_a_terminal_shows_what_fits_and_says_what_does_not(recording: Path) -> None:
    code, written = on_terminal("ticks", recording, "--limit", "2", width=60)
    shown = screen(written, width=60)
    assert code == 0
    assert shown[0].startswith("no room for ")
    assert max(map(len, shown)) <= 60


@pytest.mark.parametrize(
    "words",
    [
        ("ticks", "--limit", "0"),
        ("ticks", "--limit", "0", "--csv"),
        ("ticks", "--limit", "0", "--json"),
        ("candles", "--every", "1s", "--limit", "0", "--csv"),
        ("export", "--to", "-"),
        ("export", "--to", "-", "--format", "arrow"),
        ("info", "--json"),
    ],
)
def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(
    recording: Path, words: tuple[str, ...]
) -> None:
    verb, *rest = words
    command = shlex.join([sys.executable, "-m", "kiterec", verb, str(recording), *rest])
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True, timeout=DEADLINE_S, env=environment(), check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, "")
