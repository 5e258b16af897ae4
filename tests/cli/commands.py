"""Starts the real command, to its end or until it is told to stop."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

DEADLINE_S = 60
SECRETS = {"KITE_API_KEY": "key-of-the-test", "KITE_ACCESS_TOKEN": "secret-token-of-the-test"}


def environment(**changes: str) -> dict[str, str]:
    """Give the environment without credentials, terminal or colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KITE_", "COLUMNS"))}
    return kept | changes


def kiterec(*words: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "kiterec", *map(str, words)],
        capture_output=True, text=True, timeout=DEADLINE_S, cwd=cwd, env=environment(**env), check=False,
    )  # fmt: skip


class Running:
    """A command that goes on until it is told to stop; its stderr is gathered meanwhile."""

    def __init__(self, words: Sequence[str | Path], env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kiterec", *map(str, words)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(**env),
        )  # fmt: skip
        self.lines: list[str] = []
        self._ended: tuple[int, str, str] | None = None
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stderr or ():
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until stderr has the pattern."""
        self.wait_until(lambda: re.search(pattern, "".join(self.lines)) is not None, pattern)
        found = re.search(pattern, "".join(self.lines))
        assert found is not None
        return found

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds; it is looked at after each line, and now and then."""
        end = time.monotonic() + DEADLINE_S
        with self._changed:
            while not condition():
                if time.monotonic() > end or not self._reader.is_alive():
                    raise AssertionError(f"no {what!r}; stderr was {''.join(self.lines)}")
                self._changed.wait(0.1)

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Ask the command to stop, once; gives its exit code, stdout and stderr."""
        if self._ended is None:
            if self.process.poll() is None:
                self.process.send_signal(how)
            try:
                code = self.process.wait(DEADLINE_S)
            finally:
                self.process.kill()
                self._reader.join()
                with self.process:
                    out = self.process.stdout.read() if self.process.stdout else ""
            self._ended = (code, out, "".join(self.lines))
        return self._ended


@contextmanager
def running(*words: str | Path, **env: str) -> Iterator[Running]:
    """Start a command, and stop it at the end of the block if it still runs."""
    command = Running(words, env)
    try:
        yield command
    finally:
        command.stop()
