"""The lazy tick table: what is pushed down gives the rows that filtering afterwards gives."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import kiterec
import kiterec.ticks.bounds
import kiterec.ticks.decode
import kiterec.ticks.query
import kiterec.ticks.scan
import kiterec.ticks.table
from kiterec.clock import to_ns
from kiterec.errors import ManifestError, SetupError
from kiterec.ticks.crew import crew
from kiterec.ticks.decode import decode
from kiterec.ticks.last_prices import last_prices
from kiterec.ticks.scan import scan_ticks
from kiterec.ticks.schema import TICK_SCHEMA, tick_schema
from kiterec.ticks.symbols import tokens_of
from tests.ticks.recordings import GRID, START, TOKENS, being_written, instant, record, rows

if TYPE_CHECKING:
    from collections.abc import Generator

DEADLINE_S = 60

WAYS = {"read_streams": 0, "read_transcript": 1 << 30}
"""How a scan reads, and the mean length of a frame that makes it do so: merge ticks, or merge frames."""

pytestmark = pytest.mark.usefixtures("each_engine")

COL = pl.col
MIDDLE = START + 20 * GRID

CONDITIONS = {
    "from a time": COL("received_at") >= MIDDLE,
    "before a time": COL("received_at") < MIDDLE,
    "at a time": COL("received_at") == MIDDLE,
    "a time on the left": MIDDLE > COL("received_at"),  # noqa: SIM300 - the order is what is tested
    "between times": COL("received_at").is_between(MIDDLE, MIDDLE + 3 * GRID),
    "between open ends": COL("seq").is_between(10, 20, closed="none"),
    "after a seq": COL("seq") > 30,
    "a negative seq": COL("seq") >= -1,
    "a connection": COL("connection") == "main-1",
    "connections": COL("connection").is_in(["main-0", "main-2", "nobody"]),
    "not a connection": COL("connection") != "main-0",
    "no connection": COL("connection") == "nobody",
    "an instrument": COL("instrument_token") == TOKENS[0],
    "instruments": COL("instrument_token").is_in([TOKENS[1], TOKENS[2], 7]),
    "a mode and a price": (COL("mode") == "full") & (COL("last_price") > 1_000_000),
    "a segment": COL("segment") == "INDICES",
    "tradable": ~COL("tradable"),
    "a field": COL("volume_traded") < 150,
    "a null field": COL("oi").is_null(),
    "either": (COL("seq") == 7) | (COL("last_price") < 100),
    "all at once": (COL("received_at") >= MIDDLE) & (COL("connection") == "main-2") & (COL("oi") > 50),
    "an expression of the time": COL("received_at").dt.second() == 5,
    "two columns": COL("seq") + COL("packet") < 30,
    "a condition that is null for some": COL("packet") < pl.when(COL("packet") > 5).then(20),
    "nothing": pl.lit(value=False),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("scan"))


@pytest.fixture(scope="module")
def everything(recording: Path) -> pl.DataFrame:
    return scan_ticks(recording).collect()


def test_the_table_is_the_decoded_frames_in_their_order(everything: pl.DataFrame) -> None:
    payloads = [row.payload if row.kind == "binary" else b"" for _, row in rows(40)]
    expected = decode(payloads)
    assert everything.schema == TICK_SCHEMA
    assert everything.drop("received_at", "connection").equals(expected.drop("received_at", "connection"))
    names = [connection for connection, _ in rows(40)]
    times = [row.received_at for _, row in rows(40)]
    seqs = everything.get_column("seq").to_list()
    assert everything.get_column("connection").to_list() == [names[seq] for seq in seqs]
    assert everything.get_column("received_at").cast(pl.Int64()).to_list() == [times[seq] for seq in seqs]


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_gives_the_rows_that_filtering_afterwards_gives(
    recording: Path, everything: pl.DataFrame, monkeypatch: pytest.MonkeyPatch, name: str, engine: Any
) -> None:
    long_frame = WAYS["read_streams" if engine == "streaming" else "read_transcript"]
    monkeypatch.setattr(kiterec.ticks.scan, "LONG_FRAME", long_frame)
    condition = CONDITIONS[name]
    for columns in (pl.all(), ["last_price", "seq"], ["mode"], [pl.len()]):
        lazy = scan_ticks(recording).filter(condition).select(columns).collect(engine=engine)
        assert lazy.equals(everything.filter(condition).select(columns)), columns


def test_columns_are_decoded_only_when_asked(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    decode_shares = kiterec.ticks.decode.decode_shares

    def spy(shares: Any, columns: Any, *workers: Any, **options: Any) -> pl.DataFrame:
        asked.append(list(columns))
        return decode_shares(shares, columns, *workers, **options)

    monkeypatch.setattr(kiterec.ticks.decode, "decode_shares", spy)  # by decode_packets
    monkeypatch.setattr(kiterec.ticks.query, "decode_shares", spy)
    scan_ticks(recording).filter(COL("instrument_token") == TOKENS[0]).select("last_price").collect()
    assert {tuple(columns) for columns in asked} == {
        ("instrument_token",),
        ("instrument_token", "last_price"),
    }


@pytest.mark.parametrize(("door", "long_frame"), WAYS.items())
def test_conditions_on_time_seq_and_connection_reach_the_reader(
    recording: Path, monkeypatch: pytest.MonkeyPatch, door: str, long_frame: int
) -> None:
    asked: list[dict[str, Any]] = []
    read = getattr(kiterec.ticks.bounds, door)
    monkeypatch.setattr(kiterec.ticks.scan, "LONG_FRAME", long_frame)

    def spy(path: Any, **options: Any) -> Any:
        asked.append(options)
        return read(path, **options)

    monkeypatch.setattr(kiterec.ticks.bounds, door, spy)
    condition = (COL("received_at") >= instant(3)) & (COL("connection") == "main-1") & (COL("seq") < 90)
    scan_ticks(recording, end=instant(30)).filter(condition).select("oi").collect()
    (options,) = asked
    assert options["connections"] == ("main-1",)
    assert options["seq_range"] == (0, 90)
    assert (options["begin_ns"], options["end_ns"]) == (to_ns(instant(3)), to_ns(instant(30)))


def test_begin_and_end_are_half_open(recording: Path, everything: pl.DataFrame) -> None:
    table = scan_ticks(recording, begin=instant(5), end=instant(9)).collect()
    assert table.equals(
        everything.filter((COL("received_at") >= instant(5)) & (COL("received_at") < instant(9)))
    )
    assert table.height > 0


def test_a_time_beyond_what_64_bits_hold_bounds_nothing(recording: Path, everything: pl.DataFrame) -> None:
    opened = kiterec.open(recording)
    ages = {"begin": datetime.min.replace(tzinfo=UTC), "end": datetime.max.replace(tzinfo=UTC)}
    assert opened.ticks(**ages).collect().equals(everything)
    assert opened.frames(**ages).collect().equals(opened.frames().collect())
    assert opened.candles("1s", **ages).collect().height == opened.candles("1s").collect().height
    assert not opened.ticks(begin=ages["end"]).collect().height


def test_symbols_are_looked_up_in_the_recordings_own_dump(recording: Path, everything: pl.DataFrame) -> None:
    table = scan_ticks(recording, symbols=["NSE:INFY", "NFO:NIFTY*", "256265"]).collect()
    assert table.equals(everything.filter(COL("instrument_token").is_in([256001, 256257, 256513, 256265])))
    assert table.get_column("instrument_token").n_unique() == 4
    assert (
        scan_ticks(recording, symbols="NSE:INFY")
        .collect()
        .equals(table.filter(COL("instrument_token") == 256001))
    )


def test_a_head_reads_no_further_than_it_needs(recording: Path, everything: pl.DataFrame) -> None:
    assert scan_ticks(recording).head(5).collect().equals(everything.head(5))
    assert scan_ticks(recording).slice(100, 7).collect().equals(everything.slice(100, 7))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_rows_are_counted_before_a_later_condition_decides(
    recording: Path, everything: pl.DataFrame, engine: Any
) -> None:
    opened = kiterec.open(recording)
    odd = COL("seq") % 2 == 1
    for size in (everything.height - 5, 20):
        found = scan_ticks(recording).head(size).filter(odd).select("packet").collect(engine=engine)
        assert found.equals(everything.head(size).filter(odd).select("packet"))
    late = instant(1_000)
    for lazy in (opened.frames(), opened.events(), opened.candles("1s"), opened.asof(late, TOKENS)):
        name = "seq" if "seq" in lazy.collect_schema() else "instrument_token"
        condition = COL(name) > lazy.collect().get_column(name)[1]
        found = lazy.head(4).filter(condition).collect(engine=engine)
        assert found.equals(lazy.collect().head(4).filter(condition))
        assert found.height < 4


@pytest.mark.parametrize("frees_interpreter", [True, False])
def test_a_scan_may_be_dropped_in_one_of_its_own_threads(frees_interpreter: bool) -> None:
    """Polars does so: what it drops without holding the interpreter goes when a thread next calls it."""
    pools = []

    def scan() -> Generator[int]:
        with crew(2) as workers:
            pools.extend([workers._pool, workers._decoder])
            yield from workers.ahead(
                iter(range(100)), lambda one: [one], lambda one: one, frees_interpreter=frees_interpreter
            )

    for place in (0, -1):
        left = scan()
        assert next(left) == 0
        pools[place].submit(left.close).result(DEADLINE_S)


def test_a_scan_may_be_dropped_by_the_thread_that_reads_it() -> None:
    """What a predicate asks Polars while a piece is found may drop the very scan that finds it."""
    left: list[Generator[int]] = []
    dropped = threading.Event()

    def work(one: int) -> int:
        if one:
            assert waits.wait(DEADLINE_S)
            left.pop().close()
            dropped.set()
        return one

    def scan() -> Generator[int]:
        with crew(2) as workers:
            yield from workers.ahead(iter(range(2)), lambda one: [one], work, frees_interpreter=True)

    waits = threading.Event()
    left.append(scan())
    assert next(left[0]) == 0
    waits.set()
    assert dropped.wait(DEADLINE_S), "it waits for itself"


def test_int_prices_have_their_own_schema(recording: Path) -> None:
    lazy = scan_ticks(recording, prices="int")
    assert lazy.collect_schema() == tick_schema("int")
    assert lazy.head(3).collect().schema == tick_schema("int")


def test_a_recording_being_written_gives_what_is_there(tmp_path: Path) -> None:
    made = list(rows(10))
    with being_written(tmp_path) as writer:
        for connection, row in made[:20]:
            writer.append(connection, row)
        lazy = scan_ticks(writer.path)
        expected = decode([row.payload if row.kind == "binary" else b"" for _, row in made])
        wait_for(
            lambda: lazy.select("seq").collect().get_column("seq").max(), expected.filter(COL("seq") < 20)
        )
        for connection, row in made[20:]:
            writer.append(connection, row)
        wait_for(lambda: lazy.select("seq").collect().get_column("seq").max(), expected)
    assert lazy.collect().drop("received_at", "connection").equals(expected.drop("received_at", "connection"))


def wait_for(value: Any, expected: pl.DataFrame) -> None:
    """Wait until the last `seq` of a lazy table is there."""
    deadline = time.monotonic() + DEADLINE_S
    while value() != expected.get_column("seq").max():
        assert time.monotonic() < deadline, f"{value()} after {DEADLINE_S} s"


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("long_run", [1, 30, 1 << 30])
@pytest.mark.parametrize("long_frame", WAYS.values())
def test_threads_pieces_and_ways_of_merging_give_the_same_table(
    recording: Path,
    everything: pl.DataFrame,
    monkeypatch: pytest.MonkeyPatch,
    threads: int,
    long_run: int,
    long_frame: int,
) -> None:
    monkeypatch.setattr(kiterec.ticks.scan, "LONG_FRAME", long_frame)
    monkeypatch.setattr(kiterec.ticks.table, "LONG_RUN", long_run)
    for size in (7, 200):
        monkeypatch.setattr(kiterec.ticks.scan, "TICKS_AT_ONCE", size)
        monkeypatch.setattr(kiterec.ticks.scan, "TICKS_OF_FEW_COLUMNS", size)
        for engine in ("in-memory", "streaming"):
            lazy = scan_ticks(recording, threads=threads)
            assert lazy.collect(engine=engine).equals(everything)
            for few in (["last_price"], ["seq", "packet", "oi", "mode"], ["connection", "received_at"]):
                assert lazy.select(few).collect(engine=engine).equals(everything.select(few)), few


def test_a_scan_that_is_left_ends_its_threads(recording: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kiterec.ticks.scan, "LONG_FRAME", 0)
    monkeypatch.setattr(kiterec.ticks.scan, "TICKS_AT_ONCE", 7)
    monkeypatch.setattr(kiterec.ticks.scan, "TICKS_OF_FEW_COLUMNS", 7)
    for threads, columns in product((1, 2), (pl.all(), ["seq"])):
        assert scan_ticks(recording, threads=threads).select(columns).head(3).collect().height == 3
        deadline = time.monotonic() + DEADLINE_S
        while any(thread.name.startswith("kiterec-ticks") for thread in threading.enumerate()):
            assert time.monotonic() < deadline, threading.enumerate()


def test_no_thread_is_too_few(recording: Path) -> None:
    with pytest.raises(ValueError, match="0 threads cannot work"):
        scan_ticks(recording, threads=0)


def test_random_predicates_agree_with_filtering_afterwards(recording: Path, everything: pl.DataFrame) -> None:
    seed = 20
    rng = random.Random(seed)
    for _ in range(25):
        conditions = rng.sample([*CONDITIONS.values()], 2)
        joined = conditions[0] & conditions[1] if rng.random() < 0.5 else conditions[0] | ~conditions[1]
        lazy = scan_ticks(recording).filter(joined).collect()
        assert lazy.equals(everything.filter(joined)), f"seed {seed}: {joined}"


def test_the_busiest_instruments_have_the_prices_of_their_last_ticks(
    recording: Path, everything: pl.DataFrame
) -> None:
    table = last_prices(recording, 4)
    assert table.height == 4
    assert table.get_column("ticks").is_sorted(descending=True)
    names = last_prices(recording, 1_000)
    assert names.filter(COL("instrument_token") == 256001).get_column("symbol").to_list() == ["NSE:INFY"]
    for row in names.iter_rows(named=True):
        ticks = everything.filter(COL("instrument_token") == row["instrument_token"])
        assert row["last_price"] == ticks.get_column("last_price")[-1]
        assert row["change"] == ticks.get_column("change").drop_nulls()[-1]


def test_what_is_no_recording_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="is no recording"):
        scan_ticks(tmp_path)


def test_names_without_a_dump_are_refused_and_tokens_are_not(tmp_path: Path) -> None:
    path = record(tmp_path, 3, dump=False)
    with pytest.raises(SetupError, match="no instrument dump to look names up in; give instrument_tokens"):
        scan_ticks(path, symbols=["NSE:INFY"])
    assert scan_ticks(path, symbols=TOKENS).collect().height == scan_ticks(path).collect().height > 0


def test_a_misspelt_symbol_names_the_closest(recording: Path) -> None:
    with pytest.raises(SetupError, match="did you mean NSE:INFY"):
        scan_ticks(recording, symbols=["NSE:INFI"])


def test_a_time_without_zone_is_refused(recording: Path) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        scan_ticks(recording, begin=START.replace(tzinfo=None))


def test_what_is_no_time_is_refused_in_a_sentence(recording: Path) -> None:
    with pytest.raises(TypeError, match="'09:20' is no time; give a datetime with a zone"):
        kiterec.open(recording).asof("09:20")  # type: ignore[arg-type]


@pytest.mark.parametrize("token", [-5, 0, 99_999_999_999, "99999999999"])
def test_an_impossible_token_is_refused_in_a_sentence(token: int | str) -> None:
    with pytest.raises(SetupError, match="is no instrument_token, expected 1 to"):
        tokens_of([token], Path("nowhere"))
