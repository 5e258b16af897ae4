"""Time under the clients' feet: pause, step, seek, speed, stretches, loops."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import pytest

from kiterec.replay.playback import Stretch
from kiterec.replay.server import ReplayServer
from kiterec.wire.frames import split_frame
from kiterec.wire.packets import Mode
from tests.replay.handmade import DEADLINE_S, MS, HandmadeTimeline, eventually, frame, listening, packet, run

HOUR_MS = 3_600_000


def prices(client) -> list[int]:
    """Give the last price of each frame's first packet."""
    return [int.from_bytes(split_frame(data)[0][4:8], "big") for data in client.frames]


def counting(
    frames: int, *, every_ms: float = HOUR_MS, rows_per_batch: int = 7, **options
) -> HandmadeTimeline:
    """Give frames whose price counts them from 1, by default an hour apart; heartbeats lie between."""
    rows: list = []
    for n in range(frames):
        rows.append((n * every_ms, 0, frame(packet(184, 256, last_price=n + 1, oi=n))))
        rows.append((n * every_ms, 0, b"\x00"))
    return HandmadeTimeline(rows, rows_per_batch=rows_per_batch, **options)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make heartbeats frequent."""
    monkeypatch.setattr("kiterec.replay.client.HEARTBEAT_S", 0.05)


@pytest.mark.usefixtures("hasty")
def test_a_pause_holds_every_frame_and_no_heartbeat() -> None:
    async def main() -> None:
        timeline = counting(2000, every_ms=5)
        async with ReplayServer(timeline) as server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await client.until(lambda: len(client.frames) > 3)
            server.pause()
            before = server.stats()
            heard = len(client.heartbeats)
            await client.until(lambda: len(client.heartbeats) > heard + 3)
            paused = server.stats()
            assert paused.state == "paused"
            assert (paused.position_s, paused.elapsed_s) == (before.position_s, before.elapsed_s)
            got = len(client.frames)
            heard = len(client.heartbeats)
            await client.until(lambda: len(client.heartbeats) > heard + 3)
            assert len(client.frames) == got
            server.set_speed(None)
            assert server.stats().state == "paused"
            server.resume()
            await client.until_closed()
            assert prices(client) == list(range(1, 2001))

    run(main())


def test_a_replay_can_begin_paused_and_steps_give_the_next_frames() -> None:
    async def main() -> None:
        server = ReplayServer(counting(10), paused=True)
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            for number in (1, 2):
                await server.step()
                await client.until(lambda number=number: prices(client) == list(range(1, number + 1)))
            await server.step(5)
            await client.until(lambda: prices(client) == list(range(1, 8)))
            stats = server.stats()
            assert (stats.state, stats.position_s, stats.seq) == ("paused", 6 * 3600, 12)
            await server.step(100)
            assert await client.until_closed() == (1000, "replay finished")
            assert prices(client) == list(range(1, 11))

    run(main())


def test_a_step_passes_over_what_no_client_gets() -> None:
    async def main() -> None:
        rows = [(n, 0, frame(packet(8, 256 if n % 5 == 4 else 512, last_price=n))) for n in range(20)]
        server = ReplayServer(HandmadeTimeline(rows), paused=True)
        async with server, listening(server.url) as client:
            await client.want(Mode.LTP, 256)
            await server.step(2)
            await client.until(lambda: prices(client) == [4, 9])
            assert server.stats().seq == 9

    run(main())


def test_without_clients_a_step_is_one_message() -> None:
    async def main() -> None:
        async with ReplayServer(counting(10), paused=True, wait_for_clients=0) as server:
            await server.step(3)
            assert server.stats().timeline_messages == 3

    run(main())


def test_the_speed_can_be_changed_while_a_frame_is_waited_for() -> None:
    async def main() -> None:
        async with ReplayServer(counting(5), speed=0.1) as server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await client.until(lambda: client.frames)
            server.set_speed(1_000_000)
            await client.until(lambda: len(client.frames) >= 3)
            server.set_speed(None)
            await client.until_closed()
            assert prices(client) == [1, 2, 3, 4, 5]
            with pytest.raises(ValueError, match="positive number"):
                server.set_speed(0)

    run(main())


@pytest.mark.parametrize("rows_per_batch", [1, 3, 1000])
@pytest.mark.parametrize("speed", [1.0, None])
def test_a_seek_rebuilds_the_state_and_shows_it(rows_per_batch: int, speed: float | None) -> None:
    async def main() -> None:
        timeline = counting(20, rows_per_batch=rows_per_batch)
        server = ReplayServer(timeline, paused=True, speed=speed)
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await server.step()
            for place, expected in (
                ({"position_s": 9.5 * 3600}, 10),
                ({"position_s": 10 * 3600}, 10),
                ({"by_s": -7 * 3600}, 3),
                ({"seq": 30}, 15),
                ({"seq": 8}, 4),
                ({"by_s": 3600 * 5.5}, 10),
            ):
                await server.seek(**place)
                await client.until(lambda expected=expected: prices(client)[-1:] == [expected])
                await server.step()
                await client.until(lambda expected=expected: prices(client)[-1:] == [expected + 1])
            assert prices(client) == [1, 10, 11, 10, 11, 3, 4, 15, 16, 4, 5, 10, 11]

    run(main())


def test_a_seek_to_the_start_shows_the_first_state_and_past_the_end_ends() -> None:
    async def main() -> None:
        timeline = counting(3, universe=[frame(packet(184, 256, last_price=77))])
        async with ReplayServer(timeline, paused=True) as server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await client.until(lambda: prices(client) == [77])
            await server.step()
            assert await server.seek(position_s=-5) == 0
            await client.until(lambda: prices(client) == [77, 1, 77])
            assert await server.seek(position_s=10**9) == 2 * 3600
            await client.until_closed()
            assert prices(client) == [77, 1, 77, 3]

    run(main())


def test_after_the_end_held_a_seek_plays_again() -> None:
    async def main() -> None:
        server = ReplayServer(counting(3), speed=None, at_end="hold")
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            async with asyncio.timeout(DEADLINE_S):
                await server.finished()
                await client.until(lambda: prices(client) == [1, 2, 3])
                await server.seek(seq=2)
            await client.until(lambda: prices(client) == [1, 2, 3, 1, 2, 3])
            await client.until(lambda: server.stats().state == "finished")

    run(main())


@pytest.mark.parametrize("place", [{}, {"seq": 1, "by_s": 1.0}, {"time_ns": 5}])
def test_a_seek_without_one_known_place_is_refused(place: dict) -> None:
    async def main() -> None:
        async with ReplayServer(counting(3)) as server:
            with pytest.raises(ValueError, match=r"one place|no wall clock"):
                await server.seek(**place)

    run(main())


def test_a_stretch_begins_with_the_state_before_it_and_ends_before_its_end() -> None:
    async def main() -> None:
        stretch = Stretch(begin_ns=round(4.5 * HOUR_MS * MS), end_ns=8 * HOUR_MS * MS)
        server = ReplayServer(counting(20), speed=None, paused=True, stretch=stretch)
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await client.until(lambda: prices(client) == [5])
            server.resume()
            await client.until_closed()
            assert prices(client)[-3:] == [6, 7, 8]
            assert set(prices(client)[:-3]) == {5}

    run(main())


def test_a_loop_begins_anew_in_the_first_state() -> None:
    async def main() -> None:
        server = ReplayServer(counting(3), speed=None, at_end="loop")
        async with server, listening(server.url) as client:
            await client.want(Mode.LTP, 256)
            await client.until(lambda: len(client.frames) >= 9)
            assert prices(client)[:9] == [1, 2, 3] * 3
            assert server.stats().rounds >= 2
            assert server.stats().state == "running"

    run(main())


def test_idle_stretches_are_shortened() -> None:
    async def main() -> None:
        server = ReplayServer(counting(8), stretch=Stretch(skip_idle_ns=20 * MS))
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            begin = asyncio.get_running_loop().time()
            await client.until_closed()
            assert asyncio.get_running_loop().time() - begin > 7 * 0.02
            assert prices(client) == list(range(1, 9))
            assert server.stats().position_s == 7 * 3600

    run(main())


def test_what_was_made_before_its_deadline_is_made_anew_when_the_client_asks_for_something_else() -> None:
    async def main() -> None:
        rows = [(1, 0, frame(packet(184, 256, last_price=1)))]
        rows += [(HOUR_MS, 0, frame(packet(184, 256, last_price=2), packet(184, 512, last_price=3)))]
        async with ReplayServer(HandmadeTimeline(rows)) as server, listening(server.url) as client:
            await client.want(Mode.LTP, 256)
            await client.until(lambda: prices(client) == [1])
            server.pause()  # the second frame is made by now, for what was asked for until now
            await client.want(Mode.LTP, 512)
            await eventually(lambda: len(server.clients()[0].modes) == 2)
            server.set_speed(None)
            server.resume()
            await client.until_closed()
            both = packet(8, 256, last_price=2), packet(8, 512, last_price=3)
            assert client.frames[1] == frame(*both)

    run(main())


class Congested:
    """A hook that makes each message cost 10 ms, as on a machine that cannot keep up."""

    async def connecting(self, number: int) -> int | None:
        return None

    def outgoing(self, client, payload, kind, *, due_ns: int, seq: int):
        end = time.perf_counter() + 0.01
        while time.perf_counter() < end:
            pass

    async def settle(self, client, *, ended: bool) -> None:
        pass

    def left(self, client) -> None:
        pass


def test_when_the_machine_cannot_keep_up_all_slow_down_alike_and_the_achieved_speed_says_so() -> None:
    async def main() -> None:
        timeline = counting(60, every_ms=100)
        server = ReplayServer(timeline, speed=50, wait_for_clients=2, hook=Congested())
        async with server, listening(server.url) as first, listening(server.url) as second:
            for client in (first, second):
                await client.want(Mode.FULL, 256)
            for client in (first, second):
                await client.until_closed()
                assert prices(client) == list(range(1, 61))
            stats = server.stats()
            # 60 frames to 2 clients take 1.2 s at least, for 5.9 s of the timeline.
            assert stats.achieved_speed is not None
            assert stats.achieved_speed < 5
            assert stats.lateness is not None
            assert stats.lateness.max_ms > 500
            assert stats.cut_off == []

    run(main())


def test_a_seek_away_from_a_slow_read_does_not_stop_the_heart() -> None:
    """The loop alone can end the read here, so it must have its turns until then."""
    ended, in_time = threading.Event(), []

    class Slow(HandmadeTimeline):
        def batches(self):
            yield from itertools.islice(super().batches(), 1)
            in_time.append(ended.wait(10))

    async def main() -> None:
        timeline = Slow([(0, 0, frame(packet(8, 256))), (1_000, 0, frame(packet(8, 256, last_price=1)))])
        async with ReplayServer(timeline, paused=True) as server, listening(server.url) as client:
            await client.want(Mode.LTP, 256)
            await server.step()
            sought = asyncio.ensure_future(server.seek(position_s=0))
            for _ in range(100):  # turns of the loop; the old read is being ended after a few
                await asyncio.sleep(0)
            ended.set()
            await sought
            server.resume()
            await client.until_closed()

    run(main())
    assert set(in_time) == {True}
