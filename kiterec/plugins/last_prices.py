"""The built-in plugin that logs the last prices of a few instruments now and then."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import polars as pl

from kiterec.errors import PluginError
from kiterec.plugins.hookspecs import hookimpl
from kiterec.plugins.names import InstrumentNames
from kiterec.ticks.decode import decode_batch

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
        interval_s: seconds between two lines, by the time of the frames; the first comes with the first
            price.
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
        self._symbols = [str(word) for word in instruments if not str(word).isdigit()]
        self._shown = dict.fromkeys(int(word) for word in instruments if str(word).isdigit())
        self._all = not instruments
        self._interval_ns = int(interval_s * _NS_PER_S)
        self._limit = limit
        self._prices: dict[int, float] = {}
        self._due_ns = 0
        self._names: InstrumentNames | None = None

    @hookimpl
    def kiterec_recording_started(self, recording_path: Path) -> None:
        """Look the symbols up in the instrument dump of the recording, if it is there already."""
        self._names = InstrumentNames(recording_path)
        self._look_up(self._names)

    @hookimpl
    def kiterec_frames(self, batch: pa.RecordBatch) -> None:
        """Keep the last prices of a batch, and log them when it is time."""
        if self._names is None:
            return
        if self._symbols:
            self._look_up(self._names)
        ticks = decode_batch(batch, columns=_COLUMNS)
        last = ticks.group_by("instrument_token", maintain_order=True).agg(pl.col("last_price").last())
        for token, price in last.iter_rows():
            if self._all and len(self._shown) < self._limit:
                self._shown[token] = None
            if token in self._shown:
                self._prices[token] = price
        now_ns = batch.column("received_at")[-1].value
        if self._prices and now_ns >= self._due_ns:
            self._due_ns = now_ns + self._interval_ns
            self._log(self._names)

    @hookimpl
    def kiterec_recording_stopped(self) -> None:
        """Log the last prices of all."""
        if self._symbols:
            logger.warning("no instrument dump to look these up: symbols=%s", ",".join(self._symbols))
        if self._names is not None:
            self._log(self._names)

    def _look_up(self, names: InstrumentNames) -> None:
        """Turn the symbols into tokens as soon as there is a dump."""
        if self._symbols and names.dump is not None:
            symbols, self._symbols = self._symbols, []
            self._shown |= dict.fromkeys(names.dump.select(symbols))

    def _log(self, names: InstrumentNames) -> None:
        if self._prices:
            shown = " ".join(
                f"{names.name(token)}={names.price(token, price)}" for token, price in self._prices.items()
            )
            logger.info("last prices: %s", shown)
