"""Every fault as a client meets it, from a real server."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

from kiterec.replay.fault_frames import ORDER_STEPS
from kiterec.replay.fault_kinds import (
    Bandwidth,
    Close,
    Drop,
    Duplicate,
    ErrorMessage,
    FlipByte,
    HeartbeatsOnly,
    OrderBurst,
    Refuse,
    Reorder,
    Reset,
    Silence,
    SlowAccept,
    SplitSnapshot,
    Truncate,
    UnknownPacket,
)
from kiterec.replay.faults import FaultInjector
from kiterec.replay.scenario import Scenario
from kiterec.replay.server import ReplayServer
from kiterec.wire.frames import scan_frame, split_frame
from kiterec.wire.messages import ErrorText, decode_text
from kiterec.wire.orders import OrderUpdate
from kiterec.wire.packets import Mode
from tests.replay.handmade import HandmadeTimeline, frame, listening, packet, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from kiterec.replay.fault_kinds import Fault
    from tests.replay.handmade import Listener

TOKENS = (256, 512, 768)


def nth(n: int) -> bytes:
    """Give the n-th frame, from 1; its prices tell which it is."""
    return frame(*(packet(184, token, last_price=n, volume_traded=n) for token in TOKENS))


def numbered(frames: int = 12, every_ms: float = 5) -> HandmadeTimeline:
    return HandmadeTimeline([(n * every_ms, 0, nth(n)) for n in range(1, frames + 1)])


def numbers(client: Listener) -> list[int]:
    return [int.from_bytes(each[8:12]) for each in client.frames if len(each) >= 12]


@contextlib.asynccontextmanager
async def faulty(
    *faults: Fault, frames: int = 12, seed: int = 1, **options
) -> AsyncIterator[tuple[ReplayServer, FaultInjector]]:
    injector = FaultInjector(Scenario(seed=seed, faults=faults))
    async with ReplayServer(numbered(frames), speed=None, hook=injector, **options) as server:
        yield server, injector


async def heard(*faults: Fault, **options) -> tuple[Listener, FaultInjector]:
    """Give what one client heard of a whole replay."""
    async with faulty(*faults, **options) as (server, injector), listening(server.url) as client:
        await client.want(Mode.FULL, *TOKENS)
        await client.until_closed()
    return client, injector


def kinds(injector: FaultInjector) -> list[tuple[str, int, int]]:
    return [(event.kind, event.seat, event.number) for event in injector.events]


def test_without_faults_nothing_changes() -> None:
    async def main() -> None:
        client, injector = await heard()
        assert client.frames == [nth(n) for n in range(1, 13)]
        assert injector.events == []

    run(main())


def test_a_reset_has_no_close_frame() -> None:
    async def main() -> None:
        client, injector = await heard(Reset(at_frame=4))
        assert client.close is not None
        assert client.close[0] == 1006
        assert numbers(client) == [1, 2, 3]
        assert kinds(injector) == [("reset", 1, 4)]

    run(main())


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4001])
def test_a_close_has_its_code_and_reason(code: int) -> None:
    async def main() -> None:
        client, _ = await heard(Close(at_frame=4, code=code, reason="maintenance"))
        assert client.close == (code, "maintenance")
        assert numbers(client) == [1, 2, 3]

    run(main())


def test_a_client_that_comes_back_goes_on_counting_and_is_reset_once() -> None:
    async def main() -> None:
        injector = FaultInjector(Scenario(faults=(Reset(at_frame=4),)))
        async with ReplayServer(numbered(60, every_ms=50), speed=1, hook=injector) as server:
            async with listening(server.url) as first:
                await first.want(Mode.FULL, *TOKENS)
                assert (await first.until_closed())[0] == 1006
            async with listening(server.url) as second:
                await second.want(Mode.FULL, *TOKENS)
                assert (await second.until_closed())[0] == 1000
                assert numbers(second)[-1] == 60
        assert kinds(injector) == [("reset", 1, 4)]

    run(main())


def test_silence_takes_heartbeats_too_and_heartbeats_only_leaves_them() -> None:
    async def main(fault: Fault, *, beats: bool) -> None:
        async with (
            faulty(fault, at_end="hold") as (server, injector),
            listening(server.url) as client,
            listening(server.url) as witness,
        ):
            await client.want(Mode.FULL, *TOKENS)
            await server.finished()
            await witness.until(lambda: witness.heartbeats)
            if beats:
                await client.until(lambda: client.heartbeats)
            assert bool(client.heartbeats) == beats
            assert numbers(client) == [1, 2, 3]
            assert kinds(injector) == [(fault.name, 1, 4)]

    async def both() -> None:
        await asyncio.gather(
            main(Silence(at_frame=4, clients=(1,)), beats=False),
            main(HeartbeatsOnly(at_frame=4, clients=(1,)), beats=True),
        )

    run(both())


@pytest.mark.parametrize(
    ("fault", "lost"),
    [
        (Silence(at_frame=4, for_frames=3), {4, 5, 6}),
        (Silence(at_s=0.020, for_s=0.010), {4, 5}),
        (HeartbeatsOnly(every_frames=5, for_frames=2), {5, 6, 10, 11}),
        (HeartbeatsOnly(from_s=0.030, until_s=0.045), {6, 7, 8}),
        (Silence(for_frames=2), {1, 2}),
    ],
)
def test_an_episode_ends_after_its_seconds_or_frames(fault: Fault, lost: set[int]) -> None:
    async def main() -> None:
        client, _ = await heard(fault)
        assert numbers(client) == [n for n in range(1, 13) if n not in lost]

    run(main())


def test_a_line_that_is_far_too_slow_ends_like_a_client_that_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kiterec.replay.fault_seat.HELD_BYTES", 2_000)

    async def main() -> None:
        client, _ = await heard(Bandwidth(bytes_per_s=1, at_frame=3), frames=20)
        assert client.close is not None
        assert client.close[0] == 1008
        assert numbers(client) == [1, 2]

    run(main())


def test_a_duplicate_comes_twice() -> None:
    async def main() -> None:
        client, _ = await heard(Duplicate(at_frame=4))
        assert numbers(client) == [1, 2, 3, 4, *range(4, 13)]

    run(main())


def test_a_reordered_frame_comes_after_the_next_one() -> None:
    async def main() -> None:
        client, _ = await heard(Reorder(at_frame=4))
        assert numbers(client) == [1, 2, 3, 5, 4, *range(6, 13)]

    run(main())


def test_a_dropped_frame_is_missing() -> None:
    async def main() -> None:
        client, _ = await heard(Drop(every_frames=4))
        assert numbers(client) == [1, 2, 3, 5, 6, 7, 9, 10, 11]

    run(main())


def test_a_truncated_frame_is_a_true_beginning() -> None:
    async def main() -> None:
        client, _ = await heard(Truncate(at_frame=4), Truncate(at_frame=6, keep_bytes=100))
        cut, at_100 = client.frames[3], client.frames[5]
        assert 2 <= len(cut) < len(nth(4))
        assert nth(4).startswith(cut)
        assert at_100 == nth(6)[:100]
        assert [*client.frames[:3], client.frames[4]] == [nth(1), nth(2), nth(3), nth(5)]

    run(main())


def test_a_flipped_byte_is_one_byte() -> None:
    async def main() -> None:
        client, _ = await heard(FlipByte(at_frame=4), FlipByte(at_frame=6, offset=1))

        def differing(n: int) -> list[int]:
            got = client.frames[n - 1]
            return [at for at, (a, b) in enumerate(zip(got, nth(n), strict=True)) if a != b]

        assert [len(differing(n)) for n in range(1, 13)] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]
        assert differing(6) == [1]

    run(main())


def test_a_packet_of_unknown_length_can_be_stepped_over() -> None:
    async def main() -> None:
        client, _ = await heard(UnknownPacket(at_frame=4, length=64))
        strange = scan_frame(client.frames[3])
        assert [length for _, length in strange.packets] == [64, 184, 184, 184]
        assert split_frame(nth(4)) == [client.frames[3][o : o + n] for o, n in strange.packets[1:]]

    run(main())


def test_an_error_text_comes_before_the_frame() -> None:
    async def main() -> None:
        client, _ = await heard(ErrorMessage(at_frame=4, text="Gateway is busy."))
        at = client.messages.index(nth(4))
        assert decode_text(client.messages[at - 1]) == ErrorText("Gateway is busy.")
        assert numbers(client) == list(range(1, 13))

    run(main())


def test_an_order_burst_is_orders_that_the_clients_understand() -> None:
    async def main() -> None:
        client, _ = await heard(OrderBurst(at_frame=4, orders=5))
        at = client.messages.index(nth(4))
        orders = [decode_text(text) for text in client.messages[at - 15 : at]]
        assert all(isinstance(order, OrderUpdate) for order in orders)
        assert [order.status for order in orders] == [step for step in ORDER_STEPS for _ in range(5)]
        assert len({order.order_id for order in orders}) == 5
        assert all(order.order_timestamp is not None for order in orders)

    run(main())


def test_a_split_snapshot_holds_each_instrument_once() -> None:
    async def main() -> None:
        timeline = HandmadeTimeline([], universe=[nth(7)])
        injector = FaultInjector(Scenario(faults=(SplitSnapshot(parts=2, times=1),)))
        async with (
            ReplayServer(timeline, wait_for_clients=0, at_end="hold", hook=injector) as server,
            listening(server.url) as client,
        ):
            await client.want(Mode.FULL, *TOKENS)
            await client.until(lambda: len(client.packets) == 3)
            assert [len(split_frame(each)) for each in client.frames] == [1, 2]
            await client.want(Mode.LTP, *TOKENS)
            await client.until(lambda: len(client.packets) == 6)
            assert len(client.frames) == 3
        assert kinds(injector) == [("split_snapshot", 1, 1)]

    run(main())


@pytest.mark.parametrize("status", [403, 429, 400])
def test_the_next_connect_is_refused_after_the_frame(status: int) -> None:
    async def main() -> None:
        faults = (Reset(at_frame=4), Refuse(at_frame=4, status=status, connects=2))
        async with faulty(*faults) as (server, injector):
            async with listening(server.url) as client:
                await client.want(Mode.FULL, *TOKENS)
                assert (await client.until_closed())[0] == 1006
            for _ in range(2):
                with pytest.raises(InvalidStatus) as refused:
                    async with listening(server.url):
                        pass
                assert refused.value.response.status_code == status
            async with listening(server.url) as client:
                await client.until(lambda: client.messages or client.close)
            assert server.stats().refused == {status: 2}
        assert injector.counts == {"reset": 1, "refuse": 2}

    run(main())


def test_attempts_can_be_refused_by_number() -> None:
    async def main() -> None:
        async with faulty(Refuse(status=403, attempts=(2,))) as (server, _):
            async with listening(server.url):
                pass
            with pytest.raises(InvalidStatus):
                async with listening(server.url):
                    pass
            async with listening(server.url):
                pass

    run(main())


def test_a_slow_accept_answers_late() -> None:
    async def main() -> None:
        async with faulty(SlowAccept(seconds=0.4, times=1)) as (server, injector):
            begin = asyncio.get_running_loop().time()
            async with listening(server.url):
                assert asyncio.get_running_loop().time() - begin >= 0.39
            async with listening(server.url):
                pass
        assert injector.counts == {"slow_accept": 1}

    run(main())


def test_an_exact_replay_has_faults_too_and_recorded_heartbeats_are_no_frames() -> None:
    async def main() -> None:
        rows = [(n, 0, nth(n // 2) if n % 2 == 0 else b"\x00") for n in range(2, 14)]
        injector = FaultInjector(Scenario(faults=(Drop(at_frame=2), Duplicate(at_frame=4))))
        server = ReplayServer(HandmadeTimeline(rows), speed=None, exact=True, hook=injector)
        async with server, listening(server.url) as client:
            await client.until_closed()
            assert numbers(client) == [1, 3, 4, 4, 5, 6]
            assert len(client.heartbeats) == 6

    run(main())


def test_clients_can_be_met_by_their_seats() -> None:
    async def main() -> None:
        faults = (Drop(at_frame=2, clients=(1,)), Drop(at_frame=3, clients=(2,)))
        async with (
            faulty(*faults, wait_for_clients=2) as (server, injector),
            listening(server.url) as first,
        ):
            await first.until(lambda: first.messages)
            async with listening(server.url) as second:
                for client in (first, second):
                    await client.want(Mode.FULL, *TOKENS)
                for client in (first, second):
                    await client.until_closed()
                assert numbers(first) == [n for n in range(1, 13) if n != 2]
                assert numbers(second) == [n for n in range(1, 13) if n != 3]
            assert sorted(kinds(injector)) == [("drop", 1, 2), ("drop", 2, 3)]

    run(main())
