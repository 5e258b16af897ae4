"""The charts of the report, each a Vega-Lite specification with its data in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from kiterec.errors import SetupError
from kiterec.report.measures import LATENCY_BIN_MS

try:
    import altair as alt
except ImportError as error:
    raise SetupError("a report needs altair, which is missing: pip install 'kiterec[report]'") from error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.report.measures import Measures

COVERAGE: Final = "Coverage and gaps"
WIDTH: Final = 755
LEFT: Final = 190
"""Room for the labels of the vertical axes, the same in all charts, so that times stand above one another."""

GAP_COLOUR, SILENT_COLOUR = "#c8553d", "#e9a03b"
RISING, FALLING, INCOMPLETE = "#2a9d6f", "#c8553d", "#b9b9b9"
LIGHT, DARK = "#9db8cf", "#3b6d97"

STAMPS: Final = (
    "Received minus exchange time of full packets. The exchange's stamp is cut to whole seconds, so up to "
    "1 s of it is not on the way. Snapshots are hours old: what is beyond -1 s and 5 s stands at the ends."
)

alt.data_transformers.disable_max_rows()

Section = tuple[str, str, dict[str, Any] | None]


def charts(measures: Measures) -> Iterator[Section]:
    """Give the sections of the report.

    Shape:
        Title, a sentence on how to read the chart, and its specification; where there is nothing to draw,
        the sentence says so and the specification is None.
    """
    step = f"{measures.step_s} s"
    time = _Time(measures)
    no_ticks = "No tick was recorded."
    yield _section(
        COVERAGE,
        "When each connection was recorded. Red is what was lost, orange where not even a heartbeat came.",
        _coverage(measures, time) if measures.coverage.height else None,
        "Nothing was recorded yet.",
    )
    yield _section(
        "Frames per second",
        f"By connection, without heartbeats, mean of {step}.",
        _frames(measures, time) if measures.traffic.height else None,
        "No frame was recorded.",
    )
    yield _section(
        "Ticks per second", f"By mode, mean of {step}.",
        _ticks(measures, time) if measures.ticks.height else None, no_ticks,
    )  # fmt: skip
    yield _section(
        "Packet mix", "Ticks by exchange segment and mode.",
        _mix(measures) if measures.mix.height else None, no_ticks,
    )  # fmt: skip
    yield _section(
        "Busiest instruments", "By number of ticks.",
        _top(measures) if measures.top.height else None, no_ticks,
    )  # fmt: skip
    yield _section(
        "Latency", STAMPS,
        _latency(measures, time) if measures.latency.height else None,
        "Unknown: only full packets carry the exchange's time, and none was recorded.",
    )  # fmt: skip
    yield _section(
        "Compression", "Bytes received and bytes on disk, by connection.",
        _sizes(measures) if measures.sizes.height else None, "Nothing was recorded yet.",
    )  # fmt: skip
    for symbol in measures.candles["symbol"].unique(maintain_order=True):
        reading = "Grey candles are not complete: a gap, or the recording's begin or end, overlaps them."
        yield f"{symbol}, {measures.every}", reading, _candles(measures, symbol, time)
    for symbol in measures.silent:
        yield f"{symbol}, {measures.every}", f"No tick of {symbol} was recorded.", None


def _section(title: str, reading: str, spec: dict[str, Any] | None, otherwise: str) -> Section:
    return title, otherwise if spec is None else reading, spec


class _Time:
    """The horizontal axis of time, the same in all charts."""

    def __init__(self, measures: Measures) -> None:
        instants = [measures.coverage["ist"], measures.coverage["ist_end"], measures.traffic["ist"]]
        ends = pl.concat([one.cast(pl.Int64) for one in instants]).sort().to_list()
        self._domain = [ends[0], ends[-1]] if ends else [0, 0]
        self._format = "%H:%M:%S" if measures.step_s < 10 else "%H:%M"

    def axis(self, *, labels: bool = True, ends: bool = True) -> alt.X:
        """Give the axis.

        Args:
            labels: without them, where another chart has them below.
            ends: without them, where another layer has them or there is an `x2`; Vega-Lite sees a conflict.
        """
        domain = self._domain if ends else alt.Undefined
        axis = alt.Axis(
            format=self._format, tickCount=10, labelOverlap=True, labelFlush=False, labels=labels,
            ticks=labels, title="India (IST)" if labels else None,
        )  # fmt: skip
        return alt.X("ist:T", scale=alt.Scale(type="utc", nice=False, domain=domain), axis=axis)


def _count(name: str, title: str) -> alt.X:
    """Give a horizontal axis of a count or an amount, from 0."""
    return alt.X(f"{name}:Q", title=title).axis(tickCount=6, format=",d", tickMinStep=1)


def _rate(name: str, title: str, *, ticks: int = 5) -> alt.Y:
    return alt.Y(f"{name}:Q", title=title).axis(tickCount=ticks, format=",.2~f")


def _colour(name: str, colours: dict[str, str]) -> alt.Color:
    """Give a colour for each word, told above the chart."""
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color(f"{name}:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _mode() -> alt.Color:
    return _colour("mode", {"ltp": "#cfd8dc", "quote": LIGHT, "full": DARK})


def _spec(chart: Any, **size: Any) -> dict[str, Any]:
    """Give the specification, with the same look for all."""
    sized = chart.properties(**size) if size else chart
    found: dict[str, Any] = (
        sized.configure_view(stroke=None)
        .configure_axis(
            labelColor="#555", titleColor="#555", titleFontWeight="normal", gridColor="#eee",
            domainColor="#bbb", tickColor="#bbb", labelFontSize=11, titleFontSize=11,
        )
        .configure_axisY(minExtent=LEFT, maxExtent=LEFT, labelLimit=LEFT - 5, titleX=-LEFT + 125)
        .configure_legend(labelColor="#555", labelFontSize=11)
        .configure_facet(spacing=4)
        .to_dict()
    )  # fmt: skip
    return found


def _coverage(measures: Measures, time: _Time) -> dict[str, Any]:
    rows = alt.Y("connection:N", title=None)
    covered = (
        alt.Chart(measures.coverage).mark_bar(height=14, color=LIGHT).encode(
            x=time.axis(ends=False), x2="ist_end:T", y=rows
        )
    )  # fmt: skip
    missed = (
        alt.Chart(measures.gaps)
        .mark_bar(height=22, minBandSize=2)
        .encode(
            x=time.axis(ends=False),
            x2="ist_end:T",
            y=rows,
            color=_colour("kind", {"lost": GAP_COLOUR, "silent": SILENT_COLOUR}),
            tooltip=["connection", "kind", alt.Tooltip("seconds:Q", format=".3f"), "reason"],
        )
    )
    return _spec(covered + missed, width=WIDTH, height=alt.Step(30))


def _frames(measures: Measures, time: _Time) -> dict[str, Any]:
    """Draw one below the other: connections of the same pace would hide each other."""
    names = measures.traffic["connection"].unique().sort().to_list()
    strips = []
    for name in names:
        table = measures.traffic.filter(measures.traffic["connection"] == name)
        areas = alt.Chart(table).mark_area(
            interpolate="step-after", color=LIGHT, line={"color": DARK, "strokeWidth": 1}
        )
        strips.append(
            areas.encode(
                x=time.axis(labels=name == names[-1]),
                y=_rate("frames_s", name, ticks=3).title(name),
                tooltip=[
                    "connection",
                    alt.Tooltip("frames_s:Q", format=".2f"),
                    alt.Tooltip("bytes_s:Q", format=".3s"),
                ],
            ).properties(width=WIDTH, height=70 if len(names) < 6 else 40)
        )
    return _spec(alt.vconcat(*strips, spacing=8).resolve_scale(y="shared"))


def _ticks(measures: Measures, time: _Time) -> dict[str, Any]:
    areas = alt.Chart(measures.ticks).mark_area(interpolate="step-after")
    encoded = areas.encode(x=time.axis(), y=_rate("ticks_s", "ticks/s"), color=_mode())
    return _spec(encoded, width=WIDTH, height=160)


def _mix(measures: Measures) -> dict[str, Any]:
    bars = alt.Chart(measures.mix).mark_bar()
    encoded = bars.encode(
        x=_count("ticks", "ticks"),
        y=alt.Y("segment:N", title=None).sort("-x"),
        color=_mode(),
        tooltip=["segment", "mode", alt.Tooltip("ticks:Q", format=",")],
    )
    return _spec(encoded, width=WIDTH, height=alt.Step(20))


def _top(measures: Measures) -> dict[str, Any]:
    bars = alt.Chart(measures.top).mark_bar(color=DARK)
    encoded = bars.encode(
        x=_count("ticks", "ticks"),
        y=alt.Y("symbol:N", title=None).sort("-x"),
        tooltip=["symbol", alt.Tooltip("ticks:Q", format=","), alt.Tooltip("ticks_s:Q", format=".2f")],
    )
    return _spec(encoded, width=WIDTH, height=alt.Step(17))


def _latency(measures: Measures, time: _Time) -> dict[str, Any]:
    """Draw the spread, and below it how it went."""
    bars = alt.Chart(measures.latency.with_columns((pl.col("ms") + LATENCY_BIN_MS).alias("ms_end")))
    spread = bars.mark_bar(color=DARK).encode(
        x=alt.X("ms:Q", title="latency (ms)", bin="binned").axis(tickCount=10),
        x2="ms_end:Q",
        y=_rate("ticks", "ticks"),
        tooltip=["ms", alt.Tooltip("ticks:Q", format=",")],
    )
    lines = alt.Chart(measures.latency_over_time).mark_line(interpolate="step-after", strokeWidth=1.5)
    over_time = lines.encode(
        x=time.axis(),
        y=_rate("ms", "latency (ms)"),
        color=_colour("quantile", {"median": DARK, "95 %": SILENT_COLOUR}),
    )
    size = {"width": WIDTH, "height": 130}
    both = alt.vconcat(spread.properties(**size), over_time.properties(**size), spacing=16)
    return _spec(both.resolve_scale(color="independent"))


def _sizes(measures: Measures) -> dict[str, Any]:
    bars = alt.Chart(measures.sizes).mark_bar()
    encoded = bars.encode(
        x=alt.X("megabytes:Q", title="MB").axis(tickCount=8),
        y=alt.Y("connection:N", title=None),
        yOffset=alt.YOffset("what:N").sort(["received", "on disk"]),
        color=_colour("what", {"received": LIGHT, "on disk": DARK}),
        tooltip=["what", alt.Tooltip("megabytes:Q", format=".3f"), alt.Tooltip("ratio:Q", format=".2f")],
    )
    return _spec(encoded, width=WIDTH, height=alt.Step(14))


def _candles(measures: Measures, symbol: str, time: _Time) -> dict[str, Any]:
    table = measures.candles.filter(measures.candles["symbol"] == symbol).drop("symbol")
    instants = table["ist"].to_list()
    span = max(1, (instants[-1] - instants[0]) / measures.candle_ms)
    size = max(1.0, min(10.0, WIDTH * 0.6 / span))
    colour = (
        alt.when("!datum.complete")
        .then(alt.value(INCOMPLETE))
        .when("datum.close >= datum.open")
        .then(alt.value(RISING))
        .otherwise(alt.value(FALLING))
    )
    base = alt.Chart(table)
    with_volume = table["volume"].null_count() < table.height
    x = time.axis(labels=not with_volume)
    price = alt.Y("low:Q", title="price").scale(zero=False).axis(tickCount=6)
    told = ["open", "high", "low", "close", alt.Tooltip("volume:Q", format=","), "complete"]
    candles = base.mark_rule().encode(x=x, color=colour, y=price, y2="high:Q") + base.mark_bar(
        size=size, minBandSize=1
    ).encode(
        x=time.axis(labels=not with_volume, ends=False), color=colour, y="open:Q", y2="close:Q", tooltip=told
    )
    stacked = [candles.properties(width=WIDTH, height=200)]
    if with_volume:
        volume = base.mark_bar(size=size).encode(
            x=time.axis(), color=colour, y=_rate("volume", "volume", ticks=3)
        )
        stacked.append(volume.properties(width=WIDTH, height=60))
    return _spec(alt.vconcat(*stacked, spacing=8))
