"""`kiterec simulate`: a synthetic exchange on Kite's wire."""

from __future__ import annotations

import click

from kiterec.cli.options import (
    check_credentials_option,
    connections_option,
    limit_option,
    port_option,
    seed_option,
)
from kiterec.cli.parameters import duration, wall_time
from kiterec.clock import SYSTEM_CLOCK


def _start(text: str) -> int | None:
    """Read `now`, `fixed`, or a time in IST; None is the fixed start."""
    now = SYSTEM_CLOCK.now_ns()
    if text in {"now", "fixed"}:
        return now if text == "now" else None
    try:
        return wall_time(text, day_ns=now)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no start; give now, fixed, 09:15 or 2026-01-05T09:15"
        ) from None


@click.command()
@port_option
@click.option(
    "--instruments", default=300, show_default=True, type=click.IntRange(1, 200_000), metavar="N",
    help="How many instruments.",
)  # fmt: skip
@seed_option
@click.option(
    "--rate", default=2.0, show_default=True, type=click.FloatRange(0, 4, min_open=True), metavar="X",
    help="Packets a second, on average over all instruments.",
)  # fmt: skip
@click.option("--duration", type=duration, metavar="TIME", help="Close after, such as 30s.  [default: never]")
@click.option(
    "--start", type=_start, default="now", show_default=True, metavar="now|fixed|TIME",
    help="The exchange's clock at the start, IST. The same seed and start give the same bytes; fixed is "
    "always the same Monday, and waits for the first client.",
)  # fmt: skip
@check_credentials_option
@connections_option
@limit_option
def simulate(
    *, port: int, instruments: int, seed: int, rate: float, duration: float | None, start: int | None,
    check_credentials: bool, per_key: int, per_connection: int,
) -> None:  # fmt: skip
    """Serve a synthetic market as if it were Kite.

    The WebSocket and the instrument dump (GET /instruments) are on the same port, on 127.0.0.1 only. Clients
    need no account: any credentials are accepted.
    """
    from kiterec.cli.serving import credentials_from_environment, serve
    from kiterec.replay.limits import Limits
    from kiterec.replay.server import ReplayServer
    from kiterec.simulate import SyntheticMarket

    market = SyntheticMarket(
        instruments=instruments, seed=seed, duration_s=duration, packets_per_s=rate, start_ns=start
    )
    server = ReplayServer(
        market, port=port, wait_for_clients=int(start is None),
        limits=Limits(connections_per_api_key=per_key, instruments_per_connection=per_connection),
        credentials=credentials_from_environment() if check_credentials else None,
    )  # fmt: skip
    serve(server, f"a synthetic exchange of {instruments:,} instruments, seed {seed}")
