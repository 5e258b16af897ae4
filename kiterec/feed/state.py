"""Where a connection can be in its life."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

NORMAL_CLOSE: Final = 1000
NO_CLOSE_FRAME: Final = 1006
"""The code of an end without a close frame (RFC 6455, 7.4.1)."""


class State(StrEnum):
    """One word for where a connection is."""

    IDLE = "idle"
    CONNECTING = "connecting"
    OPEN = "open"
    WAITING = "waiting"  # for the next attempt
    REFUSED = "refused"  # its access token is; another one wakes it
    CLOSING = "closing"
    STOPPED = "stopped"
    GAVE_UP = "gave_up"  # after max_attempts

    @property
    def welcoming(self) -> bool:
        """Tell whether new instruments belong there: it is open, or on its way to be."""
        return self not in {State.REFUSED, State.GAVE_UP, State.CLOSING, State.STOPPED}
