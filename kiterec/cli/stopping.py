"""Runs the long verbs until they end by themselves or SIGINT or SIGTERM asks them to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NoReturn

from kiterec.cli.logs import say

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOW_CURSOR: Final = "\x1b[?25h"


@contextmanager
def stop_on_signals(breaking_off: str = "broken off") -> Iterator[asyncio.Event]:
    """Give an event that the first SIGINT or SIGTERM sets; the next one ends the process at once.

    Must be entered in a coroutine, on the main thread. Exit code of a process that is broken off: 128 and the
    number of the signal, as a shell has it.

    Args:
        breaking_off: what is said then.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    terminal = _terminal()

    def ask(number: signal.Signals) -> None:
        if stop.is_set():
            _break_off(number, breaking_off, terminal)
        stop.set()
        say("stopping; once more breaks off")

    for each in signals:
        loop.add_signal_handler(each, ask, each)
    try:
        yield stop
    finally:
        for each in signals:
            loop.remove_signal_handler(each)


def _break_off(number: signal.Signals, sentence: str, terminal: list[Any] | None) -> NoReturn:
    """Leave the terminal as it was found and end, without waiting for threads."""
    say(f"kiterec: {sentence}")
    if terminal is not None:
        import termios

        termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, terminal)
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR.encode())
    os._exit(128 + number)


def _terminal() -> list[Any] | None:
    """Give the settings of the terminal, which keys change; None without one."""
    if sys.stdin is None or not sys.stdin.isatty():
        return None
    import termios

    return termios.tcgetattr(sys.stdin.fileno())
