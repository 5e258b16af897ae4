"""How `kiterec replay` ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from kiterec.cli import kiterec
from kiterec.wire.packets import Mode
from tests.cli.commands import DEADLINE_S, running
from tests.replay.handmade import listening, run
from tests.replay.test_fault_command import TOKENS
from tests.replay.test_pytest_plugin import RECORDING

if TYPE_CHECKING:
    from kiterec.replay.server import ReplayServer


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


@pytest.mark.parametrize(("cut_off", "code"), [([], 0), (["client-1: nothing read for 10 s"], 3)])
def test_a_replay_that_cut_a_client_off_has_lost_something(
    cut_off: list[str], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(server: ReplayServer, what: str, **options: object) -> None:
        server._tally.cut_off += cut_off

    monkeypatch.setattr("kiterec.cli.serving.serve", serve)
    monkeypatch.setattr("kiterec.cli.logs.log_to_stderr", lambda **_: None)
    assert CliRunner().invoke(kiterec, ["replay", str(RECORDING)]).exit_code == code
