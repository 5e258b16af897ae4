"""Scenarios as data, and what a seed decides."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiterec.errors import SetupError
from kiterec.replay import fault_kinds
from kiterec.replay.fault_kinds import AnyFault, Drop, FlipByte, Latency, Reset, Silence, Truncate
from kiterec.replay.fault_triggers import Place, Trigger
from kiterec.replay.faults import FaultInjector
from kiterec.replay.hooks import Sending
from kiterec.replay.scenario import Scenario
from tests.replay.test_faults import nth

MS = 1_000_000


def test_a_scenario_in_toml_is_the_same_as_in_python(tmp_path: Path) -> None:
    path = tmp_path / "bad-day.toml"
    path.write_text(
        """
        seed = 7

        [[fault]]
        kind = "reset"
        at_frame = 100

        [[fault]]
        kind = "latency"
        ms = 80
        jitter_ms = 40
        from_s = 5

        [[fault]]
        kind = "silence"
        at_s = 12.5
        for_s = 3
        clients = [2]
        """
    )
    assert Scenario.load(path) == Scenario(
        seed=7,
        faults=(
            Reset(at_frame=100),
            Latency(ms=80, jitter_ms=40, from_s=5),
            Silence(at_s=12.5, for_s=3, clients=(2,)),
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = ", "is no TOML"),
        ('[[fault]]\nkind = "nonsense"', "Invalid value 'nonsense' - at `$.fault[0].kind`"),
        ('[[fault]]\nkind = "reset"', "no trigger; give one of at_frame"),
        ('[[fault]]\nkind = "reset"\nat_frame = 1\nat_s = 2', "at_frame and at_s are two triggers"),
        ('[[fault]]\nkind = "reset"\nat_frame = 0', "at_frame must be at least 1, got 0"),
        ('[[fault]]\nkind = "drop"\nprobability = 1.5', "between 0 and 1, got 1.5"),
        ('[[fault]]\nkind = "close"\nat_s = 1\ncode = 1006', "for 1006 use the kind reset"),
        ('[[fault]]\nkind = "bandwidth"', "missing required field `bytes_per_s`"),
        ('[[fault]]\nkind = "bandwidth"\nbytes_per_s = 0', "bytes_per_s must be positive"),
        ('[[fault]]\nkind = "latency"\nms = -1', "ms must be at least 0, got -1"),
        ('[[fault]]\nkind = "silence"\nfor_s = 0', "for_s must be positive"),
        ('[[fault]]\nkind = "silence"\nfrom_s = 3\nuntil_s = 3', "from_s must be before until_s"),
        ('[[fault]]\nkind = "unknown_packet"\nat_frame = 1\nlength = 44', "an unknown one"),
        ('[[fault]]\nkind = "refuse"\nstatus = 200', "between 400 and 599, got 200"),
        ('[[fault]]\nkind = "drop"\nat_frame = 1\nclients = [0]', "numbered from 1"),
        ('[[fault]]\nkind = "drop"\nat_frame = 1\nframes = 3', "unknown field `frames`"),
        ("faults = 3", "unknown field `faults`"),
    ],
)
def test_an_impossible_scenario_is_one_line_that_says_why(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    with pytest.raises(SetupError) as refused:
        Scenario.load(path)
    assert said in str(refused.value)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"cannot read the scenario .*: No such file"):
        Scenario.load(tmp_path / "none.toml")


def test_the_page_on_faults_tells_each_kind_and_each_of_its_fields() -> None:
    page = (Path(__file__).parents[2] / "docs/faults.md").read_text()
    common = set(fault_kinds.Fault.__struct_fields__)
    for kind in AnyFault.__args__:
        tag = kind.__struct_config__.tag
        row = next((line for line in page.splitlines() if line.startswith(f"| `{tag}`")), None)
        assert row, f"docs/faults.md has no row for {tag}"
        for field in set(kind.__struct_fields__) - common - {"for_s", "for_frames", "attempts", "connects"}:
            assert f"`{field}" in row, f"docs/faults.md does not tell of {field} of {tag}"
    for field in common | {"for_s", "for_frames", "attempts", "connects"}:
        assert f"`{field}" in page


def test_the_page_on_faults_names_a_test_of_each_kind() -> None:
    _, _, listed = (
        (Path(__file__).parents[2] / "docs/faults.md").read_text().partition("## How they are tested")
    )
    rows = [line.split("|")[1] for line in listed.splitlines() if line.startswith("| `")]
    for kind in AnyFault.__args__:
        assert any(f"`{kind.__struct_config__.tag}`" in row for row in rows), kind


def fired(fault, *, seed: int, seat: int = 1, index: int = 0, frames: int = 400) -> list[int]:
    trigger = Trigger(fault, seed=seed, index=index, seat=seat)
    return [n for n in range(1, frames + 1) if trigger.fires(Place(n, n * MS, n))]


def test_the_same_seed_fires_at_the_same_frames_and_another_at_others() -> None:
    fault = Drop(probability=0.1)
    first = fired(fault, seed=5)
    assert 15 < len(first) < 80
    assert fired(fault, seed=5) == first
    assert fired(fault, seed=6) != first
    assert fired(fault, seed=5, seat=2) != first
    assert fired(fault, seed=5, index=1) != first


def test_bounds_take_frames_away_and_move_none() -> None:
    free = fired(Drop(probability=0.1), seed=5)
    bounded = fired(Drop(probability=0.1, from_s=0.1, until_s=0.3, times=5), seed=5)
    assert bounded == [n for n in free if 100 <= n < 300][:5]


def test_a_seq_or_an_instant_that_the_client_does_not_get_counts_from_the_next_one_on() -> None:
    trigger = Trigger(Drop(at_seq=10), seed=1, index=0, seat=1)
    assert [trigger.fires(Place(n, 0, seq)) for n, seq in enumerate([3, 9, 12, 10, 20])] == [
        False, False, True, False, False,
    ]  # fmt: skip
    assert fired(Drop(at_s=0.0105), seed=1) == [11]


class Tape:
    """A client that writes down what gets to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.got: list[bytes | str] = []

    def transmit(self, message: bytes | str) -> None:
        self.got.append(message)

    def reset(self) -> None:
        self.got.append("reset")

    def say_goodbye(self, code: int, reason: str) -> None:
        self.got.append(f"{code} {reason}")


