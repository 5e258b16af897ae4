"""What faults hold back arrives all the same: before the end, and before the next step in lockstep."""

from __future__ import annotations

import asyncio
import contextlib
import json

from websockets.exceptions import ConnectionClosed, InvalidStatus

from kiterec.replay.fault_kinds import (
    Bandwidth,
    Drop,
    FlipByte,
    Latency,
    OrderBurst,
    Refuse,
    Reorder,
    Reset,
    UnknownPacket,
)
from kiterec.wire.packets import Mode
from tests.replay.handmade import listening, run
from tests.replay.test_faults import TOKENS, faulty, heard, nth, numbers


def test_latency_delays_everything_and_keeps_the_order() -> None:
    async def main() -> None:
        begin = asyncio.get_running_loop().time()
        client, injector = await heard(Latency(ms=300, jitter_ms=200), frames=40)
        assert asyncio.get_running_loop().time() - begin > 0.3
        assert numbers(client) == list(range(1, 41))
        assert json.loads(client.messages[0])["type"] == "instruments_meta"
        assert injector.counts == {"latency": 1}

    run(main())


def test_bandwidth_spreads_the_bytes_over_time() -> None:
    async def main() -> None:
        begin = asyncio.get_running_loop().time()
        client, _ = await heard(Bandwidth(bytes_per_s=20_000, at_frame=1), frames=20)
        taken_s = asyncio.get_running_loop().time() - begin
        assert numbers(client) == list(range(1, 21))
        assert taken_s > 20 * len(nth(1)) / 20_000 * 0.9

    run(main())


def test_a_reordered_last_frame_comes_all_the_same() -> None:
    async def main() -> None:
        client, _ = await heard(Reorder(at_frame=12))
        assert numbers(client) == list(range(1, 13))

    run(main())


def test_what_comes_after_a_latency_does_not_overtake_what_is_still_under_way() -> None:
    async def main() -> None:
        client, _ = await heard(Latency(ms=200, at_frame=4, for_frames=3), frames=40)
        assert numbers(client) == list(range(1, 41))

    run(main())


def test_two_runs_in_lockstep_send_the_same_whatever_the_line() -> None:
    faults = (
        Latency(ms=2, jitter_ms=10),
        Bandwidth(bytes_per_s=500_000, every_frames=10, for_frames=3),
        Drop(probability=0.1),
        Reorder(probability=0.1),
        FlipByte(probability=0.2),
        UnknownPacket(every_frames=9),
        OrderBurst(at_frame=20),
        Reset(at_frame=30),
        Refuse(at_frame=30, status=429, connects=2),
    )

    async def one_run(seed: int) -> tuple[dict[str, str], list]:
        async with faulty(*faults, frames=60, seed=seed, lockstep=True) as (server, injector):
            ended = asyncio.create_task(server.finished())
            while not ended.done():
                with contextlib.suppress(InvalidStatus, ConnectionClosed):
                    async with listening(server.url) as client:
                        await client.want(Mode.FULL, *TOKENS)
                        await client.until_closed()
            await ended
            return server.stats().transcripts, injector.events

    async def main() -> None:
        first, again = await one_run(5), await one_run(5)
        assert first == again
        assert len(first[0]) >= 2
        assert (await one_run(6))[0] != first[0]

    run(main())
