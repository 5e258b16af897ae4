"""A few rounds of the kill loop; `make kill-test` runs many."""

from __future__ import annotations

import os

import pytest

from kiterec.store.writer import RecordingWriter
from kiterec.wire.transcript import Kind, Row
from tests import kill_loop

SEED = int.from_bytes(os.urandom(4), "big")


@pytest.mark.timeout(600)
@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="counts processor time with /proc")  # noqa: PTH110
def test_a_killed_recorder_leaves_an_exact_prefix_of_what_was_sent() -> None:
    _, failures, _ = kill_loop.run(20, SEED)  # how late is judged by `make kill-test`, on a quiet machine
    assert failures == [], f"seed {SEED}"


def test_the_check_notices_a_frame_that_was_not_sent(tmp_path) -> None:
    frames = kill_loop.Frames(1)
    sent = kill_loop.Round(frames)
    sent.sent_ns[0] += [10, 20]
    out = tmp_path / "out"
    writer = RecordingWriter.create(out, label="a", accounts=[])
    writer.append("main-0", Row(1, 1, Kind.BINARY, frames.frame(0, 1)))
    writer.close()
    outcome = kill_loop.check(out, sent, 30, 0.0)
    assert any("not what was sent" in failure for failure in outcome.failures)


def test_the_check_notices_a_frame_that_is_missing_and_old(tmp_path) -> None:
    frames = kill_loop.Frames(1)
    sent = kill_loop.Round(frames)
    second = 1_000_000_000
    sent.sent_ns[0] += [0, second]
    out = tmp_path / "out"
    writer = RecordingWriter.create(out, label="a", accounts=[])
    writer.append("main-0", Row(1, 1, Kind.BINARY, frames.frame(0, 0)))
    writer.close()
    late = kill_loop.check(out, sent, 2 * second, 0.0)
    assert late.failures == []
    assert "1000 ms before the kill is missing" in late.lateness
    starved = kill_loop.check(out, sent, 2 * second, 0.9)
    assert starved.is_void
    assert starved.lateness == ""
