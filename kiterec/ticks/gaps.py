"""What a recording missed, or may have: lost connections, silent ones, and instruments unlike themselves."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from kiterec.ticks.schema import INSTANT
from kiterec.ticks.sessions import SESSIONS
from kiterec.ticks.silence import MIN_SILENCE, silent_instruments
from kiterec.wire.transcript import Kind, read_lifecycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kiterec.ticks.sessions import Session

SILENCE_LIMIT: Final = timedelta(seconds=10)
"""Three heartbeats that did not come."""

GAP_SCHEMA: Final = pl.Schema(
    {
        "kind": pl.Enum(["lost", "silent", "instrument"]),
        "connection": pl.String(),
        "instrument_token": pl.UInt32(),
        "begin": INSTANT,
        "end": INSTANT,
        "duration": pl.Duration("ns"),
        "reason": pl.String(),
    }
)
"""One row a gap."""

_OF_CONNECTIONS: Final = ["kind", "connection", "begin", "end", "reason"]


def gaps(
    frames: pl.LazyFrame,
    events: pl.LazyFrame,
    ticks: pl.LazyFrame | None = None,
    *,
    silence_limit: timedelta = SILENCE_LIMIT,
    instrument_limit: timedelta = MIN_SILENCE,
    sessions: Mapping[str, Sequence[Session]] = SESSIONS,
) -> pl.DataFrame:
    """Give the gaps of a recording.

    Shape:
        One row a gap, by begin: kind, connection, instrument_token, begin, end (UTC; half-open), duration,
        reason. The kinds:

        - `lost`: the connection was away, as the recorder says. `end` is null when it never came back.
        - `silent`: the connection was there, and for longer than `silence_limit` nothing came, not even a
          heartbeat. It may be that nothing was missed.
        - `instrument`: it was silent for `instrument_limit` at least, and for 20 times as long as usual,
          within one session and while its connection was there. `connection` is null. The market may just
          have stopped.

    Args:
        frames: the binary messages.
        events: everything else.
        ticks: None leaves out the instruments, which takes a scan of all ticks.
        silence_limit: of a connection.
        instrument_limit: shorter silences of an instrument are no gaps.
        sessions: hours by exchange segment.
    """
    life = events.filter(pl.col("kind") != Kind.SENT).collect()
    lost = _lost_connections(life)
    heard = _heard(frames, life)
    silent = _silent_connections(heard, silence_limit)
    explained = silent.join(lost, on="connection", suffix="_lost").filter(
        pl.col("begin") < pl.col("end_lost"), pl.col("begin_lost") < pl.col("end")
    )
    found = pl.concat([lost, silent.join(explained, on=["connection", "begin"], how="anti")])
    parts = [found]
    if ticks is not None:
        until = heard.select(pl.col("received_at").max().cast(pl.Int64)).item()
        parts.append(silent_instruments(ticks, found, until or 0, limit=instrument_limit, sessions=sessions))
    nothing = pl.DataFrame(schema=GAP_SCHEMA).drop("duration")
    return (
        pl.concat([nothing, *parts], how="diagonal_relaxed")
        .with_columns((pl.col("end") - pl.col("begin")).alias("duration"))
        .select(pl.col(name).cast(kind) for name, kind in GAP_SCHEMA.items())
        .sort("begin", "connection", "instrument_token")
    )


def _lost_connections(life: pl.DataFrame) -> pl.DataFrame:
    """Give what the recorder says was lost, and what was lost and never came back."""
    rows = []
    life = life.with_columns(pl.col("received_at").cast(pl.Int64).alias("at"))
    for event in life.filter(pl.col("kind") == Kind.GAP).iter_rows(named=True):
        told = read_lifecycle(event["payload"].encode())
        if isinstance(told.get("from"), int) and isinstance(told.get("to"), int):
            rows.append(("lost", event["connection"], told["from"], told["to"], str(told.get("reason", ""))))
    ups_and_downs = life.filter(pl.col("kind").is_in([Kind.CONNECTED, Kind.DISCONNECTED]))
    for event in ups_and_downs.group_by("connection").last().sort("connection").iter_rows(named=True):
        told = read_lifecycle(event["payload"].encode())
        # A recorder that ends while a connection is away writes how long that was.
        written = any(
            row[1] == event["connection"] and row[3] >= event["at"] for row in rows if row[3] is not None
        )
        if event["kind"] == Kind.DISCONNECTED and not told.get("wanted") and not written:
            rows.append(("lost", event["connection"], event["at"], None, str(told.get("reason", ""))))
    types = {"begin": pl.Int64(), "end": pl.Int64()}
    schema = {name: types.get(name, pl.String()) for name in _OF_CONNECTIONS}
    return pl.DataFrame(rows, schema, orient="row").with_columns(pl.col("begin", "end").cast(INSTANT))


def _heard(frames: pl.LazyFrame, life: pl.DataFrame) -> pl.DataFrame:
    """Give when something came on each connection, in order, and when it came or went."""
    columns = ["connection", "seq", "received_at"]
    kinds = [Kind.TEXT, Kind.CONNECTED, Kind.DISCONNECTED]
    told = life.filter(pl.col("kind").is_in(kinds)).select(
        *columns, (pl.col("kind") != Kind.TEXT).alias("turn")
    )
    came = frames.select(*columns, pl.lit(value=False).alias("turn")).collect(engine="streaming")
    both = pl.concat([table.with_columns(pl.col("connection").cast(pl.String())) for table in (came, told)])
    return both.sort("seq")


def _silent_connections(heard: pl.DataFrame, limit: timedelta) -> pl.DataFrame:
    """Give the stretches without a message on a connection that neither came nor went in them."""
    before = pl.col("received_at").shift(1).over("connection").alias("received_at_before")
    silent = heard.with_columns(before).filter(
        pl.col("received_at") - pl.col("received_at_before") > limit,
        # What ends in a connect or a disconnect is for the recorder to judge: it writes what was lost.
        ~pl.col("turn"),
    )
    return silent.select(
        pl.lit("silent").alias("kind"),
        "connection",
        pl.col("received_at_before").alias("begin"),
        pl.col("received_at").alias("end"),
        pl.lit("no message, and no heartbeat").alias("reason"),
    )
