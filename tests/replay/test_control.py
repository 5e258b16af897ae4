"""The control channel: the same functions, from another thread or process."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.exceptions import InvalidStatus

from kiterec.errors import ReplayError
from kiterec.replay.control import ReplayControl
from kiterec.replay.server import ReplayServer
from kiterec.wire.packets import Mode
from tests.replay.handmade import DEADLINE_S, eventually, listening, run
from tests.replay.test_time import counting, prices


async def controlled(server: ReplayServer, use) -> None:
    """Use a ReplayControl in a thread, as programs that block do."""

    def blocking() -> None:
        with ReplayControl(server.url) as control:
            use(control)

    async with asyncio.timeout(DEADLINE_S):
        await asyncio.to_thread(blocking)


def test_every_button_does_what_the_servers_function_does() -> None:
    async def main() -> None:
        server = ReplayServer(counting(20))
        async with server, listening(server.url) as client:
            await client.want(Mode.FULL, 256)
            await client.until(lambda: prices(client) == [1])

            def use(control: ReplayControl) -> None:
                assert control.pause().state == "paused"
                assert control.step(2).seq == 4
                assert control.seek(position_s=9.5 * 3600).position_s == 9.5 * 3600
                assert control.seek(by_s=-3600.0).position_s == 8.5 * 3600
                assert control.seek(seq=12).position_s == 6 * 3600
                assert control.set_speed(7.5).speed == 7.5
                assert control.set_speed("max").speed is None
                assert not control.acknowledge()
                (state,) = control.clients()
                assert (state.name, state.modes) == ("client-1", {256: Mode.FULL})
                assert control.resume().state in {"running", "finished"}

            await controlled(server, use)
            await client.until_closed()
            assert prices(client) == [1, 2, 3, 10, 9, 6, *range(7, 21)]

    run(main())


def test_a_refusal_is_a_sentence_and_the_channel_stays() -> None:
    async def main() -> None:
        async with ReplayServer(counting(3)) as server:

            def use(control: ReplayControl) -> None:
                for act, words in (
                    (lambda: control.set_speed(-1), "positive number"),
                    (lambda: control.step(0), "one frame or more"),
                    (control.seek, "one place"),
                    (lambda: control.seek(time_ns=5), "no wall clock"),
                    (lambda: control.seek(position_s=float("1e300")), "."),
                ):
                    with pytest.raises(ReplayError, match=words):
                        act()
                assert control.stats().state == "waiting"

            await controlled(server, use)

    run(main())


NONSENSE = (
    "", "{}", "[]", '{"do":"dance"}', '{"do":"step","frames":"x"}', '{"do":"seek","position_s":1e999}',
    "[" * 100_000, '{"do":"speed"}', b"\xff",
)  # fmt: skip


def test_nonsense_is_answered_with_an_error_and_ids_come_back() -> None:
    async def main() -> None:
        server = ReplayServer(counting(3))
        async with server, listening(server.url + "/control") as control:
            await control.ask(*NONSENSE)
            await control.until(lambda: len(control.messages) == len(NONSENSE))
            replies = [json.loads(message) for message in control.messages]
            assert [reply["ok"] for reply in replies] == [False] * len(NONSENSE)
            assert all(reply["error"] for reply in replies)
            await control.ask('{"do":"stats","id":"mine"}')
            await control.until(lambda: len(control.messages) > len(NONSENSE))
            assert json.loads(control.messages[-1])["id"] == "mine"

    run(main())


def test_a_request_that_waits_does_not_hold_the_next_ones_up() -> None:
    async def main() -> None:
        server = ReplayServer(counting(3))
        async with server, listening(server.url + "/control") as control:
            await control.ask('{"do":"step","id":1}', '{"do":"resume","id":2}')
            await control.until(lambda: len(control.messages) == 2)
            assert {json.loads(message)["id"] for message in control.messages} == {1, 2}

    run(main())


def test_control_channels_are_no_clients_and_the_closing_of_one_stops_nothing() -> None:
    async def main() -> None:
        server = ReplayServer(counting(3), speed=None)
        async with server:
            async with listening(server.url + "/control") as control:
                await control.ask('{"do":"step","frames":2}')
                assert server.stats().clients == 0
            async with listening(server.url) as client:
                await client.want(Mode.FULL, 256)
                await eventually(lambda: server.stats().seq == 2)
                server.resume()
                await client.until_closed()
        assert len(asyncio.all_tasks()) == 1

    run(main())


def test_web_pages_and_strangers_cannot_control() -> None:
    async def main() -> None:
        async with ReplayServer(counting(3), credentials={"k": "t"}) as server:
            url = server.url + "/control"
            for query, origin in (("", None), ("api_key=k&access_token=t", "http://evil.example")):
                with pytest.raises(InvalidStatus) as refusal:
                    async with listening(url, query, origin=origin):
                        pass
                assert refusal.value.response.status_code == 403
            with pytest.raises(ReplayError, match="HTTP status 403"):
                await controlled(server, lambda control: None)

            def blocking() -> None:
                with ReplayControl(server.url + "/?api_key=k&access_token=t") as control:
                    assert control.stats().clients == 0

            await asyncio.to_thread(blocking)
            gone = server.url
        with pytest.raises(ReplayError, match="no replay answers"):
            await asyncio.to_thread(ReplayControl(gone).__enter__)

    run(main())


def test_a_channel_whose_replay_stops_says_so() -> None:
    async def main() -> None:
        server = ReplayServer(counting(3))
        async with server:
            waiting = asyncio.create_task(controlled(server, lambda control: control.step()))
            await eventually(lambda: server.stats().state == "paused")
        with pytest.raises(ReplayError, match="closed the control channel"):
            await waiting

    run(main())
