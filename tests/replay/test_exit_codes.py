"""How `kiterec replay` ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kiterec.store.writer import RecordingWriter
from kiterec.wire.packets import Mode
from kiterec.wire.transcript import Kind, Row
from tests.cli.commands import DEADLINE_S, running
from tests.replay.handmade import listening, run
from tests.replay.test_fault_command import TOKENS
from tests.replay.test_hostile import TOKENS as MANY
from tests.replay.test_hostile import Deaf, heavy
from tests.replay.test_pytest_plugin import RECORDING

if TYPE_CHECKING:
    from pathlib import Path

START = 1_763_700_000_000_000_000


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a recording of 37 MB in a second: more than a client may leave unread."""
    writer = RecordingWriter.create(tmp_path_factory.mktemp("large"), label="large", accounts=["main"])
    for batch in heavy(frames=200, every_ms=5).batches():
        for due_ns, payload in zip(batch.due_ns.tolist(), batch.payloads.to_pylist(), strict=True):
            writer.append("main-0", Row(START + due_ns, due_ns, Kind.BINARY, payload))
    writer.close()
    return writer.path


def test_a_lockstep_that_gave_up_has_failed() -> None:
    async def main(url: str) -> None:
        async with listening(url) as client:
            await client.want(Mode.LTP, *TOKENS)
            assert await client.until_closed() == (1011, "replay failed")

    words = ("--port", "0", "--lockstep", "acknowledged", "--lockstep-timeout", "1s")
    with running("replay", RECORDING, *words) as server:
        run(main(server.wait_for(r"ws://[\d.:]+")[0]))
        assert server.process.wait(DEADLINE_S) == 1
        server.wait_for(r"kiterec: lockstep has waited 1 s for client-1 to acknowledge")


def test_a_replay_that_everybody_got_all_of_has_lost_nothing(large: Path) -> None:
    async def main(url: str) -> None:
        async with listening(url) as client:
            await client.want(Mode.FULL, *MANY)
            assert (await client.until_closed())[0] == 1000
            assert len(client.frames) == 201

    with running("replay", large, "--port", "0", "--at-end", "close") as server:
        run(main(server.wait_for(r"ws://[\d.:]+")[0]))
        assert server.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("ending", ["close", "hold"])
def test_a_replay_that_cut_a_client_off_has_lost_something(large: Path, ending: str) -> None:
    with running("replay", large, "--port", "0", "--at-end", ending) as server:
        port = int(server.wait_for(r"ws://[\d.]+:(\d+)")[1])

        async def main() -> None:
            async with Deaf(port):
                server.wait_for("client cut off client=client-1")
                if ending == "close":
                    server.process.wait(DEADLINE_S)

        run(main())
        assert server.stop()[0] == 3
