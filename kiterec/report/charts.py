"""The charts of the report, each a Vega-Lite specification with its data in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kiterec.errors import SetupError

try:
    import altair as alt
except ImportError as error:
    raise SetupError("a report needs altair, which is missing: pip install 'kiterec[report]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.report.measures import Measures

WIDTH: Final = 860
GAP_COLOUR: Final = "#c8553d"
RISING, FALLING, INCOMPLETE = "#2a9d6f", "#c8553d", "#b9b9b9"

STAMPS: Final = (
    "Received minus exchange time of full packets. The exchange's stamp is cut to whole seconds, so up to "
    "1 s of it is not on the way; snapshots are at the right end."
)

alt.data_transformers.disable_max_rows()


def charts(measures: Measures) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Give the charts that have something to show.

    Shape:
        Title, a sentence on how to read it, and specification.
    """
    step = f"{measures.step_s} s"
    yield (
        "Coverage and gaps",
        "When each connection was recorded; red is what was lost, orange where nothing came.",
        _coverage(measures),
    )
    if measures.traffic.height:
        yield "Frames per second", f"Without heartbeats, by connection, mean of {step}.", _frames(measures)
    if measures.ticks.height:
        yield "Ticks per second", f"By mode, mean of {step}.", _ticks(measures)
        yield "Packet mix", "Ticks by exchange segment and mode.", _mix(measures)
        yield "Busiest instruments", "By number of ticks.", _top(measures)
    if measures.latency.height:
        yield (
            "Latency",
            STAMPS,
            _latency(measures),
        )
    if measures.sizes.height:
        yield "Compression", "Bytes received and bytes on disk, by connection.", _sizes(measures)
    for symbol in measures.candles["symbol"].unique(maintain_order=True):
        yield (
            f"{symbol}, {measures.every}",
            "Grey candles are not complete: a gap, or the recording's begin or end, overlaps them.",
            _candles(measures, symbol),
        )


def _time(title: str = "IST") -> alt.X:
    return alt.X("ist:T", title=title).scale(type="utc").axis(format="%H:%M:%S", labelOverlap=True)


def _mode() -> alt.Color:
    return alt.Color("mode:N", title=None).scale(
        domain=["ltp", "quote", "full"], range=["#cfd8dc", "#9db8cf", "#3b6d97"]
    )


def _spec(chart: Any, **size: Any) -> dict[str, Any]:
    found: dict[str, Any] = (
        chart.properties(**({"width": WIDTH} | size)).configure_view(stroke=None).to_dict()
    )
    return found


def _coverage(measures: Measures) -> dict[str, Any]:
    rows = alt.Y("connection:N", title=None)
    covered = (
        alt.Chart(measures.coverage)
        .mark_bar(height=16, color="#9db8cf")
        .encode(x=_time(), x2="ist_end:T", y=rows)
    )
    missed = (
        alt.Chart(measures.gaps)
        .mark_bar(height=22, minBandSize=2, stroke=GAP_COLOUR, strokeWidth=0.5)
        .encode(
            x=_time(),
            x2="ist_end:T",
            y=rows,
            color=alt.Color("kind:N", title=None).scale(
                domain=["lost", "silent"], range=[GAP_COLOUR, "#e9a03b"]
            ),
            tooltip=["connection", "kind", alt.Tooltip("seconds:Q", format=".3f"), "reason"],
        )
    )
    return _spec(covered + missed, height=alt.Step(34))


def _frames(measures: Measures) -> dict[str, Any]:
    lines = alt.Chart(measures.traffic).mark_line(interpolate="step-after")
    return _spec(
        lines.encode(
            x=_time(), y=alt.Y("frames_s:Q", title="frames/s"), color=alt.Color("connection:N", title=None)
        ),
        height=180,
    )


def _ticks(measures: Measures) -> dict[str, Any]:
    areas = alt.Chart(measures.ticks).mark_area(interpolate="step-after")
    return _spec(areas.encode(x=_time(), y=alt.Y("ticks_s:Q", title="ticks/s"), color=_mode()), height=180)


def _mix(measures: Measures) -> dict[str, Any]:
    bars = alt.Chart(measures.mix).mark_bar()
    encoded = bars.encode(
        x=alt.X("ticks:Q"),
        y=alt.Y("segment:N", title=None).sort("-x"),
        color=_mode(),
        tooltip=["mode", "ticks"],
    )
    return _spec(encoded, height=alt.Step(22))


def _top(measures: Measures) -> dict[str, Any]:
    bars = alt.Chart(measures.top).mark_bar(color="#3b6d97")
    encoded = bars.encode(
        x=alt.X("ticks:Q"),
        y=alt.Y("symbol:N", title=None).sort("-x"),
        tooltip=["symbol", "ticks", alt.Tooltip("ticks_s:Q", format=".2f")],
    )
    return _spec(encoded, height=alt.Step(18))


def _latency(measures: Measures) -> dict[str, Any]:
    bars = alt.Chart(measures.latency).mark_bar(color="#3b6d97", width=4)
    spread = bars.encode(x=alt.X("ms:Q", title="latency (ms)"), y=alt.Y("ticks:Q")).properties(
        width=WIDTH // 2 - 50, height=180
    )
    lines = alt.Chart(measures.latency_over_time).mark_line(interpolate="step-after")
    over_time = lines.encode(
        x=_time(), y=alt.Y("ms:Q", title="latency (ms)"), color=alt.Color("quantile:N", title=None)
    ).properties(width=WIDTH // 2 - 50, height=180)
    both: dict[str, Any] = (spread | over_time).configure_view(stroke=None).to_dict()
    return both


def _sizes(measures: Measures) -> dict[str, Any]:
    bars = alt.Chart(measures.sizes).mark_bar()
    encoded = bars.encode(
        x=alt.X("megabytes:Q", title="MB"),
        y=alt.Y("connection:N", title=None),
        yOffset=alt.YOffset("what:N").sort(["received", "on disk"]),
        color=alt.Color("what:N", title=None).scale(
            domain=["received", "on disk"], range=["#9db8cf", "#3b6d97"]
        ),
        tooltip=["what", alt.Tooltip("megabytes:Q", format=".3f"), alt.Tooltip("ratio:Q", format=".2f")],
    )
    return _spec(encoded, height=alt.Step(16))


def _candles(measures: Measures, symbol: str) -> dict[str, Any]:
    table = measures.candles.filter(measures.candles["symbol"] == symbol).drop("symbol")
    size = max(1, min(12, WIDTH * 0.6 / max(table.height, 1)))
    colour = (
        alt.when("!datum.complete")
        .then(alt.value(INCOMPLETE))
        .when("datum.close >= datum.open")
        .then(alt.value(RISING))
        .otherwise(alt.value(FALLING))
    )
    base = alt.Chart(table).encode(x=_time(), color=colour)
    price = alt.Y("low:Q", title="price").scale(zero=False)
    candles = base.mark_rule().encode(y=price, y2="high:Q") + base.mark_bar(size=size).encode(
        y="open:Q", y2="close:Q", tooltip=["open", "high", "low", "close", "volume", "complete"]
    )
    stacked = [candles.properties(width=WIDTH, height=200)]
    if table["volume"].null_count() < table.height:
        volume = base.mark_bar(size=size).encode(y=alt.Y("volume:Q"))
        stacked.append(volume.properties(width=WIDTH, height=60))
    found: dict[str, Any] = (
        alt.vconcat(*stacked).resolve_scale(x="shared").configure_view(stroke=None).to_dict()
    )
    return found
