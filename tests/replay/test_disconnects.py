"""Recorded disconnects: replayed where that is asked for, as they were, to those whom they concern."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kiterec.replay.server import ReplayServer
from kiterec.replay.timeline import TimelineBatch, TimelineKind
from kiterec.wire.packets import Mode
from kiterec.wire.transcript import lifecycle_payload
from tests.replay.handmade import MS, HandmadeTimeline, frame, listening, packet, run
from tests.replay.test_time import prices


def lossy(connection: int, **how: object) -> HandmadeTimeline:
    """Give two connections with an instrument each, of which one is lost after two frames each."""
    rows = [(n * 10, n % 2, frame(packet(8, 256 + 256 * (n % 2), last_price=n))) for n in range(8)]

    class Lossy(HandmadeTimeline):
        def batches(self):
            for batch in super().batches():
                loss = pa.array([lifecycle_payload(**how)], pa.binary())
                yield TimelineBatch(
                    due_ns=np.insert(batch.due_ns, 4, 35 * MS),
                    connection=np.insert(batch.connection, 4, connection),
                    kind=np.insert(batch.kind, 4, TimelineKind.DISCONNECT),
                    payloads=pa.concat_arrays([batch.payloads[:4], loss, batch.payloads[4:]]),
                )

    return Lossy(rows, connections=("main-0", "main-1"))


@pytest.mark.parametrize("speed", [1.0, None])
@pytest.mark.parametrize(
    ("how", "seen"),
    [
        ({"code": 1006, "reason": "no close frame received"}, 1006),
        ({"code": 1005}, 1006),
        ({}, 1006),
        ({"code": 1011, "reason": "oops"}, 1011),
        ({"code": 4000, "reason": "enough"}, 4000),
    ],
)
def test_the_client_of_a_lost_instrument_loses_its_connection_as_recorded(
    how: dict, seen: int, speed: float | None
) -> None:
    async def main() -> None:
        server = ReplayServer(lossy(1, **how), disconnects=True, wait_for_clients=2, speed=speed)
        async with server, listening(server.url) as keeps, listening(server.url) as loses:
            await keeps.want(Mode.LTP, 256)
            await loses.want(Mode.LTP, 512)
            assert (await loses.until_closed())[0] == seen
            assert await keeps.until_closed() == (1000, "replay finished")
            assert (prices(keeps), prices(loses)) == ([0, 2, 4, 6], [1, 3])

    run(main())


def test_in_exact_mode_the_client_of_the_lost_connection_loses_it_and_gets_its_seat_back() -> None:
    async def main() -> None:
        server = ReplayServer(lossy(0, code=1006), disconnects=True, exact=True, lockstep=True)
        async with server, listening(server.url) as loses, listening(server.url) as keeps:
            assert (await loses.until_closed())[0] == 1006
            async with listening(server.url, "connection=main-0") as again:
                await again.until_closed()
                await keeps.until_closed()
                assert (prices(loses), prices(again)) == ([0, 2], [4, 6])
                assert prices(keeps) == [1, 3, 5, 7]

    run(main())


@pytest.mark.parametrize(("how", "disconnects"), [({"code": 1006}, False), ({"wanted": True}, True)])
def test_nobody_is_lost_unless_it_is_asked_for_and_the_end_was_not_wanted(
    how: dict, disconnects: bool
) -> None:
    async def main() -> None:
        server = ReplayServer(lossy(1, **how), disconnects=disconnects)
        async with server, listening(server.url) as client:
            await client.want(Mode.LTP, 512)
            assert await client.until_closed() == (1000, "replay finished")
            assert prices(client) == [1, 3, 5, 7]

    run(main())


def test_a_recording_of_one_connection_is_lost_for_all() -> None:
    timeline = HandmadeTimeline([(0, 0, frame(packet(8, 256))), (1, 0, None), (2, 0, frame(packet(8, 256)))])

    async def main() -> None:
        server = ReplayServer(timeline, disconnects=True, wait_for_clients=2)
        async with server, listening(server.url) as first, listening(server.url) as second:
            await first.want(Mode.LTP, 256)
            await second.want(Mode.LTP, 512)
            assert (await first.until_closed())[0] == 1006
            assert (await second.until_closed())[0] == 1006
            assert len(first.frames) == 1

    run(main())
