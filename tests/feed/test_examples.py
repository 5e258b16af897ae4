"""Every example runs against the simulated exchange, and says something."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from kiterec.replay.server import ReplayServer
from kiterec.simulate.market import SyntheticMarket
from tests.feed.exchange import run

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.stem != "simulated")
WORDS = {
    "single_connection": "Connected main-0",
    "portfolio_monitor": "5 of 5 prices known",
    "runtime_subscriptions": "1 were never subscribed",
    "market_scanner": "instruments,",
    "two_accounts": "frames of the same instruments",
    "raw_full_packets": "oi ",
    "health_monitor": "healthy: ",
}
THAT_END = {"runtime_subscriptions", "two_accounts"}
"""Examples that have an end; a signal would meet them somewhere in the interpreter's own."""


async def _says(example: Path, url: str, words: str) -> None:
    """Run an example to its end, or until it has said something, and end it like a user does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-u", str(example), "--url", url, "--seconds", "60"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"KITE_API_KEY": example.stem, "KITE_API_KEY_FIRST": "one", "KITE_API_KEY_SECOND": "two"},
        cwd=ROOT,
    )
    assert process.stdout is not None
    output = ""
    try:
        while words not in output:
            line = await process.stdout.readline()
            assert line, f"{example.name} ended before it said {words!r}: {output}"
            output += line.decode()
        if example.stem not in THAT_END:
            process.send_signal(signal.SIGINT)
        output += (await process.stdout.read()).decode()
        assert await process.wait() == 0, f"{example.name}: {output}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.slow
def test_every_example_runs_against_the_simulated_exchange() -> None:
    assert {example.stem for example in EXAMPLES} == set(WORDS)

    async def main() -> None:
        async with ReplayServer(SyntheticMarket(instruments=9000, seed=5, packets_per_s=0.5)) as server:
            await asyncio.gather(*(_says(example, server.url, WORDS[example.stem]) for example in EXAMPLES))

    run(main())
