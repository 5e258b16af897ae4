"""What is read ahead of the messages that are out: little, and nothing that a replay has to wait for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from kiterec.replay.instrument_index import InstrumentIndex
from kiterec.replay.reading import HANDED_BYTES, JOINED_BYTES, read_ahead
from tests.cli.commands import environment
from tests.replay.handmade import DEADLINE_S, batch_of, frame, packet, run
from tests.replay.test_fault_command import TOKENS
from tests.replay.test_pytest_plugin import RECORDING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.replay.timeline import TimelineBatch

WHOLE = frame(*(packet(184, 256 * n) for n in range(1, 1001)))


class Endless:
    """A timeline that counts what was read of it."""

    connections = ("main-0",)
    universe = None
    read = 0

    def instruments_csv(self) -> None:
        return None

    def batches(self) -> Iterator[TimelineBatch]:
        batch = batch_of([(0, 0, WHOLE)])
        while True:
            self.read += len(WHOLE)
            yield batch


@pytest.mark.parametrize("hurried", [False, True])
def test_what_is_read_ahead_is_bounded_however_long_the_timeline(
    hurried: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiterec.replay.reading._QUICK_S", DEADLINE_S)  # sizes alone are the bound

    async def main() -> None:
        timeline, given = Endless(), 0
        index = InstrumentIndex()
        # One handful that is being given and one that is being read, each up to a batch too much.
        most = 2 * ((HANDED_BYTES if hurried else 0) + JOINED_BYTES + len(WHOLE)) + len(WHOLE)
        reading = read_ahead(timeline, index=index, wire=True, hurried=lambda: hurried)
        async with asyncio.timeout(DEADLINE_S), contextlib.aclosing(reading) as batches:
            async for read in batches:
                given += int(read.source.payloads.nbytes)
                assert timeline.read - given <= most
                if given > 100 << 20:
                    break

    run(main())


SERVE = """
import json, sys

from kiterec import compiled
from kiterec.replay.recorded import RecordedTimeline
from kiterec.replay.server import ReplayServer
from kiterec.wire.packets import Mode
from tests.replay.handmade import listening, run

path, exact, tokens = sys.argv[1], bool(int(sys.argv[2])), json.loads(sys.argv[3])

async def main():
    if exact:  # nobody looks for packets, however many there are
        compiled.WORTH_BYTES = 1
    server = ReplayServer(RecordedTimeline(path), speed=None, exact=exact, wait_for_clients=1)
    async with server, listening(server.url) as client:
        compiled._Work.seen_bytes = compiled.WORTH_BYTES  # as after hours
        await client.want(Mode.LTP, *tokens)
        assert (await client.until_closed())[0] == 1000
        assert client.frames

run(main())
loaded = {"numba", "pandas"} & set(sys.modules)
assert not loaded, loaded
"""


@pytest.mark.parametrize("exact", [0, 1])
def test_serving_imports_neither_pandas_nor_numba_while_it_runs(exact: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVE, RECORDING, str(exact), json.dumps(TOKENS[::2])],
        env=environment(), capture_output=True, text=True, timeout=2 * DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
