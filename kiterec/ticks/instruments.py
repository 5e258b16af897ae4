"""The day's instrument dump: what a token was called on the day of the recording."""

from __future__ import annotations

import difflib
import fnmatch
import gzip
import io
from functools import cached_property
from typing import TYPE_CHECKING, Final

import polars as pl

from kiterec.errors import SetupError, StorageError
from kiterec.store.remote import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

INSTRUMENT_SCHEMA: Final = pl.Schema(
    {
        "instrument_token": pl.UInt32(),
        "exchange_token": pl.UInt32(),
        "tradingsymbol": pl.String(),
        "name": pl.String(),
        "last_price": pl.Float64(),
        "expiry": pl.Date(),
        "strike": pl.Float64(),
        "tick_size": pl.Float64(),
        "lot_size": pl.Int64(),
        "instrument_type": pl.String(),
        "segment": pl.String(),
        "exchange": pl.String(),
    }
)
"""The dump's twelve columns; `expiry` is null for what does not expire.

Source:
    https://kite.trade/docs/connect/v3/market-quotes/#instruments
"""

_GZIP: Final = b"\x1f\x8b"
_WILD: Final = frozenset("*?[")
_SUGGESTIONS: Final = 3
_SUGGESTED_FROM: Final = 5_000
"""Names that are compared with an unknown one; comparing all 115,000 takes seconds."""


def parse_instruments(csv: bytes, *, where: str) -> pl.DataFrame:
    """Read an instrument dump, plain or gzipped.

    Shape:
        One row an instrument, the columns of `INSTRUMENT_SCHEMA`; other columns are left out.

    Args:
        csv: the file's bytes.
        where: what to call the file in an error.

    Raises:
        SetupError: columns are missing, a value does not fit its type, or it is no CSV.
    """
    try:
        text = gzip.decompress(csv) if csv.startswith(_GZIP) else csv
        # Text first: a column that is missing must be named before one that has a wrong value.
        table = pl.read_csv(io.BytesIO(text), infer_schema=False)
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise SetupError(
            f"the instrument dump {where} is no CSV: {_first_line(error)}; download it again"
        ) from error
    missing = [name for name in INSTRUMENT_SCHEMA if name not in table.columns]
    if missing:
        raise SetupError(
            f"the instrument dump {where} lacks the columns {', '.join(missing)}; "
            f"it has {', '.join(table.columns)}; download it again"
        )
    return table.select(_typed(table, name, dtype, where) for name, dtype in INSTRUMENT_SCHEMA.items())


def _typed(table: pl.DataFrame, name: str, dtype: pl.DataType, where: str) -> pl.Series:
    """Give a column in its type; an empty field is null, an empty name an empty text."""
    text = table.get_column(name)
    if dtype == pl.String:
        return text.fill_null("")
    filled = text.set(text == "", None)
    typed = filled.str.to_date(strict=False) if dtype == pl.Date else filled.cast(dtype, strict=False)
    wrong = typed.is_null() if name == "instrument_token" else typed.is_null() & filled.is_not_null()
    if wrong.any():
        row = int(wrong.arg_true()[0])
        raise SetupError(
            f"the instrument dump {where} has {filled[row]!r} as {name} in row {row + 2:,}; download it again"
        )
    return typed


class InstrumentDump:
    """All instruments of one day, by token and by name.

    An instrument's name is `EXCHANGE:TRADINGSYMBOL`, such as `NSE:INFY`. Tokens are re-used after an
    instrument expires, so a dump belongs to its day.

    Attributes:
        table: one row an instrument, `INSTRUMENT_SCHEMA`.
    """

    def __init__(self, table: pl.DataFrame) -> None:
        self.table = table

    @classmethod
    def from_csv(cls, csv: bytes, *, where: str = "of the API") -> InstrumentDump:
        """Read the vendor's CSV.

        Raises:
            SetupError: it cannot be read; see `parse_instruments`.
        """
        return cls(parse_instruments(csv, where=where))

    @classmethod
    def from_parquet(cls, path: Path) -> InstrumentDump:
        """Read what a recording keeps.

        Raises:
            StorageError: the file is missing, is no Parquet, or lacks columns.
        """
        try:
            table = pl.read_parquet(io.BytesIO(path.read_bytes()) if is_remote(path) else path)
            return cls(table.select(INSTRUMENT_SCHEMA.names()).cast(INSTRUMENT_SCHEMA))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise StorageError(f"the instrument dump {path} cannot be read: {_first_line(error)}") from error

    def __len__(self) -> int:
        return self.table.height

    def __repr__(self) -> str:
        exchanges = ", ".join(self.table.get_column("exchange").unique(maintain_order=True).to_list())
        return f"InstrumentDump({len(self):,} instruments of {exchanges or 'no exchange'})"

    def tokens(self) -> list[int]:
        """Give all instrument_tokens, in the order of the dump."""
        return self.table.get_column("instrument_token").to_list()

    def symbol_of(self, instrument_token: int) -> str | None:
        """Give `EXCHANGE:TRADINGSYMBOL` of an instrument; None for one that is not in the dump."""
        return self._symbols.get(instrument_token)

    def resolve(self, symbol: str) -> int:
        """Give the instrument_token of `EXCHANGE:TRADINGSYMBOL`.

        Raises:
            SetupError: it is not in the dump; the sentence names the closest ones.
        """
        token = self._tokens.get(symbol)
        if token is None:
            raise SetupError(self._unknown(symbol))
        return token

    def select(self, words: Iterable[str | int]) -> list[int]:
        """Give the tokens of instruments named by token, by name, or by a pattern such as `NFO:NIFTY*`.

        Shape:
            Each token once, in the order of the words. A token is taken as it is, in the dump or not.

        Raises:
            SetupError: a name is not in the dump, or a pattern fits none.
        """
        chosen: dict[int, None] = {}
        for word in [words] if isinstance(words, (str, int)) else words:
            if isinstance(word, int) or word.isdecimal():
                chosen[int(word)] = None
            elif _WILD.isdisjoint(word):
                chosen[self.resolve(word)] = None
            else:
                chosen |= dict.fromkeys(self._fitting(word))
        return list(chosen)

    @cached_property
    def _symbols(self) -> dict[int, str]:
        names = self.table.select(pl.concat_str("exchange", "tradingsymbol", separator=":")).to_series()
        return dict(zip(self.tokens(), names.to_list(), strict=True))

    @cached_property
    def _tokens(self) -> dict[str, int]:
        return {symbol: token for token, symbol in self._symbols.items()}

    def _fitting(self, pattern: str) -> list[int]:
        fitting = [self._tokens[symbol] for symbol in self._tokens if fnmatch.fnmatchcase(symbol, pattern)]
        if not fitting:
            raise SetupError(
                f"no instrument of the dump ({len(self):,}) fits {pattern!r}; a pattern is EXCHANGE:NAME*"
            )
        return fitting

    def _unknown(self, symbol: str) -> str:
        exchange, colon, name = symbol.upper().rpartition(":")
        same = [known for known in self._tokens if known.endswith(f":{name}")]
        start = f"{exchange}:{name[:1]}"
        alike = [known for known in self._tokens if colon and known.startswith(start)]
        close = difflib.get_close_matches(symbol.upper(), alike[:_SUGGESTED_FROM], n=_SUGGESTIONS, cutoff=0.6)
        names = list(dict.fromkeys([*same, *close]))[:_SUGGESTIONS]
        hint = f"; did you mean {', '.join(names)}?" if names else "; a name is EXCHANGE:TRADINGSYMBOL"
        return f"no instrument {symbol} in the dump of {len(self):,}{hint}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
