"""Which instruments to record: tokens, names with wildcards, files of them, or all."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kiterec.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kiterec.ticks.instruments import InstrumentDump

ALL: Final = "all"
_MAX_INSTRUMENT_TOKEN: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Selection:
    """The instruments that were asked for.

    Attributes:
        words: instrument_tokens and names such as `NSE:INFY` or `NFO:NIFTY*`, in the order asked.
        everything: every instrument of the dump.
    """

    words: tuple[int | str, ...]
    everything: bool = False

    @property
    def needs_dump(self) -> bool:
        """Tell whether an instrument dump is needed to know the tokens."""
        return self.everything or any(isinstance(word, str) for word in self.words)

    def tokens(self, dump: InstrumentDump | None) -> list[int]:
        """Give the instrument_tokens, each once.

        Raises:
            SetupError: a name is not in the dump, or there is no dump and one is needed.
        """
        if not self.needs_dump:
            return list(dict.fromkeys(word for word in self.words if isinstance(word, int)))
        if dump is None:
            wanted = ALL if self.everything else next(word for word in self.words if isinstance(word, str))
            raise SetupError(
                f"{wanted!r} needs the instrument dump of the day, and there is none; "
                "give --instrument-dump FILE, or instrument_tokens"
            )
        # A token that is in no dump is recorded too: the dump may be older than the instrument.
        chosen = dump.select(self.words)
        return list(dict.fromkeys([*dump.tokens(), *chosen] if self.everything else chosen))


def read_selection(words: Iterable[str]) -> Selection:
    """Read what was asked for, such as `408065,NSE:INFY`, `@file` or `all`.

    Args:
        words: each may be several with commas between. `@file` stands for the words of a file: one or more
            a line, `#` begins a comment; or a CSV with the column instrument_token, or exchange and
            tradingsymbol.

    Raises:
        SetupError: nothing was asked for, a word is none of these, or a file cannot be read.
    """
    found: list[int | str] = []
    everything = False
    for word in _words(words):
        if word.startswith("@"):
            found += _file(Path(word[1:]).expanduser())
        elif word == ALL:
            everything = True
        else:
            found.append(_read(word, where="--instruments"))
    if not found and not everything:
        raise SetupError(
            "no instruments were asked for, expected tokens, names such as NSE:INFY, @file or all"
        )
    return Selection(tuple(dict.fromkeys(found)), everything)


def _words(lines: Iterable[str]) -> list[str]:
    return [word for line in lines for part in line.split(",") if (word := part.strip())]


def _read(word: str, *, where: str) -> int | str:
    if word.isascii() and word.isdigit():
        token = int(word)
        if not 0 < token <= _MAX_INSTRUMENT_TOKEN:
            raise SetupError(
                f"{where}: {word} is no instrument_token, expected 1 to {_MAX_INSTRUMENT_TOKEN:,}"
            )
        return token
    exchange, colon, symbol = word.partition(":")
    if not (exchange and colon and symbol):
        raise SetupError(
            f"{where}: {word!r} is no instrument, expected a token or EXCHANGE:SYMBOL as NSE:INFY"
        )
    return word


def _file(path: Path) -> list[int | str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SetupError(f"instruments file {path} cannot be read: {reason}") from None
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and (path.suffix.lower() == ".csv" or "instrument_token" in lines[0]):
        found = _table(lines, path=path)
    else:
        uncommented = (line.partition("#")[0] for line in lines)
        found = [_read(word, where=f"instruments file {path}") for word in _words(uncommented)]
    if not found:
        raise SetupError(f"instruments file {path} names no instrument")
    return found


def _table(lines: list[str], *, path: Path) -> list[int | str]:
    rows = csv.DictReader(lines)
    columns = [name.strip() for name in rows.fieldnames or ()]
    rows.fieldnames = columns
    if "instrument_token" in columns:
        return [
            _read((row["instrument_token"] or "").strip(), where=f"instruments file {path}") for row in rows
        ]
    missing = [name for name in ("exchange", "tradingsymbol") if name not in columns]
    if missing:
        raise SetupError(
            f"instruments file {path} has the columns {', '.join(columns)}; "
            "expected instrument_token, or exchange and tradingsymbol"
        )
    return [f"{row['exchange']}:{row['tradingsymbol']}" for row in rows]
