"""Runs the long verbs until they end by themselves or SIGINT or SIGTERM asks them to."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def stop_on_signals() -> Iterator[asyncio.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; the next one breaks off at once.

    Must be entered in a coroutine, on the main thread.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def ask() -> None:
        stop.set()
        click.echo("stopping; once more breaks off", err=True)
        for each in signals:
            loop.remove_signal_handler(each)

    for each in signals:
        loop.add_signal_handler(each, ask)
    try:
        yield stop
    finally:
        for each in signals:
            loop.remove_signal_handler(each)
