"""One of the vendor's clients in a process of its own, and what it says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

HERE = Path(__file__).parent
PYTHON_TICKER = [sys.executable, "-W", "ignore", str(HERE / "python_ticker.py")]
PYTHON_REST = [sys.executable, "-W", "ignore", str(HERE / "python_rest.py")]
NODE = shutil.which("node") or "node"
JS_TICKER = [NODE, str(HERE / "js" / "ticker.cjs")]
JS_REST = [NODE, str(HERE / "js" / "rest.cjs")]
ENVIRONMENT = {**os.environ, "TZ": "UTC", "NO_PROXY": "*", "no_proxy": "*"}


def why_no_js() -> str:
    """Give the reason why the JavaScript client cannot be run; empty when it can."""
    if shutil.which("node") is None:
        return "there is no Node.js on this machine"
    if not (HERE / "js" / "node_modules" / ".package-lock.json").exists():  # npm writes it last
        return "the vendor's JavaScript client is not installed; `make judges` does it"
    return ""


class Judge:
    """What a client has said so far."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        self._news = asyncio.Event()

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.said if "event" in line]

    @property
    def frames(self) -> list[bytes]:
        return [bytes.fromhex(line["frame"]) for line in self.said if "frame" in line]

    @property
    def ticks(self) -> list[dict[str, Any]]:
        return [tick for line in self.said for tick in line.get("ticks", ())]

    @property
    def orders(self) -> list[dict[str, Any]]:
        return [line["order"] for line in self.said if "order" in line]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the condition holds; it is looked at after each line."""
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def listen(self, lines: asyncio.StreamReader) -> None:
        while line := await lines.readline():
            self.said.append(json.loads(line))
            self._news.set()


@contextlib.asynccontextmanager
async def judging(command: list[str], *arguments: str, log: Path) -> AsyncIterator[Judge]:
    """Run a client; its errors go to a file."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
            limit=1 << 24,
            env=ENVIRONMENT,
        )
        judge = Judge()
        assert process.stdout
        listening = asyncio.create_task(judge.listen(process.stdout))
        try:
            yield judge
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await listening


async def answer(command: list[str], *arguments: str) -> dict[str, Any]:
    """Run a client that asks and ends; give what it has read."""
    process = await asyncio.create_subprocess_exec(
        *command, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=ENVIRONMENT
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-3000:]
    read: dict[str, Any] = json.loads(out)
    return read
