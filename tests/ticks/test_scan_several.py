"""One lazy table of many recordings: a list, a pattern, a folder, a range of dates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from kiterec.errors import NoRecordingError, SetupError
from kiterec.ticks.scan import scan_ticks
from tests.ticks.recordings import TOKENS, instant, record

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("several")
    for name, steps in (("date=2026-11-19", 6), ("date=2026-11-20", 9), ("date=2026-12-01", 4)):
        made = record(root / "made", steps, dump=name != "date=2026-12-01")
        (root / name).mkdir()
        made.rename(root / name / "recording=091500-test")
    return root


def days(root: Path, *names: str) -> pl.DataFrame:
    paths = [next(root.glob(f"{name}/*")) for name in names]
    return pl.concat([scan_ticks(path).collect() for path in paths])


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_recordings_follow_each_other_each_in_its_own_order(root: Path, engine: str) -> None:
    expected = days(root, "date=2026-11-19", "date=2026-11-20")
    names = [next(root.glob(f"date=2026-11-{day}/*")) for day in (19, 20)]
    for what in (
        names,
        f"{root}/date=2026-11-*",
        root / "date=2026-11-*" / "recording=*",
        [*names, names[0]],
    ):
        assert scan_ticks(what).collect(engine=engine).equals(expected), what  # type: ignore[call-overload]
    everything = days(root, "date=2026-11-19", "date=2026-11-20", "date=2026-12-01")
    assert scan_ticks(root).collect(engine=engine).equals(everything)  # type: ignore[call-overload]


def test_conditions_and_columns_reach_each_recording(root: Path) -> None:
    everything = days(root, "date=2026-11-19", "date=2026-11-20", "date=2026-12-01")
    condition = (pl.col("instrument_token") == TOKENS[0]) & (pl.col("seq") > 7)
    lazy = scan_ticks(root).filter(condition).select("seq", "last_price")
    assert lazy.collect().equals(everything.filter(condition).select("seq", "last_price"))
    assert lazy.explain().count("KITEREC TICKS") == 3


def test_a_recording_outside_the_asked_times_is_not_among_what_is_read(root: Path) -> None:
    # All begin at the same instant; only the second has a step 7.
    lazy = scan_ticks(root, begin=instant(7))
    assert lazy.explain().count("KITEREC TICKS") == 1
    second = days(root, "date=2026-11-20")
    assert lazy.collect().equals(second.filter(pl.col("received_at") >= instant(7)))
    assert scan_ticks(root, begin=instant(1_000)).collect().equals(second.clear())


def test_a_symbol_is_looked_up_in_the_dump_of_each_recording(root: Path) -> None:
    november = f"{root}/date=2026-11-*"
    found = scan_ticks(november, symbols=["NSE:INFY"]).collect()
    expected = days(root, "date=2026-11-19", "date=2026-11-20")
    assert found.equals(expected.filter(pl.col("instrument_token") == 256001))
    # The third has no dump, so that nothing of it is meant.
    assert scan_ticks(root, symbols=["NSE:INFY"]).collect().equals(found)
    with pytest.raises(SetupError, match="did you mean NSE:INFY"):
        scan_ticks(november, symbols=["NSE:INFY", "NSE:INFI"])


def test_a_pattern_or_a_list_without_a_recording_is_refused(root: Path) -> None:
    with pytest.raises(NoRecordingError, match="matches no recording"):
        scan_ticks(f"{root}/date=2027-*/*")
    with pytest.raises(NoRecordingError, match="no recording is named"):
        scan_ticks([])
    with pytest.raises(NoRecordingError, match="does not exist"):
        scan_ticks([root, root / "elsewhere"])
