"""What a server was told in this epoch, and the next requests that bring it nearer to what is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiterec.wire.packets import Mode
from kiterec.wire.requests import SetMode, Subscribe, Unsubscribe, encode_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Telling:
    """The difference between wanted and told, in chunks.

    Args:
        chunk: instruments at most in what is said at once.
        pause_ns: so long nothing more is said then; many small wishes become few requests.
    """

    def __init__(self, chunk: int, *, pause_ns: int) -> None:
        self._chunk = chunk
        self._pause_ns = pause_ns
        self._not_before = 0
        self._told: dict[int, Mode] = {}
        self._touched: dict[int, None] = {}  # in the order of the wishes

    @property
    def pending(self) -> int:
        """Count the instruments that may have to be told."""
        return len(self._touched)

    @property
    def due_ns(self) -> int | None:
        """Give when there is something to say; None with nothing to say."""
        return self._not_before if self._touched else None

    def restart(self, wanted: Mapping[int, Mode]) -> None:
        """Begin an epoch: the server knows nothing of us."""
        self._not_before = 0
        self._told.clear()
        self._touched = dict.fromkeys(wanted)

    def touch(self, tokens: Iterable[int]) -> None:
        """Look at these again."""
        self._touched.update(dict.fromkeys(tokens))

    def speak(self, wanted: Mapping[int, Mode], now_ns: int) -> list[str]:
        """Give the requests for the next instruments, and take them as told; nothing before `due_ns`."""
        if now_ns < self._not_before:
            return []
        texts = self._next_chunk(wanted)
        if texts:
            self._not_before = now_ns + self._pause_ns
        return texts

    def _next_chunk(self, wanted: Mapping[int, Mode]) -> list[str]:
        gone: list[int] = []
        new: list[int] = []
        modes: dict[Mode, list[int]] = {}
        looked_at, count = [], 0
        for token in self._touched:
            if count == self._chunk:
                break
            looked_at.append(token)
            want, told = wanted.get(token), self._told.get(token)
            if want is told:
                continue
            count += 1
            if want is None:
                gone.append(token)
                del self._told[token]
                continue
            self._told[token] = want
            if told is None:
                new.append(token)
            # A bare subscribe gives quote mode.
            if told is not None or want is not Mode.QUOTE:
                modes.setdefault(want, []).append(token)
        for token in looked_at:
            del self._touched[token]
        # Unsubscribe first: it makes room for what follows.
        texts = [encode_request(Unsubscribe(tuple(gone)))] if gone else []
        if new:
            texts.append(encode_request(Subscribe(tuple(new))))
        return texts + [encode_request(SetMode(mode, tuple(tokens))) for mode, tokens in modes.items()]
