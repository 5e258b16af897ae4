"""Which recorded text messages a client gets: each once, though every connection of an account was told."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final

import msgspec

from kiterec.clock import NS_PER_S
from kiterec.wire.messages import ErrorText, InstrumentsMeta, decode_text

OVER_LIMIT: Final = "Can't subscribe to more than {limit} instruments."
"""What the real server says, word for word."""


class _Typed(msgspec.Struct):
    type: str


_typed: Final = msgspec.json.Decoder(_Typed)
_COPY_WITHIN_NS: Final = 30 * NS_PER_S
_REMEMBERED: Final = 4096


class TextFilter:
    """Lets a text through once per time that one connection got it.

    Every connection of an account gets every order update, so the same text on a second connection is a
    copy; the same text again on the same connection is none.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, tuple[int, Counter[int]]] = OrderedDict()

    def copy(self) -> TextFilter:
        """Give another one that knows the same."""
        other = TextFilter()
        for payload, (first_ns, counts) in self._seen.items():
            other._seen[payload] = (first_ns, counts.copy())
        return other

    def lets_through(self, payload: bytes, *, connection: int, due_ns: int) -> bool:
        """Tell whether a recorded text is sent to clients: JSON with a type, not for the recorder alone."""
        if not _has_type(payload) or _answers_the_recorder(payload):
            return False
        first_ns, counts = self._seen.pop(payload, (due_ns, Counter()))
        if due_ns - first_ns > _COPY_WITHIN_NS:
            first_ns, counts = due_ns, Counter()
        said = max(counts.values(), default=0)
        counts[connection] += 1
        self._seen[payload] = (first_ns, counts)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return counts[connection] > said


def _has_type(payload: bytes) -> bool:
    """Tell whether a text is a JSON object that says its type: clients may fail at any other."""
    try:
        _typed.decode(payload)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True


def _answers_the_recorder(payload: bytes) -> bool:
    """Tell whether a text was meant for the recorded client alone: the server says such texts itself."""
    message = decode_text(payload)
    if isinstance(message, ErrorText):
        return message.data.startswith(OVER_LIMIT.split("{", maxsplit=1)[0])
    return isinstance(message, InstrumentsMeta)
