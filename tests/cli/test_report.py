"""`kiterec report` writes one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., tuple[int, str, str]]

FIXTURE = next((Path(__file__).parents[1] / "fixtures" / "recordings").glob("date=*/recording=*"))


def test_the_page_is_written_and_replaced(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("old")
    code, out, _ = run("report", FIXTURE, "-o", page, "--instruments", "NSE:INFY")
    assert (code, out.split(":")[0]) == (0, str(page))
    assert "NSE:INFY, 5s" in page.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_cannot_be_done_is_said_in_one_line(run: Run, tmp_path: Path) -> None:
    code, _, told = run("report", FIXTURE, "--instruments", "NSE:NOBODY")
    assert (code, len(told.splitlines())) == (2, 1)
    code, _, told = run("report", FIXTURE, "-o", tmp_path / "nowhere" / "report.html")
    assert (code, len(told.splitlines())) == (1, 1)
    code, _, told = run("report", tmp_path / "nothing")
    assert "does not exist" in told
