"""`kiterec replay`: a recording, served as if it were Kite."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from kiterec.cli.options import check_credentials_option, port_option
from kiterec.cli.parameters import speed as speed_factor


@click.command()
@click.argument("recording", type=click.Path(path_type=Path))
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
    "--wait-for-clients", type=click.IntRange(min=0), metavar="N",
    help="The clock starts when so many clients are there.  [default: 1; with --exact, as many as recorded]",
)  # fmt: skip
@click.option(
    "--at-end", type=click.Choice(["close", "hold"]),
    help="Close the connections and exit, or stay with heartbeats, as Kite does after hours.  "
    "[default: hold; with --exact, close]",
)  # fmt: skip
@click.option(
    "--faults", type=click.Path(path_type=Path), metavar="FILE",
    help="What shall go wrong, in TOML: the same seed gives the same faults.",
)  # fmt: skip
@check_credentials_option
def replay(
    *, recording: Path, port: int, speed: float | None, exact: bool, wait_for_clients: int | None,
    at_end: Literal["close", "hold"] | None, faults: Path | None, check_credentials: bool,
) -> None:  # fmt: skip
    """Play RECORDING back as if it were Kite.

    Each client gets what Kite would send for its subscriptions and modes. Serves on 127.0.0.1 only, with the
    recorded instrument dump at GET /instruments on the same port.
    """
    import kiterec
    from kiterec.cli.serving import credentials_from_environment, serve
    from kiterec.replay.faults import FaultInjector
    from kiterec.replay.recorded import RecordedTimeline
    from kiterec.replay.scenario import Scenario
    from kiterec.replay.server import ReplayServer

    timeline = RecordedTimeline(kiterec.open(recording).path)
    ending = at_end or ("close" if exact else "hold")
    server = ReplayServer(
        timeline, port=port, speed=speed, exact=exact, wait_for_clients=wait_for_clients, at_end=ending,
        credentials=credentials_from_environment() if check_credentials else None,
        hook=None if faults is None else FaultInjector(Scenario.load(faults)),
    )  # fmt: skip
    pace = "as fast as it is taken" if speed is None else f"at {speed:g} times its pace"
    what = f"the recording {recording}, {'byte for byte, ' if exact else ''}{pace}"
    serve(server, what, hold=ending == "hold")
