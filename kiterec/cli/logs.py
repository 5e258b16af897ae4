"""What the command line logs, and where to."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kiterec.clock import IST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

LOGGER = logging.getLogger("kiterec")


class IstFormatter(logging.Formatter):
    """One line a record, with the wall clock of the exchange."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (logging's own name)
        """Give hours, minutes and seconds in IST."""
        from datetime import datetime

        return datetime.fromtimestamp(record.created, IST).strftime(datefmt or "%H:%M:%S")


class ConsoleHandler(logging.Handler):
    """Prints log lines above a live view instead of through it."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self.setFormatter(IstFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        self.say(self.format(record))

    def say(self, sentence: str) -> None:
        """Print a line as it is."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def log_to_stderr(*, verbose: bool = False, quiet: bool = False) -> None:
    """Send kiterec's log lines to stderr.

    Only kiterec's own loggers are opened: another library's debug lines could show a URL with its secrets.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(IstFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)


def say(sentence: str) -> None:
    """Print a sentence on stderr, above the live view if there is one, which it would tear otherwise."""
    above = [handler for handler in LOGGER.handlers if isinstance(handler, ConsoleHandler)]
    if not above:
        click.echo(sentence, err=True)
    for handler in above:
        handler.say(sentence)


@contextmanager
def log_above(console: Console) -> Iterator[None]:
    """Let log lines scroll above the live view of this console, until the end of the block."""
    before = LOGGER.handlers[:]
    LOGGER.handlers[:] = [ConsoleHandler(console)]
    try:
        yield
    finally:
        LOGGER.handlers[:] = before
