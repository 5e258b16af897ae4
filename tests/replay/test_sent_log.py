"""What a test is told was sent."""

from __future__ import annotations

from kiterec.replay.fault_kinds import Drop, Latency
from kiterec.replay.faults import FaultInjector
from kiterec.replay.scenario import Scenario
from kiterec.replay.sent_log import SentLog
from kiterec.replay.server import ReplayServer
from tests.replay.handmade import HandmadeTimeline, frame, listening, packet, run
from tests.replay.test_faults import nth


def test_all_but_heartbeats_is_written_down_also_what_a_fault_sends_late() -> None:
    async def main() -> None:
        rows = [(n, 0, nth(n // 2) if n % 2 == 0 else b"\x00") for n in range(2, 14)]
        log = SentLog(FaultInjector(Scenario(faults=(Latency(ms=50), Drop(at_frame=2)))))
        server = ReplayServer(HandmadeTimeline(rows), speed=None, exact=True, hook=log)
        async with server, listening(server.url) as client:
            await client.until_closed()
        assert client.heartbeats
        assert [sent.payload for sent in log.sent] == client.frames == [nth(n) for n in (1, 3, 4, 5, 6)]
        assert {sent.client for sent in log.sent} == {"client-1"}

    run(main())


def test_without_another_hook_everything_goes_out_as_it_is() -> None:
    async def main() -> None:
        log = SentLog()
        timeline = HandmadeTimeline([(n, 0, nth(n)) for n in range(1, 4)])
        server = ReplayServer(timeline, speed=None, exact=True, hook=log)
        async with server, listening(server.url) as client:
            await client.until_closed()
        assert [sent.payload for sent in log.sent] == client.frames == [nth(n) for n in (1, 2, 3)]

    run(main())


def test_the_oldest_are_forgotten_but_counted_and_in_the_digest() -> None:
    async def main() -> None:
        whole, short = SentLog(), SentLog(kept_bytes=1_000)
        for log in (whole, short):
            rows = [(n, 0, frame(packet(184, 256, last_price=n))) for n in range(40)]
            server = ReplayServer(HandmadeTimeline(rows), speed=None, exact=True, hook=log)
            async with server, listening(server.url) as client:
                await client.until_closed()
        totals = short.totals()
        assert sum(len(sent.payload) for sent in short.sent) <= 1_000
        assert list(short.sent) == list(whole.sent)[-len(short.sent) :]
        assert totals.forgotten == 40 - len(short.sent) > 0
        assert (totals.messages, totals.size) == (40, 40 * 188)
        assert totals.sha256 == whole.totals().sha256

    run(main())
