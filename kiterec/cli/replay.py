"""`kiterec replay`: a recording, served as if it were Kite."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from kiterec.cli.options import (
    check_credentials_option,
    connections_option,
    from_option,
    limit_option,
    port_option,
    to_option,
)
from kiterec.cli.parameters import RECORDING, duration
from kiterec.cli.parameters import speed as speed_factor
from kiterec.clock import NS_PER_S

if TYPE_CHECKING:
    from kiterec.recording import Recording


@click.command()
@click.argument("recording", type=RECORDING)
@port_option
@click.option(
    "--speed", default="1", show_default=True, type=speed_factor, metavar="X|max",
    help="Factor against the recorded pace; max is as fast as the clients take it.",
)  # fmt: skip
@click.option(
    "--exact", is_flag=True,
    help="Client n gets recorded connection n byte for byte, whatever it subscribes to.",
)  # fmt: skip
@click.option(
    "--expect-clients", "--wait-for-clients", "expected", type=click.IntRange(min=0), metavar="N",
    help="The clock starts when so many clients are there.  [default: 1; with --exact, as many as recorded]",
)  # fmt: skip
@from_option
@to_option
@click.option(
    "--skip-idle", type=duration, metavar="TIME", help="Shorten longer silences of the recording to this: 2s."
)
@click.option("--paused", is_flag=True, help="Begin with a pause.")
@click.option(
    "--lockstep", type=click.Choice(["taken", "acknowledged"]), is_flag=False, flag_value="taken",
    help="The next frame goes out only when every client has taken the last, or when a program has "
    "acknowledged it over the control channel.",
)  # fmt: skip
@click.option(
    "--lockstep-timeout", type=duration, default="30s", show_default=True, metavar="TIME",
    help="In lockstep, fail when a client keeps the others waiting for so long.",
)  # fmt: skip
@click.option(
    "--at-end", type=click.Choice(["close", "hold", "loop"]),
    help="Close the connections and exit, stay with heartbeats as Kite does after hours, or begin anew.  "
    "[default: hold; with --exact, close]",
)  # fmt: skip
@click.option(
    "--faults", "scenario", type=click.Path(path_type=Path), metavar="FILE",
    help="Go wrong on purpose, as this scenario says.",
)  # fmt: skip
@click.option("--disconnects", is_flag=True, help="Lose connections where recorded ones were lost.")
@click.option(
    "--rebase", type=click.Choice(["now"]),
    help="Move the exchange's times so that the beginning is now and a program sees today.",
)  # fmt: skip
@click.option(
    "--rest/--no-rest", default=True, show_default=True,
    help="Answer instruments, quotes and candles over HTTP on the same port.",
)  # fmt: skip
@check_credentials_option
@connections_option
@limit_option
def replay(
    *, recording: Path, port: int, speed: float | None, exact: bool, expected: int | None, begin: str | None,
    end: str | None, skip_idle: float | None, paused: bool,
    lockstep: Literal["taken", "acknowledged"] | None, lockstep_timeout: float,
    at_end: Literal["close", "hold", "loop"] | None,
    scenario: Path | None, disconnects: bool, rebase: Literal["now"] | None, rest: bool,
    check_credentials: bool, per_key: int, per_connection: int,
) -> None:  # fmt: skip
    """Play RECORDING back as if it were Kite.

    Each client gets what Kite would send for its subscriptions and modes. Serves on 127.0.0.1 only, with the
    recorded instrument dump at GET /instruments on the same port.

    On a terminal: space pauses, . sends the next frame, + and - change the speed, the arrows seek.
    """
    import kiterec
    from kiterec.cli import LOST
    from kiterec.cli.replay_view import watched
    from kiterec.cli.serving import credentials_from_environment, serve
    from kiterec.replay.limits import Limits
    from kiterec.replay.server import ReplayServer

    if exact and rebase:
        raise click.UsageError("--exact sends what was recorded byte for byte, --rebase changes it; give one")
    opened = kiterec.open(recording)
    timeline, stretch = _stretch(opened, begin, end, skip_idle)
    ending = at_end or ("close" if exact else "hold")
    server = ReplayServer(
        timeline, port=port, speed=speed, exact=exact, wait_for_clients=expected, at_end=ending,
        stretch=stretch, paused=paused,
        limits=Limits(
            connections_per_api_key=per_key, instruments_per_connection=per_connection,
            lockstep_s=lockstep_timeout,
        ),
        lockstep="acknowledged" if lockstep == "acknowledged" else lockstep is not None,
        credentials=credentials_from_environment() if check_credentials else None,
        disconnects=disconnects, rebase=rebase, rest=rest,
        hook=None if scenario is None else _faults(scenario),
    )  # fmt: skip
    pace = "as fast as it is taken" if speed is None else f"at {speed:g} times its pace"
    what = f"the recording {opened.path}, {'byte for byte, ' if exact else ''}{pace}"
    serve(server, what, hold=ending == "hold", beside=watched)
    if server.stats().cut_off:
        sys.exit(LOST)


def _stretch(
    opened: Recording, begin: str | None, end: str | None, skip_idle: float | None
) -> tuple[Any, Any]:
    """Give the timeline and the part of it that is asked for."""
    from kiterec.cli.spans import read_span
    from kiterec.clock import to_ns
    from kiterec.replay.playback import Stretch
    from kiterec.replay.recorded import RecordedTimeline

    timeline = RecordedTimeline(opened.path)
    begin_at, end_at = read_span(opened, begin, end)
    stretch = Stretch(
        begin_ns=0 if begin_at is None else timeline.position_at(to_ns(begin_at)),
        end_ns=None if end_at is None else timeline.position_at(to_ns(end_at), past_end=True),
        skip_idle_ns=None if skip_idle is None else round(skip_idle * NS_PER_S),
    )
    return timeline, stretch


def _faults(scenario: Path) -> Any:
    from kiterec.replay.faults import FaultInjector
    from kiterec.replay.scenario import Scenario

    return FaultInjector(Scenario.load(scenario))
