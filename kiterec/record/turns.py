"""How soon a thread of the recorder gets its turn while another one is busy."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TURN_S: Final = 0.001
"""Longest wait for the interpreter while another thread computes.

The writer gives the interpreter away at each checksum and each write and then asks for it again: about
five times a batch. At Python's default of 5 ms and with a busy event loop, a batch waits 24 ms for its
turns; at 1 ms it waits 4 ms, and the loop loses nothing that can be measured.
"""

_lock = threading.Lock()
_users = 0
_before = 0.0


@contextmanager
def quick_turns() -> Iterator[None]:
    """Let the threads of this process take turns within `TURN_S`, until the last user has left."""
    global _users, _before  # noqa: PLW0603 -- the interval is one for the whole process
    with _lock:
        if _users == 0:
            _before = sys.getswitchinterval()
            sys.setswitchinterval(min(_before, TURN_S))
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                sys.setswitchinterval(_before)
