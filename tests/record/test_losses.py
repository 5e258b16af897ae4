from __future__ import annotations

from kiterec.clock import NS_PER_S
from kiterec.errors import DiskFullError
from kiterec.record.losses import find_losses
from kiterec.store.manifest import Status
from kiterec.store.packet_count import Gap
from kiterec.store.summary import ConnectionSummary, Summary


def summary(**changes: object) -> Summary:
    return Summary(path="x", status=Status.COMPLETE, **changes)  # type: ignore[arg-type]


def test_a_complete_recording_has_lost_nothing() -> None:
    assert find_losses(summary(frames=5)) == ()


def test_gaps_are_added_up_for_each_connection() -> None:
    gaps = [
        Gap(from_ns=0, to_ns=2 * NS_PER_S, reason="a"),
        Gap(from_ns=5 * NS_PER_S, to_ns=6 * NS_PER_S, reason="nothing was heard"),
    ]
    connections = [ConnectionSummary(connection="main-0", gaps=gaps), ConnectionSummary(connection="main-1")]
    assert find_losses(summary(connections=connections)) == (
        "main-0 missed 3.0 s in 2 gaps; the last one because nothing was heard",
    )


def test_rows_that_did_not_reach_the_disk_are_counted_and_the_failure_is_not_repeated() -> None:
    failure = DiskFullError("no space left")
    found = find_losses(
        summary(lost_rows=1234, notes=["no space left", "part 3 was not sealed"]), failure=failure
    )
    assert found == ("1,234 rows that were received are not in the recording", "part 3 was not sealed")


def test_a_refusal_is_told_once_where_no_gap_tells_it() -> None:
    gap = Gap(from_ns=0, to_ns=NS_PER_S, reason="it was refused")
    connections = [ConnectionSummary(connection="main-0", gaps=[gap])]
    found = find_losses(summary(connections=connections), refusals={"main-0": 1, "main-1": 2, "main-2": 0})
    assert found == (
        "main-0 missed 1.0 s in 1 gap; the last one because it was refused",
        "main-1: the server refused 2 requests; the refused rows say what",
    )


def test_what_could_not_be_sealed_or_finished_says_what_to_do() -> None:
    (told,) = find_losses(Summary(path="x", status=Status.RECORDING))
    assert "kiterec recover" in told
    (told,) = find_losses(None)
    assert "kiterec recover" in told
