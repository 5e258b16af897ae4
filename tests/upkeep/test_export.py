"""export writes the tick table to files that other programs read."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import kiterec
from kiterec.errors import SetupError, StorageError
from kiterec.upkeep import Format, export
from tests.upkeep.market_recordings import instant

if TYPE_CHECKING:
    from pathlib import Path

WORDS = ("connection", "segment", "mode")


@pytest.fixture(scope="module")
def ticks(whole: Path) -> pl.DataFrame:
    recording = kiterec.open(whole)
    table = recording.ticks().with_columns(pl.col(WORDS).cast(pl.String)).collect()
    dump = recording.instruments()
    assert dump is not None
    symbols = [dump.symbol_of(token) for token in table["instrument_token"]]
    return table.insert_column(5, pl.Series("symbol", symbols, pl.String))


@pytest.mark.parametrize("ending", ["parquet", "arrow"])
def test_a_file_holds_the_tick_table(whole: Path, ticks: pl.DataFrame, tmp_path: Path, ending: str) -> None:
    target = tmp_path / f"ticks.{ending}"
    report = export(whole, target)
    read = pl.read_parquet if ending == "parquet" else pl.read_ipc
    assert read(target).equals(ticks)
    assert (report.rows, report.format, report.bytes) == (ticks.height, ending, target.stat().st_size)
    assert report.columns == ticks.columns
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


def test_csv_has_the_depth_as_columns_and_empty_for_what_is_not_there(
    whole: Path, ticks: pl.DataFrame, tmp_path: Path
) -> None:
    export(whole, tmp_path / "ticks.csv")
    read = pl.read_csv(tmp_path / "ticks.csv", infer_schema_length=None)
    assert read.height == ticks.height
    assert read["last_price"].equals(ticks["last_price"])
    assert read["sell_price_4"].equals(ticks["sell_price"].arr.get(4).rename("sell_price_4"))
    times = read["received_at"].str.to_datetime("%+", time_zone="UTC", time_unit="ns")
    assert times.equals(ticks["received_at"])
    assert read["oi"].null_count() == ticks["oi"].null_count() > 0


def test_duckdb_has_a_table_of_ticks(whole: Path, ticks: pl.DataFrame, tmp_path: Path) -> None:
    report = export(whole, tmp_path / "ticks.duckdb")
    assert report.rows == ticks.height
    with duckdb.connect(str(tmp_path / "ticks.duckdb"), read_only=True) as database:
        found = database.execute(
            "SELECT count(*), sum(volume_traded)::BIGINT, max(buy_price[1]), count(DISTINCT connection) "
            "FROM ticks"
        ).fetchone()
    assert found == (
        ticks.height, ticks["volume_traded"].cast(pl.Int64).sum(), ticks["buy_price"].arr.get(0).max(), 2,
    )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["ticks.duckdb"]


def test_columns_instruments_and_times_narrow_it(whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "ticks.parquet"
    export(
        whole,
        target,
        columns=["symbol", "received_at", "last_price"],
        instruments=["NSE:INFY", "NSE:TCS"],
        begin=instant(2),
        end=instant(6),
    )
    expected = (
        kiterec.open(whole)
        .ticks(["NSE:INFY", "NSE:TCS"], begin=instant(2), end=instant(6))
        .select("received_at", "last_price")
        .collect()
    )
    read = pl.read_parquet(target)
    assert read.columns == ["symbol", "received_at", "last_price"]
    assert set(read["symbol"]) == {"NSE:INFY", "NSE:TCS"}
    assert read.drop("symbol").equals(expected)


def test_prices_may_be_the_integers_of_the_wire(whole: Path, ticks: pl.DataFrame, tmp_path: Path) -> None:
    target = tmp_path / "ticks.parquet"
    export(whole, target, prices="int", columns=["last_price", "price_divisor"])
    read = pl.read_parquet(target)
    assert (read["last_price"] / read["price_divisor"]).rename("last_price").equals(ticks["last_price"])


@pytest.mark.parametrize("kind", [Format.CSV, Format.ARROW])
def test_stdout_gets_the_data_and_nothing_else(whole: Path, ticks: pl.DataFrame, kind: Format) -> None:
    code = f"from kiterec.upkeep import export; export({str(whole)!r}, '-', format={str(kind)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert done.stderr == b""
    if kind is Format.CSV:
        assert pl.read_csv(io.BytesIO(done.stdout), infer_schema_length=None).height == ticks.height
    else:
        assert pl.DataFrame(pa.ipc.open_stream(done.stdout).read_all()).equals(ticks)


@pytest.mark.parametrize("ending", ["parquet", "csv", "arrow", "duckdb"])
def test_a_stretch_without_ticks_is_an_empty_table(whole: Path, tmp_path: Path, ending: str) -> None:
    report = export(whole, tmp_path / f"ticks.{ending}", begin=instant(1_000))
    assert report.rows == 0
    if ending == "parquet":
        assert pl.read_parquet(tmp_path / "ticks.parquet").width == 32
    if ending == "csv":
        assert (tmp_path / "ticks.csv").read_text().count("\n") == 1


def test_many_small_row_groups_hold_the_same(
    whole: Path, ticks: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("kiterec.upkeep.export"), "TICKS_AT_ONCE", 50)
    monkeypatch.setattr(import_module("kiterec.upkeep.export_files"), "ROWS_AT_ONCE", 120)
    export(whole, tmp_path / "ticks.parquet")
    assert pq.read_metadata(tmp_path / "ticks.parquet").num_row_groups > 4
    assert pl.read_parquet(tmp_path / "ticks.parquet").equals(ticks)


def test_what_is_there_is_replaced_only_when_asked(whole: Path, tmp_path: Path) -> None:
    target = tmp_path / "ticks.csv"
    target.write_text("precious")
    with pytest.raises(SetupError, match="exists already"):
        export(whole, target)
    assert target.read_text() == "precious"
    export(whole, target, overwrite=True)
    assert target.read_text().startswith("seq,")


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        ({"target": "ticks.xlsx"}, SetupError, r"ends with no known format; name it \.parquet, \.csv"),
        ({"target": "-", "format": "parquet"}, SetupError, "cannot go to stdout"),
        ({"target": "nowhere/ticks.csv"}, SetupError, "is no folder"),
        ({"target": "ticks.csv", "columns": ["bid"]}, ValueError, "no column 'bid'"),
        ({"target": "ticks.csv", "instruments": ["NSE:INFI"]}, SetupError, "no instrument NSE:INFI"),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: dict[str, object],
    error: type[Exception], says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=says):
        export(whole, **words)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ["parquet", "csv", "arrow", "duckdb"])
def test_a_damaged_part_is_named_and_leaves_no_file(whole: Path, tmp_path: Path, ending: str) -> None:
    shutil.copytree(whole, tmp_path / "copy")
    (tmp_path / "copy" / "connection=main-1" / "part-00001.parquet").write_bytes(b"PAR1")
    with pytest.raises(StorageError, match=r"part-00001\.parquet does not read as a part"):
        export(tmp_path / "copy", tmp_path / f"ticks.{ending}")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]
