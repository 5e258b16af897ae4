from __future__ import annotations

import logging
import struct
from typing import TYPE_CHECKING

import polars as pl
import pytest

from kiterec.clock import NS_PER_S
from kiterec.errors import PluginError
from kiterec.plugins import InstrumentNames, PluginHost
from kiterec.plugins.batches import Recorded, frames_batch
from kiterec.plugins.last_prices import LastPrices
from kiterec.ticks.instruments import INSTRUMENT_SCHEMA
from kiterec.wire import Kind, Row, join_frame

if TYPE_CHECKING:
    from pathlib import Path

INFY = 408065
USDINR = 1000 << 8 | 3


def price_frame(at_s: float, **prices: int) -> Row:
    """Give a frame of ltp packets; the keywords are t<instrument_token>."""
    packets = [struct.pack(">Ii", int(token[1:]), price) for token, price in prices.items()]
    return Row(int(at_s * NS_PER_S), 0, Kind.BINARY, join_frame(packets))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith("last prices: ")]


def keep_dump(path: Path) -> None:
    """Put a dump with INFY alone into a recording."""
    row = dict.fromkeys(INSTRUMENT_SCHEMA.names()) | {"instrument_token": INFY, "exchange": "NSE"}
    dump = pl.DataFrame([row | {"tradingsymbol": "INFY"}], schema=INSTRUMENT_SCHEMA)
    dump.write_parquet(path / "instruments.parquet")


def run(rows: list[Row], path: Path, **options: object) -> None:
    """Give each row as a batch of its own, as if it had come alone."""
    host = PluginHost(["last_prices"], {"last_prices": options}, batch_interval_s=0.001)
    host.start(path, ["main-0"])
    for number, row in enumerate(rows):
        host.append("main-0", row)
        # An event between two frames keeps them in batches of their own.
        host.append("main-0", Row(number, number, Kind.MARKER, b"{}"))
    host.stop(deadline_s=60)
    assert host.stats()["last_prices"].errors == 0


def test_the_last_prices_are_logged_at_the_interval_and_at_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        price_frame(100, t408065=157_370),
        price_frame(104, t408065=157_400, t256003=-375_000_000),
        price_frame(105, t408065=157_425),
        price_frame(106, t408065=157_430),
    ]
    with caplog.at_level(logging.INFO, "kiterec.plugins"):
        run(rows, tmp_path, interval_s=5)
    assert lines(caplog) == [
        "last prices: 408065=1,573.70",
        "last prices: 408065=1,574.25 256003=-37.5000",
        "last prices: 408065=1,574.30 256003=-37.5000",
    ]


def test_symbols_are_looked_up_in_the_dump_of_the_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep_dump(tmp_path)
    with caplog.at_level(logging.INFO, "kiterec.plugins"):
        run([price_frame(1, t408065=100, t256003=1)], tmp_path, instruments=["NSE:INFY"])
    assert lines(caplog) == ["last prices: NSE:INFY=1.00"] * 2


def test_a_dump_that_comes_after_the_start_gives_the_names(tmp_path: Path) -> None:
    now = 0.0
    names = InstrumentNames(tmp_path, monotonic=lambda: now)
    assert names.name(INFY) == "408065"
    keep_dump(tmp_path)
    assert names.name(INFY) == "408065", "the folder is looked at once a second"
    now = 2.0
    assert names.name(INFY) == "NSE:INFY"
    assert names.name(1) == "1"
    assert names.dump is not None


def test_symbols_are_looked_up_in_a_dump_that_comes_late(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kiterec.plugins.names._LOOK_AGAIN_S", 0.0)
    plugin = LastPrices(instruments=["NSE:INFY"], interval_s=1)
    with caplog.at_level(logging.INFO, "kiterec.plugins"):
        plugin.kiterec_recording_started(tmp_path)
        keep_dump(tmp_path)
        plugin.kiterec_frames(frames_batch([Recorded("main-0", 0, price_frame(1, t408065=115_170))]))
        plugin.kiterec_recording_stopped()
    assert lines(caplog) == ["last prices: NSE:INFY=1,151.70"] * 2
    assert "no instrument dump" not in caplog.text


def test_symbols_without_a_dump_are_a_warning_and_tokens_still_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "kiterec.plugins"):
        run([price_frame(1, t408065=100)], tmp_path, instruments=["NSE:TCS", INFY])
    assert "no instrument dump to look these up: symbols=NSE:TCS" in caplog.text
    assert lines(caplog) == ["last prices: 408065=1.00"] * 2


def test_without_instruments_the_first_few_are_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "kiterec.plugins"):
        run([price_frame(1, t257=100, t513=200, t769=300)], tmp_path, limit=2)
    assert lines(caplog) == ["last prices: 257=1.00 513=2.00"] * 2


@pytest.mark.parametrize(("option", "value"), [("interval_s", 0), ("interval_s", -1), ("limit", 0)])
def test_impossible_options_are_refused(option: str, value: float) -> None:
    with pytest.raises(PluginError, match=f"{option} is {value}, expected"):
        LastPrices(**{option: value})  # type: ignore[arg-type]
