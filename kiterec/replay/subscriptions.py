"""What one client of the fake Kite has asked for, and what its requests change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kiterec.replay.framing import mode_bit
from kiterec.wire.packets import Mode
from kiterec.wire.requests import Request, SetMode, Subscribe, Unsubscribe

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Change:
    """What a request did.

    Attributes:
        tokens: instruments that are new, gone or in another mode now; not those that stay as they were.
        refused: how many new instruments were over the limit; then no new one of the request was taken.
    """

    tokens: tuple[int, ...] = ()
    refused: int = 0


class Subscriptions:
    """The instruments of one client, each with its mode bit.

    Args:
        limit: how many instruments there is room for.
    """

    __slots__ = ("_limit", "modes")

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self.modes: dict[int, int] = {}

    def apply(self, request: Request) -> Change:
        """Do what a request asks. The same request again changes nothing."""
        match request:
            case Subscribe(tokens=tokens):
                return self._want(tokens, mode_bit(Mode.QUOTE), keep_mode=True)
            case SetMode(mode=mode, tokens=tokens):
                return self._want(tokens, mode_bit(mode), keep_mode=False)
            case Unsubscribe(tokens=tokens):
                return Change(tuple(token for token in tokens if self.modes.pop(token, None) is not None))
        raise TypeError(f"{type(request).__name__} is no request")

    def _want(self, tokens: Iterable[int], mode: int, *, keep_mode: bool) -> Change:
        wanted = dict.fromkeys(tokens)
        new = [token for token in wanted if token not in self.modes]
        refused = len(new) if len(self.modes) + len(new) > self._limit else 0
        changed = [] if refused else new
        if not keep_mode:
            changed = changed + [token for token in wanted if self.modes.get(token, mode) != mode]
        self.modes.update(dict.fromkeys(changed, mode))
        return Change(tuple(changed), refused)
