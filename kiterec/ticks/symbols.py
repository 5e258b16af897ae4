"""The instruments that a caller names, as tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.errors import SetupError
from kiterec.ticks.instruments import InstrumentDump

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from kiterec.store.folder import RecordingFolder

MAX_INSTRUMENT_TOKEN: Final = 0xFFFF_FFFF


def tokens_of(symbols: Iterable[str | int], dump_path: Path) -> NDArray[np.uint32]:
    """Give the tokens of the asked instruments, by the recording's own dump.

    Raises:
        SetupError: a symbol is unknown, there is no dump to look it up in, or a token is impossible.
    """
    asked = [symbols] if isinstance(symbols, (str, int)) else list(symbols)
    if all(isinstance(word, int) or word.isdecimal() for word in asked):
        return _as_tokens(asked)
    if not dump_path.is_file():
        raise SetupError(
            f"{dump_path.parent} has no instrument dump to look names up in; give instrument_tokens"
        )
    return np.array(InstrumentDump.from_parquet(dump_path).select(asked), np.uint32)


def tokens_in(
    symbols: Iterable[str | int], folders: list[RecordingFolder]
) -> list[NDArray[np.uint32] | None]:
    """Give the tokens of the asked instruments in each recording: days have other contracts.

    Raises:
        SetupError: as for `tokens_of`, of what no recording knows.
    """
    asked = [symbols] if isinstance(symbols, (str, int)) else list(symbols)
    if len(folders) == 1:
        return [tokens_of(asked, folders[0].instruments_path)]
    found: list[NDArray[np.uint32] | None] = []
    known: set[str | int] = set()
    failure: SetupError | None = None
    for folder in folders:
        mine = [np.empty(0, np.uint32)]
        for word in asked:
            try:
                mine.append(tokens_of([word], folder.instruments_path))
                known.add(word)
            except SetupError as error:
                failure = failure or error
        found.append(np.concatenate(mine))
    if failure is not None and not known.issuperset(asked):
        raise failure
    return found


def _as_tokens(words: Iterable[str | int]) -> NDArray[np.uint32]:
    tokens = [int(word) for word in words]
    if wrong := [token for token in tokens if not 0 < token <= MAX_INSTRUMENT_TOKEN]:
        raise SetupError(f"{wrong[0]} is no instrument_token, expected 1 to {MAX_INSTRUMENT_TOKEN:,}")
    return np.array(tokens, np.uint32)
