"""`kiterec replay --faults FILE`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import kiterec as library
from kiterec.wire.packets import Mode
from tests.cli.commands import kiterec, running
from tests.replay.handmade import listening, run
from tests.replay.test_pytest_plugin import RECORDING

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = library.open(RECORDING).ticks().collect()["instrument_token"].unique().to_list()
SCENARIO = """
[[fault]]
kind = "close"
code = 4321
reason = "as the file says"
at_frame = 3
"""


def test_the_command_lets_go_wrong_what_the_file_says_and_logs_it(tmp_path: Path) -> None:
    path = tmp_path / "bad-day.toml"
    path.write_text(SCENARIO)

    async def main(url: str) -> None:
        async with listening(url) as client:
            await client.want(Mode.LTP, *TOKENS)
            assert await client.until_closed() == (4321, "as the file says")

    with running("-v", "replay", RECORDING, "--port", "0", "--speed", "max", "--faults", path) as server:
        run(main(server.wait_for(r"ws://[\d.:]+")[0]))
        server.wait_for(r"fault kind=close seat=1 number=3")


def test_an_impossible_scenario_is_told_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "bad-day.toml"
    path.write_text(SCENARIO.replace("at_frame = 3", "at_frame = 0"))
    done = kiterec("replay", RECORDING, "--port", "0", "--faults", path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"kiterec: the scenario {path} is impossible: at_frame must be at least 1, got 0")
