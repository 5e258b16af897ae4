"""Single keys from a terminal, without Enter, while an event loop runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_LONGEST: Final = 64


@contextlib.contextmanager
def keys(actions: Mapping[bytes, Callable[[], None]]) -> Iterator[bool]:
    """Call an action for each of its keys; gives False, and does nothing, where stdin is no terminal.

    Must be entered in a coroutine.

    Args:
        actions: by what the terminal sends for the key, such as `b" "` or `b"\\x1b[C"`.
    """
    if not sys.stdin.isatty():
        yield False
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    loop = asyncio.get_running_loop()
    # cbreak: keys come at once and without echo; Ctrl-C stays a signal.
    tty.setcbreak(terminal)
    loop.add_reader(terminal, lambda: press(os.read(terminal, _LONGEST), actions))
    try:
        yield True
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def press(sent: bytes, actions: Mapping[bytes, Callable[[], None]]) -> None:
    """Call the actions of the keys in what a terminal has sent; bytes that are no key are passed over."""
    while sent:
        key = next((key for key in sorted(actions, key=len, reverse=True) if sent.startswith(key)), None)
        if key is not None:
            actions[key]()
        sent = sent[len(key or b"x") :]
