"""`kiterec report`: a recording as one HTML page with charts."""

from __future__ import annotations

from pathlib import Path

import click

from kiterec.amounts import size
from kiterec.cli.options import instruments_option, split_words
from kiterec.cli.parameters import RECORDING, TARGET_FILE


@click.command(short_help="Write a page with charts of a recording.")
@click.argument("recording", type=RECORDING)
@click.option(
    "-o", "--output", default=Path("report.html"), show_default=True, metavar="FILE",
    type=TARGET_FILE, help="The page; one that is there is replaced.",
)  # fmt: skip
@instruments_option
def report(*, recording: Path, output: Path, instruments: tuple[str, ...]) -> None:
    """Write one HTML page about RECORDING: coverage, gaps, rates, latency, packets, compression, candles.

    It needs no network and no other file. Candles are those of --instruments, or of the busiest ones.
    """
    import kiterec
    from kiterec.report.page import report_page
    from kiterec.store.files import FILES

    page = report_page(kiterec.open(recording), split_words(instruments) or None).encode()
    FILES.save(output, page)
    click.echo(f"{output}: {size(len(page))}")
