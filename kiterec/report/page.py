"""The report as one HTML file that needs nothing else: no network, no server, no other file."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING, Any, Final

from kiterec.clock import ist
from kiterec.errors import SetupError
from kiterec.report.charts import charts
from kiterec.report.measures import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kiterec.recording import Recording
    from kiterec.store.summary import Summary

_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; }
body { max-width: 1000px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 0; }
p { color: #666; margin: 0 0 .6rem; } p.bad { color: #c8553d; } table { border-collapse: collapse; }
td { padding: .1rem 1.2rem .1rem 0; } td:first-child { color: #666; }
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
        place = f'<div id="chart-{len(specs)}"></div>'
        sections.append(f"<h2>{html.escape(title)}</h2>\n<p>{html.escape(reading)}</p>\n{place}")
        specs.append(spec)
    name = html.escape(str(recording.path))
    return "\n".join(
        [
            f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{name}</title>',
            f"<style>{_STYLE}</style>\n<script>{_libraries()}</script>\n</head>\n<body>",
            f"<h1>{name}</h1>",
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
    begin = "" if summary.begin_ns is None else f"{ist(summary.begin_ns):%Y-%m-%d %H:%M:%S} IST"
    facts = [
        ("state", str(summary.status)),
        ("begin", begin),
        ("span", f"{summary.span_s:,.1f} s"),
        ("connections", str(len(summary.connections))),
        ("frames", f"{summary.frames:,}"),
        ("ticks", f"{summary.ticks:,}"),
        ("gaps", f"{summary.gaps:,}"),
        ("received", f"{summary.wire_bytes / 1e6:,.1f} MB"),
        ("on disk", f"{summary.disk_bytes / 1e6:,.1f} MB"),
    ]
    if summary.disk_bytes and summary.ticks:
        facts.append(("compression", f"{summary.wire_bytes / summary.disk_bytes:.2f} to 1"))
        facts.append(("disk per tick", f"{summary.disk_bytes / summary.ticks:.1f} bytes"))
    rows = [f"<tr><td>{what}</td><td>{html.escape(value)}</td></tr>" for what, value in facts]
    problems = [f'<p class="bad">{html.escape(one)}</p>' for one in [*summary.problems, *summary.notes]]
    return "\n".join(["<table>", *rows, "</table>", *problems])
