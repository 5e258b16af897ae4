"""merge puts recordings in one order, each packet once if wanted, and says who filled whose gaps."""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest

import kiterec
from kiterec.clock import NS_PER_MS, NS_PER_S
from kiterec.errors import SetupError
from kiterec.simulate.market import VIRTUAL_START
from kiterec.store.manifest import load_manifest
from kiterec.upkeep import cut, merge, verify
from kiterec.wire.frames import join_frame
from kiterec.wire.transcript import Kind, Row
from tests.upkeep.market_recordings import (
    instant,
    market,
    packets,
    record,
    rows,
    token_of,
    transcript,
)

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 12


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give two hosts' recordings of one market: other connections, other latency, each away for a while."""
    made = market(SECONDS)
    out = tmp_path_factory.mktemp("hosts")
    first = record(
        out / "first", rows(made, away=("main-0", 3, 5)), dump=made.instruments_csv(), account="main"
    )
    second = record(
        out / "second",
        rows(
            made,
            connections=("spare-0", "spare-1", "spare-2"),
            latency_ns=31 * NS_PER_MS,
            boot_ns=5_000 * NS_PER_S,
            away=("spare-1", 8, 9.5),
        ),
        dump=made.instruments_csv(),
        account="spare",
    )
    return first, second


def test_merging_the_halves_of_a_cut_gives_the_whole(whole: Path, tmp_path: Path) -> None:
    halves = [
        cut(whole, tmp_path / "a", end=instant(5)),
        cut(whole, tmp_path / "b", begin=instant(5)),
    ]
    report = merge(halves, tmp_path / "out")
    found = transcript(tmp_path / "out")
    columns = ("received_at", "monotonic_ns", "kind", "payload")
    assert [[row[name] for name in columns] for row in found] == [
        [row[name] for name in columns] for row in transcript(whole)
    ]
    assert [row["connection"].removesuffix(".2") for row in found] == [
        row["connection"] for row in transcript(whole)
    ]
    assert report.inputs[1].connections == {"main-0": "main-0.2", "main-1": "main-1.2"}
    assert report.rows == len(found)
    assert verify(tmp_path / "out").is_clean


def test_merging_by_connection_gives_back_the_transcripts(whole: Path, tmp_path: Path) -> None:
    shares = [cut(whole, tmp_path / name, connections=[name]) for name in ("main-0", "main-1")]
    merge(shares, tmp_path / "out")
    for name in ("main-0", "main-1"):
        mine = [row["payload"] for row in transcript(tmp_path / "out") if row["connection"] == name]
        assert mine == [row["payload"] for row in transcript(whole) if row["connection"] == name]


def test_rows_are_ordered_by_time_then_input_and_inputs_keep_their_own_order(tmp_path: Path) -> None:
    def host(name: str, times: list[int]) -> Path:
        texts = ((n, at) for n, at in enumerate(times))
        made = ((name, Row(at, n, Kind.TEXT, f"{name} {n}".encode())) for n, at in texts)
        return record(tmp_path / name, made)

    merge([host("a", [10, 20, 20, 15, 30]), host("b", [5, 20, 20, 31]), host("c", [20])], tmp_path / "out")
    found = [row["payload"].decode() for row in transcript(tmp_path / "out")]
    # a's clock was set back: its row of time 15 counts as of time 20.
    assert found == ["b 0", "a 0", "a 1", "a 2", "a 3", "b 1", "b 2", "c 0", "a 4", "b 3"]


def test_without_dedupe_every_packet_of_every_input_is_there(
    hosts: tuple[Path, Path], tmp_path: Path
) -> None:
    report = merge(hosts, tmp_path / "out")
    both = Counter(packet for path in hosts for _, _, packet in packets(path))
    assert Counter(packet for _, _, packet in packets(tmp_path / "out")) == both
    assert [it.packets for it in report.inputs] == [len(packets(path)) for path in hosts]
    assert [it.twins for it in report.inputs] == [0, 0]
    assert verify(tmp_path / "out").is_clean


def test_dedupe_keeps_a_price_that_comes_back_where_an_input_has_a_gap(tmp_path: Path) -> None:
    def host(name: str, missing: range) -> Path:
        prices = ((10_000 + 5 * (n % 2)).to_bytes(4) for n in range(60))
        packets = ((408_065).to_bytes(4) + price for price in prices)
        frames = [(n, join_frame([packet])) for n, packet in enumerate(packets) if n not in missing]
        return record(
            tmp_path / name,
            [
                ("main-0", Row(VIRTUAL_START + n * NS_PER_S, n * NS_PER_S, Kind.BINARY, payload))
                for n, payload in frames
            ],
        )

    merge([host("a", range(10, 20)), host("b", range(30, 41))], tmp_path / "out", dedupe=True)
    received = kiterec.open(tmp_path / "out").ticks().select("received_at").collect()["received_at"]
    assert received.len() == received.n_unique() == 60


