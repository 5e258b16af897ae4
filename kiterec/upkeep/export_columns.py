"""Which columns an export has, and their types outside of kiterec."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from kiterec.errors import SetupError
from kiterec.ticks.instruments import InstrumentDump
from kiterec.ticks.schema import check_columns, tick_schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from kiterec.ticks.schema import Prices

SYMBOL: Final = "symbol"


class ExportColumns:
    """The asked columns.

    Attributes:
        names: in the asked order.
        decoded: those that packets are decoded into.
        schema: names and types; words are text.
    """

    def __init__(self, asked: Iterable[str] | None, prices: Prices, dump: Path) -> None:
        """Check them.

        Raises:
            SetupError: `symbol` without an instrument dump.
            ValueError: an unknown column, or one twice.
        """
        ticks = tick_schema(prices)
        everything = pl.Schema({**ticks, SYMBOL: pl.String()})
        self.names = _all(list(ticks), dump) if asked is None else check_columns(asked, everything)
        self.decoded = [name for name in self.names if name != SYMBOL]
        if SYMBOL in self.names:
            self.decoded += [] if "instrument_token" in self.decoded else ["instrument_token"]
        self._symbols = _symbols(dump) if SYMBOL in self.names else None
        self.schema = pl.Schema({name: _plain(everything[name]) for name in self.names})

    def finish(self, block: pl.DataFrame) -> pl.DataFrame:
        """Give decoded ticks as the columns of `schema`."""
        if self._symbols is not None:
            block = block.join(self._symbols, on="instrument_token", how="left", maintain_order="left")
        return block.select(pl.col(name).cast(dtype) for name, dtype in self.schema.items())

    def flat(self, block: pl.DataFrame) -> pl.DataFrame:
        """Give the depth as one column a level, for files that know no lists."""
        return block.select(
            column
            for name, dtype in block.schema.items()
            for column in (
                [pl.col(name).arr.get(level).alias(f"{name}_{level}") for level in range(dtype.size)]
                if isinstance(dtype, pl.Array)
                else [pl.col(name)]
            )
        )


def _all(ticks: list[str], dump: Path) -> list[str]:
    """Give the columns of the tick table and, where names are known, `symbol` beside the token."""
    place = ticks.index("instrument_token") + 1
    return [*ticks[:place], SYMBOL, *ticks[place:]] if dump.is_file() else ticks


def _plain(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if isinstance(dtype, (pl.Categorical, pl.Enum)) else dtype


def _symbols(dump: Path) -> pl.DataFrame:
    if not dump.is_file():
        raise SetupError(f"{dump.parent} has no instrument dump, so that there are no symbols; leave it out")
    table = InstrumentDump.from_parquet(dump).table
    return table.select(
        "instrument_token", pl.concat_str("exchange", "tradingsymbol", separator=":").alias(SYMBOL)
    ).unique("instrument_token", keep="first")
