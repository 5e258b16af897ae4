"""A lockstep run with real faults, in a process of its own: prints the transcripts as JSON.

python -m tests.replay.lockstep_run SEED
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from kiterec.replay.fault_kinds import Drop, Duplicate, FlipByte, Latency, Reorder, Reset, Truncate
from kiterec.replay.faults import FaultInjector
from kiterec.replay.scenario import Scenario
from kiterec.replay.server import ReplayServer
from kiterec.simulate import SyntheticMarket
from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode
from tests.replay.handmade import listening, run

FAULTS = (
    Drop(probability=0.1),
    Duplicate(probability=0.1),
    Reorder(probability=0.1),
    FlipByte(probability=0.1),
    Truncate(probability=0.1),
    Latency(ms=1, jitter_ms=2, probability=0.2),
    # One after another, so that they come back in the same order.
    *(Reset(at_frame=10 * seat, clients=(seat,)) for seat in (1, 2, 3)),
)


async def transcripts(seed: int) -> dict[str, str]:
    """Serve three clients that want different things; each that is thrown out comes back."""
    market = SyntheticMarket(instruments=12, seed=5, duration_s=12)
    tokens = market.instrument_tokens
    hook = FaultInjector(Scenario(seed=seed, faults=FAULTS))
    server = ReplayServer(market, speed=None, lockstep=True, wait_for_clients=3, hook=hook)

    async def program(mode: Mode, some: tuple[int, ...], ready: asyncio.Event) -> None:
        while server.stats().state != "finished":
            with contextlib.suppress(OSError):
                async with listening(server.url) as client:
                    await client.until(lambda: client.messages or client.close)
                    ready.set()
                    await client.ask(SetMode(mode, some))
                    await client.until_closed()

    async with server, asyncio.TaskGroup() as programs:
        for mode, some in ((Mode.FULL, tokens[:8]), (Mode.LTP, tokens[4:]), (Mode.QUOTE, tokens[::2])):
            ready = asyncio.Event()
            programs.create_task(program(mode, tuple(some), ready))
            await ready.wait()  # so that client-1 is always the same program
        await server.finished()
        return server.stats().transcripts


if __name__ == "__main__":
    result: dict[str, str] = {}

    async def main() -> None:
        result.update(await transcripts(int(sys.argv[1])))

    run(main())
    print(json.dumps(result))
