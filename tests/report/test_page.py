"""The report is one file in which every chart is drawn, without the network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import vl_convert

import kiterec
from kiterec.report.charts import charts
from kiterec.report.measures import measure
from kiterec.report.page import report_page
from tests.ticks.recordings import being_written

if TYPE_CHECKING:
    from kiterec.recording import Recording

FIXTURE = next((Path(__file__).parents[1] / "fixtures" / "recordings").glob("date=*/recording=*"))
TITLES = [
    "Coverage and gaps", "Frames per second", "Ticks per second", "Packet mix", "Busiest instruments",
    "Latency", "Compression", "NSE:INFY, 5s",
]  # fmt: skip
SHOTS = "KITEREC_SCREENSHOTS"
"""A folder that keeps what the browser showed."""


@pytest.fixture(scope="module")
def recording() -> Recording:
    return kiterec.open(FIXTURE)


@pytest.fixture(scope="module")
def page(recording: Recording) -> str:
    return report_page(recording, ["NSE:INFY"])


@pytest.fixture(scope="module")
def body(page: str) -> str:
    """Give what comes after the libraries, which have HTML in their strings."""
    return page[page.rindex("</head>") :]


def test_every_chart_is_there_under_its_title(body: str) -> None:
    assert re.findall(r"<h2>(.*?)</h2>", body) == TITLES
    assert len(re.findall(r'<div id="chart-\d+">', body)) == len(TITLES)


def test_nothing_is_loaded_from_anywhere(page: str, body: str) -> None:
    head = page[: page.index("<script>")]
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=", head + body)
    assert page.count("</script>") == 2
    assert len(page) < 3_000_000


def test_every_specification_can_be_drawn(recording: Recording) -> None:
    sections = charts(measure(recording, ["NSE:INFY"]))
    drawn = {title: vl_convert.vegalite_to_svg(spec) for title, _, spec in sections if spec is not None}
    assert list(drawn) == TITLES
    for title, svg in drawn.items():
        assert svg.count("<path") > 5, title
    assert "#c8553d" in drawn["Coverage and gaps"]


def test_names_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    shutil.copytree(FIXTURE, tmp_path / "<script>alert(1)</script>" / "x")
    text = report_page(kiterec.open(tmp_path / "<script>alert(1)</script>" / "x"))
    assert "<script>alert(1)" not in text


def test_a_recording_that_has_nothing_yet_has_a_page(tmp_path: Path) -> None:
    with being_written(tmp_path) as writer:
        found = list(charts(measure(kiterec.open(writer.path), [408065])))
        text = report_page(kiterec.open(writer.path))
    assert [title for title, _, _ in found] == [*TITLES[:-1], "408065, 5s"]
    told = {title: reading for title, reading, spec in found if spec is None}
    assert list(told) == [title for title in [*TITLES[:-1], "408065, 5s"] if title != "Compression"]
    assert told["Busiest instruments"] == "No tick was recorded."
    assert told["408065, 5s"] == "No tick of 408065 was recorded."
    assert "There is no gap." in text


def test_gaps_are_listed_too(body: str) -> None:
    cells = ["main-1", "lost", "10:00:30", "10:00:36", "6.0 s"]
    assert "".join(f"<td>{cell}</td>" for cell in cells) in body


def test_an_instrument_without_a_tick_is_said_to_have_none(recording: Recording) -> None:
    found = measure(recording, ["NSE:INFY", 408065, 99, "NSE:I*"])
    assert found.silent == ["99"]


def test_a_browser_draws_every_chart_without_an_error(page: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium here; apt-get install chromium")
    file = tmp_path / "report.html"
    file.write_text(page)
    shots = Path(os.environ.get(SHOTS, tmp_path))
    shots.mkdir(parents=True, exist_ok=True)
    common = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'profile'}",
        "--virtual-time-budget=60000", "--window-size=1100,3300", "--enable-logging=stderr",
    ]  # fmt: skip
    done = subprocess.run(
        [*common, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=100, check=True
    )
    # The libraries, which come before it, have the words of HTML in their strings.
    assert re.findall(r"<body[^>]*>", done.stdout)[-1] == f'<body data-charts="{len(TITLES)}">'
    assert done.stdout.count("<svg") >= len(TITLES)
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    shot = shots / "report.png"
    subprocess.run(
        [*common, f"--screenshot={shot}", file.as_uri()], capture_output=True, timeout=100, check=True
    )
    assert shot.stat().st_size > 50_000