def test_dedupe_leaves_each_packet_once_and_fills_the_gaps(hosts: tuple[Path, Path], tmp_path: Path) -> None:
    report = merge(hosts, tmp_path / "out", dedupe=True)
    complete = record(tmp_path / "complete", rows(market(SECONDS)))
    expected = Counter(packet for _, _, packet in packets(complete))
    assert Counter(packet for _, _, packet in packets(tmp_path / "out")) == expected
    first, second = report.inputs
    assert first.twins == 0, "the first host is the faster one"
    assert second.packets - second.twins == sum(expected.values()) - first.packets > 0
    findings = verify(tmp_path / "out")
    assert (findings.is_clean, findings.warnings) == (True, [])


def test_the_report_says_which_input_filled_which_gap(hosts: tuple[Path, Path], tmp_path: Path) -> None:
    report = merge(hosts, tmp_path / "out", dedupe=True)
    assert [(it.source, it.connection) for it in report.gaps] == [
        (str(hosts[0]), "main-0"), (str(hosts[1]), "spare-1"),
    ]  # fmt: skip
    for gap, own, other in zip(report.gaps, hosts, reversed(hosts), strict=True):
        mine = {token_of(packet) for _, name, packet in packets(own) if name == gap.connection}
        inside = [
            token_of(packet)
            for at, _, packet in packets(other)
            if gap.from_ns <= at < gap.to_ns and token_of(packet) in mine
        ]
        (filling,) = gap.filled_by
        assert filling.source == str(other)
        assert (filling.packets, filling.instruments) == (len(inside), len(set(inside)))
        assert filling.packets > 0


def test_all_inputs_get_the_first_one_s_clock(hosts: tuple[Path, Path], tmp_path: Path) -> None:
    report = merge(hosts, tmp_path / "out")
    assert [it.clock_shift_ns for it in report.inputs] == [0, -5_000 * NS_PER_S]
    for row in transcript(tmp_path / "out"):
        assert row["received_at"].value - row["monotonic_ns"] == VIRTUAL_START


def test_a_packet_that_an_input_had_twice_stays_twice(tmp_path: Path) -> None:
    def host(name: str, times: list[int]) -> Path:
        frame = b"\x00\x01\x00\x08" + bytes(8)
        content = ((name, Row(at * NS_PER_S, at, Kind.BINARY, frame)) for at in times)
        return record(tmp_path / name, content)

    merge([host("a", [1, 2, 10]), host("b", [1, 20])], tmp_path / "out", dedupe=True)
    times = [(at // NS_PER_S, name) for at, name, _ in packets(tmp_path / "out")]
    assert times == [(1, "a"), (2, "a"), (10, "a"), (20, "b")]


def test_frames_that_do_not_decode_and_heartbeats_stay(tmp_path: Path) -> None:
    torn = b"\x00\x02\x00\x08" + bytes(8) + b"\x00"

    def host(name: str) -> Path:
        return record(
            tmp_path / name,
            ((name, Row(n, n, Kind.BINARY, payload)) for n, payload in enumerate([torn, b"\0", torn])),
        )

    merge([host("a"), host("b")], tmp_path / "out", dedupe=True)
    assert [row["payload"] for row in transcript(tmp_path / "out")] == [torn, torn, b"\0", b"\0", torn, torn]


def test_dumps_are_joined_and_a_token_with_two_names_is_counted(tmp_path: Path) -> None:
    small, large = market(1, instruments=20), market(1, instruments=30)
    renamed = large.instruments_csv().replace(b"INFY", b"INFX")
    one = record(tmp_path / "one", rows(small), dump=small.instruments_csv())
    two = record(tmp_path / "two", rows(large), dump=renamed)
    report = merge([one, two], tmp_path / "out")
    dump = kiterec.open(tmp_path / "out").instruments()
    assert dump is not None
    assert set(small.instrument_tokens) | set(large.instrument_tokens) == set(dump.tokens())
    assert dump.resolve("NSE:INFY")
    assert report.renamed_instruments == renamed.count(b",INFX,")
    assert verify(tmp_path / "out").is_clean


def test_the_manifest_names_the_inputs_and_all_accounts(hosts: tuple[Path, Path], tmp_path: Path) -> None:
    merge(hosts, tmp_path / "out", dedupe=True)
    manifest = load_manifest(tmp_path / "out")
    assert manifest.accounts == ["main", "spare"]
    assert manifest.details["made_from"]["recordings"] == [path.name for path in hosts]
    assert manifest.details["made_from"]["dedupe"] is True


def test_what_cannot_be_merged_is_refused_and_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="give two or more"):
        merge([whole], tmp_path / "out")
    with pytest.raises(SetupError, match="is given twice"):
        merge([whole, whole / ".." / whole.name], tmp_path / "out")
    shutil.copytree(whole, tmp_path / "copy")
    (tmp_path / "copy" / "connection=main-0" / "part-00001.parquet").write_bytes(b"")
    with pytest.raises(kiterec.StorageError, match=r"part-00001"):
        merge([whole, tmp_path / "copy"], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
