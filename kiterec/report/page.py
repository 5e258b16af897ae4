"""The report as one HTML file that needs nothing else: no network, no server, no other file."""

from __future__ import annotations

import datetime as dt
import html
import json
from typing import TYPE_CHECKING, Any, Final

from kiterec.clock import ist
from kiterec.errors import SetupError
from kiterec.report.charts import COVERAGE, charts
from kiterec.report.measures import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from kiterec.recording import Recording
    from kiterec.store.summary import Summary

MAX_GAPS: Final = 30
"""Rows of the table of gaps."""

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; }
body { max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.15rem; margin: 2.2rem 0 0; }
p { color: #666; margin: 0 0 .6rem; overflow-wrap: anywhere; } p.bad { color: #c8553d; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: .8rem; }
dl { margin: 1.2rem 0; } dl div { background: #f4f7f9; border-radius: 6px; padding: .5rem .8rem; }
dt { color: #666; font-size: .8rem; } dd { margin: 0; font-size: .95rem; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; } th { text-align: left; color: #666; }
td, th { padding: .15rem 1.4rem .15rem 0; font-weight: normal; }
"""

_SCRIPT: Final = """
const shown = SPECS.map((spec, n) => vegaEmbed('#chart-' + n, spec, {actions: false, renderer: 'svg'}));
Promise.all(shown)
  .then(() => { document.body.dataset.charts = shown.length; })
  .catch(error => { document.body.dataset.failed = error; console.error(error); });
"""


def report_page(recording: Recording, symbols: Sequence[str | int] | None = None) -> str:
    """Give the report of a recording as HTML.

    Args:
        recording: also one that is still being written.
        symbols: instruments whose candles are shown; None for the busiest.

    Raises:
        SetupError: a symbol is unknown, or the packages of the extra `report` are missing.
    """
    measures = measure(recording, symbols)
    sections: list[str] = []
    specs: list[dict[str, Any]] = []
    for title, reading, spec in charts(measures):
        sections.append(f"<h2>{html.escape(title)}</h2>\n<p>{html.escape(reading)}</p>")
        if spec is not None:
            sections.append(f'<div id="chart-{len(specs)}"></div>')
            specs.append(spec)
        if title == COVERAGE:
            sections.append(_gaps(measures.gaps))
    path = html.escape(str(recording.path))
    name = html.escape(recording.manifest.label or recording.path.name)
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>',
            f"<style>{_STYLE}</style>\n<script>{_libraries()}</script>\n</head>\n<body>",
            f"<h1>{name}</h1>\n<p>{path}</p>",
            _facts(measures.summary),
            *sections,
            f"<script>\nconst SPECS = {_json_in_html(specs)};\n{_SCRIPT}</script>",
            "</body>\n</html>\n",
        ]
    )


def _libraries() -> str:
    """Give Vega, Vega-Lite and Vega-Embed as one script."""
    import altair as alt

    try:
        import vl_convert
    except ImportError as error:
        raise SetupError(
            "a report needs vl-convert, which is missing: pip install 'kiterec[report]'"
        ) from error
    wanted = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=wanted)
    return bundle.replace("</script", "<\\/script")


def _json_in_html(specs: list[dict[str, Any]]) -> str:
    """Give JSON that no name in it can break out of."""
    return json.dumps(specs).replace("<", "\\u003c")


def _facts(summary: Summary) -> str:
    """Give the recording in a few numbers."""
    begin = "" if summary.begin_ns is None else f"{ist(summary.begin_ns):%Y-%m-%d %H:%M:%S}"
    facts = [
        ("state", str(summary.status)),
        ("begin, IST", begin or "nothing yet"),
        ("span", _span(summary.span_s)),
        ("connections", str(len(summary.connections))),
        ("frames", f"{summary.frames:,}"),
        ("ticks", f"{summary.ticks:,}"),
        ("gaps", f"{summary.gaps:,}"),
        ("received", f"{summary.wire_bytes / 1e6:,.1f} MB"),
        ("on disk", f"{summary.disk_bytes / 1e6:,.1f} MB"),
    ]
    if summary.disk_bytes and summary.ticks:
        facts[-1] = ("on disk", f"{facts[-1][1]}, {summary.disk_bytes / summary.ticks:.1f} B a tick")
        facts.append(("compression", f"{summary.wire_bytes / summary.disk_bytes:.2f} to 1"))
    rows = [f"<div><dt>{what}</dt><dd>{html.escape(value)}</dd></div>" for what, value in facts]
    problems = [f'<p class="bad">{html.escape(one)}</p>' for one in [*summary.problems, *summary.notes]]
    return "\n".join(["<dl>", *rows, "</dl>", *problems])


def _span(seconds: float) -> str:
    """Give a duration in the units that one would say."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def _gaps(gaps: pl.DataFrame) -> str:
    """Give the gaps as a table, the longest if there are many."""
    if not gaps.height:
        return "<p>There is no gap.</p>"
    shown = gaps.sort("seconds", descending=True).head(MAX_GAPS).sort("ist")
    rows = []
    for gap in shown.iter_rows(named=True):
        begin, end = (
            f"{dt.datetime.fromtimestamp(gap[at] / 1e3, dt.UTC):%H:%M:%S}" for at in ("ist", "ist_end")
        )
        cells = [gap["connection"], gap["kind"], begin, end, f"{gap['seconds']:,.1f} s", gap["reason"]]
        rows.append("<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells) + "</tr>")
    head = "".join(f"<th>{word}</th>" for word in ("connection", "kind", "from", "to", "lasted", "reason"))
    left = gaps.height - shown.height
    more = f"<p>{left:,} shorter ones are not listed.</p>" if left else ""
    return "\n".join([f"<table><tr>{head}</tr>", *rows, f"</table>{more}"])
