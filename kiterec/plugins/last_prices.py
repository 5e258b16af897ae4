"""The built-in plugin that logs the last prices of a few instruments now and then."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import polars as pl

from kiterec.errors import PluginError
from kiterec.plugins.hookspecs import hookimpl
from kiterec.ticks.decode import decode_batch
from kiterec.ticks.instruments import InstrumentDump

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

logger = logging.getLogger(__name__)

_COLUMNS: Final = ("received_at", "instrument_token", "last_price")
_NS_PER_S: Final = 1_000_000_000


class LastPrices:
    """Logs the last prices of some instruments at an interval.

    Args:
        instruments: instrument_tokens, or symbols such as `NSE:INFY` when the recording keeps an
            instrument dump; none given takes the first that come.
        interval_s: seconds between two lines, by the time of the frames.
        limit: instruments in a line when none are given.

    Raises:
        PluginError: the interval is not above zero, or the limit below one.
    """

    def __init__(
        self, *, instruments: Sequence[str | int] = (), interval_s: float = 10.0, limit: int = 5
    ) -> None:
        if interval_s <= 0:
            raise PluginError(f"interval_s is {interval_s}, expected more than 0")
        if limit < 1:
            raise PluginError(f"limit is {limit}, expected 1 or more")
        self._wanted = list(instruments)
        self._interval_ns = int(interval_s * _NS_PER_S)
        self._limit = limit
        self._names: dict[int, str] = {}
        self._prices: dict[int, float] = {}
        self._due_ns = 0
        self._dump: InstrumentDump | None = None

    @hookimpl
    def kiterec_recording_started(self, recording_path: Path) -> None:
        """Look the symbols up in the instrument dump of the recording."""
        path = recording_path / "instruments.parquet"
        dump = InstrumentDump.from_parquet(path) if path.exists() else None
        tokens = [int(word) for word in self._wanted if str(word).isdigit()]
        symbols = [word for word in self._wanted if not str(word).isdigit()]
        if symbols and dump is None:
            logger.warning("no instrument dump to look these up: symbols=%s", ",".join(map(str, symbols)))
        elif symbols and dump is not None:
            tokens += dump.select(symbols)
        self._names = {token: _name(token, dump) for token in tokens}
        self._dump = dump

    @hookimpl
    def kiterec_frames(self, batch: pa.RecordBatch) -> None:
        """Keep the last prices of a batch, and log them when it is time."""
        ticks = decode_batch(batch, columns=_COLUMNS)
        last = ticks.group_by("instrument_token", maintain_order=True).agg(pl.col("last_price").last())
        for token, price in last.iter_rows():
            if token not in self._names:
                if self._wanted or len(self._names) >= self._limit:
                    continue
                self._names[token] = _name(token, self._dump)
            self._prices[token] = price
        now_ns = batch.column("received_at")[-1].value
        if not self._due_ns:
            self._due_ns = now_ns + self._interval_ns
        elif now_ns >= self._due_ns:
            self._due_ns = now_ns + self._interval_ns
            self._log()

    @hookimpl
    def kiterec_recording_stopped(self) -> None:
        """Log the last prices of all."""
        self._log()

    def _log(self) -> None:
        if self._prices:
            shown = " ".join(f"{self._names[token]}={price:,.10g}" for token, price in self._prices.items())
            logger.info("last prices: %s", shown)


def _name(token: int, dump: InstrumentDump | None) -> str:
    return (dump.symbol_of(token) if dump is not None else None) or str(token)
