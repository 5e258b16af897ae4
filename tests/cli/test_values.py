"""The values of options, and how amounts and tables are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from kiterec import amounts
from kiterec.cli import parameters
from kiterec.cli.live_view import live_text
from kiterec.cli.tables import Column, fit
from kiterec.clock import to_ns
from kiterec.feed.health import Health, HealthStatus
from kiterec.record.status import ConnectionStatus, RecordStatus

NS = to_ns(datetime(2026, 1, 5, 4, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("250ms", 0.25), ("15m", 900), ("1.5h", 5_400), ("7", 7), ("2 min", 120), ("1D", 86_400)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parameters.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-3s", "3 weeks", "1e3", "none"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="write it like 250ms, 30s"):
        parameters.duration(text)


def test_none_is_a_duration_where_it_has_a_meaning() -> None:
    assert parameters.duration_or_none("none") is None
    assert parameters.duration_or_none("0") == 0


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 64 << 20), ("1GB", 10**9), ("512", 512), ("1.5kb", 1500)]
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    assert parameters.size(text) == size


def test_no_folder_is_named_by_a_url_that_may_have_a_password() -> None:
    for kind in (parameters.TARGET, parameters.TARGET_FILE):
        with pytest.raises(click.BadParameter, match="it writes to a disk only") as raised:
            kind.convert("s3://KEY:SECRET@bucket/x.csv", None, None)
        assert "SECRET" not in str(raised.value)
        assert kind.convert("s3/x.csv", None, None) == Path("s3/x.csv")


@pytest.mark.parametrize(("text", "speed"), [("1", 1.0), ("0.5", 0.5), ("10x", 10.0), ("max", None)])
def test_a_speed_is_a_factor_or_max(text: str, speed: float | None) -> None:
    assert parameters.speed(text) == speed


@pytest.mark.parametrize("text", ["0", "-1", "fast", "inf", "nan"])
def test_what_is_no_speed_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="no speed"):
        parameters.speed(text)


@pytest.mark.parametrize(
    "text", ["10:00", "10:00:00.0", "2026-01-05T10:00", "2026-01-05 10:00:00", "2026-01-05T04:30Z"]
)
def test_a_time_is_in_ist_and_of_the_day_unless_it_says_otherwise(text: str) -> None:
    assert parameters.wall_time(text, day_ns=NS + 3_600 * 10**9) == NS


def test_what_is_no_time_is_refused_with_an_example() -> None:
    with pytest.raises(click.BadParameter, match="15:30"):
        parameters.instant("noon")


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (1_234_567, "1.23 MB"), (999_900, "1 MB"), (5e12, "5 TB")],
)
def test_a_size_is_shown_with_three_digits(count: float, text: str) -> None:
    assert amounts.size(count) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 warnings"), (1, "1 warning"), (2_000, "2,000 warnings")])
def test_one_of_something_is_singular(count: int, text: str) -> None:
    assert amounts.counted(count, "warning") == text


@pytest.mark.parametrize(("s", "text"), [(0.25, "0.2s"), (59.9, "59.9s"), (75, "1m 15s"), (3_900, "1h 05m")])
def test_a_duration_is_shown_in_its_two_largest_units(s: float, text: str) -> None:
    assert amounts.seconds(s) == text


def test_an_instant_is_shown_as_the_clock_in_india_shows_it() -> None:
    assert amounts.ist_time(NS + 250_999_999) == "10:00:00.250"
    assert amounts.ist_instant(NS) == "2026-01-05 10:00:00.000"


def test_a_table_drops_columns_that_have_no_room_and_never_cuts_a_number() -> None:
    columns = [Column("name", left=True), Column("price", 1), Column("comment", 2, left=True)]
    rows = [{"name": "INFY", "price": "1,500.00", "comment": "a long comment"}]
    whole = "name     price  comment\nINFY  1,500.00  a long comment"  # every line ends with its text
    assert fit(rows, columns, width=80) == (whole, [])
    assert fit(rows, columns, width=None) == (whole, [])
    assert fit(rows, columns, width=20) == ("name     price\nINFY  1,500.00", ["comment"])
    assert fit(rows, columns, width=3) == ("name\nINFY", ["price", "comment"])


@pytest.mark.parametrize(
    ("keeps", "shown"), [("begin", "recordings/o…"), ("end", "…ber/the-last"), ("both", "record…e-last")]
)
def test_a_table_shortens_long_texts_before_it_drops_a_column(keeps: str, shown: str) -> None:
    columns = [Column("path", left=True, least=8, keeps=keeps), Column("price", 1)]
    rows = [{"path": "recordings/october/the-last", "price": "1,500.00"}, {"path": "x", "price": "2.00"}]
    fitted = fit(rows, columns, width=23)
    assert fitted.hidden == []
    assert fitted.text.splitlines()[1] == f"{shown}  1,500.00"
    assert "the-last" in fit(rows, columns, width=None).text


def test_how_long_a_text_is_does_not_decide_which_columns_are_shown() -> None:
    columns = [Column("symbol", left=True, least=10), Column("last"), Column("volume", 1), Column("oi", 2)]
    numbers = {"last": "1,500.00", "volume": "1,000", "oi": "7"}
    heads = {
        fit([{"symbol": symbol, **numbers}], columns, width=30).text.split("\n")[0].split()[1:][-1]
        for symbol in ("A", "A" * 10, "A" * 200)
    }
    assert heads == {"volume"}


def test_a_column_without_content_is_left_out() -> None:
    columns = [Column("name"), Column("oi", 1)]
    assert fit([{"name": "INFY", "oi": ""}], columns, width=80) == ("name\nINFY", [])


@pytest.mark.parametrize("width", [80, 40])
def test_the_live_view_fits_the_terminal_and_80_columns_show_everything(width: int) -> None:
    one = ConnectionStatus(
        state="connecting", instruments=3_000, frames=10, ticks=10, received_bytes=123_456_789_012,
        frames_per_s=123.4, ticks_per_s=123_456, bytes_per_s=1.0, age_s=59.9, gaps=17,
    )  # fmt: skip
    status = RecordStatus(
        path=Path("recordings/x"), elapsed_s=3_900, left_s=None, unwritten_bytes=10**6, disk_bytes=10**9,
        connections={f"main-{number}": one for number in range(3)}, held=False, plugins={},
        health=Health(status=HealthStatus.DEGRADED, reasons=("main-0 is waiting",)),
    )  # fmt: skip
    text = live_text(status, width=width)
    assert max(map(len, text.splitlines())) <= width
    always = ["main-2", "connecting", "1 GB on disk", "1 MB to write", "main-0 is waiting", "recordings/x"]
    with_room = ["123.4", "123,456", "123 GB", "59.9s", "17"]
    for word in always + (with_room if width == 80 else []):
        assert word in text