def test_what_a_seat_gets_does_not_depend_on_how_others_take_turns_with_it() -> None:
    scenario = Scenario(
        seed=11, faults=(Drop(probability=0.2), FlipByte(probability=0.3), Truncate(probability=0.1))
    )

    def play(turns: list[int]) -> list[list[bytes | str]]:
        injector = FaultInjector(scenario)
        tapes = [Tape("client-1"), Tape("client-2")]
        sent = [0, 0]
        for tape in tapes:
            injector.outgoing(tape, "hello", Sending.GREETING, due_ns=0, seq=-1)
        for turn in turns:
            sent[turn] += 1
            n = sent[turn]
            out = injector.outgoing(tapes[turn], nth(n), Sending.FRAME, due_ns=n * MS, seq=n)
            tapes[turn].got += [nth(n)] if out is None else out
        return [tape.got for tape in tapes]

    turns = [0] * 200 + [1] * 200
    expected = play(turns)
    assert expected[0] != expected[1]
    for seed in range(5):
        random.Random(seed).shuffle(turns)
        assert play(turns) == expected, f"seed {seed}"


def test_a_seat_that_has_a_new_client_is_not_freed_when_the_lost_one_is_noticed() -> None:
    injector = FaultInjector(Scenario(faults=(Reset(at_frame=1), Drop(at_frame=2))))
    lost, back, third = Tape("client-1"), Tape("client-2"), Tape("client-3")

    def send(client: Tape):
        return injector.outgoing(client, nth(1), Sending.FRAME, due_ns=0, seq=0)

    assert send(lost) == ()
    assert send(back) == []
    injector.left(lost)
    assert send(third) == ()
    assert [(event.kind, event.seat) for event in injector.events] == [
        ("reset", 1),
        ("drop", 1),
        ("reset", 2),
    ]


def test_every_kind_can_be_written_and_read_back() -> None:
    for kind in AnyFault.__args__:
        needs = {"bytes_per_s": 9.0} if "bytes_per_s" in kind.__struct_fields__ else {}
        fault = kind(at_frame=3, **needs)
        assert msgspec.convert(msgspec.to_builtins(fault), AnyFault) == fault


FAULTS = st.sampled_from(AnyFault.__args__).map(
    lambda kind: kind(
        probability=0.5, **({"bytes_per_s": 1e6} if "bytes_per_s" in kind.__struct_fields__ else {})
    )
)
MESSAGES = st.tuples(
    st.sampled_from(Sending), st.one_of(st.binary(max_size=400), st.just(nth(3)), st.text(max_size=20))
)


@given(st.lists(FAULTS, max_size=8), st.lists(MESSAGES, max_size=20), st.integers(0, 99))
def test_no_mix_of_faults_breaks_the_server_whatever_the_messages_are(
    faults: list[AnyFault], messages: list[tuple[Sending, bytes | str]], seed: int
) -> None:
    async def main() -> None:
        injector, tape = FaultInjector(Scenario(seed=seed, faults=tuple(faults))), Tape("client-1")
        for n, (kind, payload) in enumerate(messages):
            out = injector.outgoing(tape, payload, kind, due_ns=n * MS, seq=n)
            assert out is None or all(isinstance(each, bytes | str) for each in out)
        injector.left(tape)
        await injector.settle(tape, ended=True)

    asyncio.run(main())
