"""What a replay shows on a terminal, and its keys."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from kiterec.cli.keys import press
from kiterec.cli.replay_view import key_actions, view_text
from kiterec.replay.server import ReplayServer
from kiterec.simulate import SyntheticMarket
from tests.cli.commands import DEADLINE_S, environment, running

if TYPE_CHECKING:
    from pathlib import Path


def test_keys_press_the_buttons() -> None:
    async def main() -> None:
        market = SyntheticMarket(instruments=10, seed=1, duration_s=200)
        async with ReplayServer(market, wait_for_clients=0, paused=True, at_end="hold") as server:
            works: list = []
            actions = key_actions(server, works.append)

            async def after(sent: bytes) -> None:
                press(sent, actions)
                while works:
                    async with asyncio.timeout(DEADLINE_S):
                        await works.pop(0)

            await after(b"..\x1b[C")
            assert server.stats().position_s == 10
            await after(b"\x1b[A\x1b[D")
            assert server.stats().position_s == 60
            await after(b"+=-qx\xff\x1b[Z")
            assert server.stats().speed == 2
            await after(b"m")
            assert server.stats().speed is None
            await after(b" ")
            assert server.stats().state != "paused"

    asyncio.run(main())


def test_the_view_tells_where_it_is_and_how_fast() -> None:
    async def main() -> None:
        market = SyntheticMarket(instruments=10, seed=1, duration_s=20)
        async with ReplayServer(market, wait_for_clients=0, speed=None) as server:
            await server.finished()
            text = view_text(server.stats())
            assert re.search(r"^finished · 19\.\d+s · \d{4}-\d\d-\d\d 10:00:19\.\d+ IST\nspeed max", text)
            assert re.search(r"achieved [\d.,e+]+x\n0 clients · 0 messages", text)

    asyncio.run(main())


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, *words: str | Path) -> None:
        self._main, end = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kiterec", *map(str, words)],
            stdin=end, stdout=end, stderr=end, env=environment(TERM="xterm", COLUMNS="100"),
        )  # fmt: skip
        os.close(end)
        self._seen = b""

    def press(self, keys: bytes) -> None:
        os.write(self._main, keys)

    def wait_for(self, pattern: bytes) -> None:
        """Wait until it has shown the pattern since the last call."""
        deadline = time.monotonic() + DEADLINE_S
        while not (found := re.search(pattern, self._seen)):
            assert time.monotonic() < deadline, self._seen[-2000:]
            self._seen += os.read(self._main, 1 << 16)
        self._seen = self._seen[found.end() :]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            os.close(self._main)


def test_on_a_terminal_keys_control_the_replay(recording: Path) -> None:
    terminal = Terminal("replay", recording, "--port", "0", "--expect-clients", "0", "--speed", "0.1")
    terminal.wait_for(rb"space pause")
    terminal.wait_for(rb"running")
    terminal.press(b" ")
    terminal.wait_for(rb"paused")
    terminal.press(b"+")
    terminal.wait_for(rb"speed 0\.2x")
    terminal.press(b"m ")
    terminal.wait_for(rb"all is sent")
    assert terminal.stop() == 0


def test_a_part_of_a_recording_is_replayed_and_the_command_ends(recording: Path) -> None:
    words = (
        "--port",
        "0",
        "--speed",
        "max",
        "--expect-clients",
        "0",
        "--at-end",
        "close",
        "--skip-idle",
        "2s",
    )
    with running("replay", recording, *words, "--from", "00:00", "--to", "23:59:59") as server:
        assert server.process.wait(DEADLINE_S) == 0
        assert re.search(r"replay finished messages=[1-9]", "".join(server.lines))
    with running("replay", recording, *words, "--to", "00:00:01") as server:
        assert server.process.wait(DEADLINE_S) == 0
        assert "replay finished messages=0" in "".join(server.lines)
