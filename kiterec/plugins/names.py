"""What a plugin shows people instead of an instrument_token: its name, and prices with its decimals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kiterec.ticks.instruments import InstrumentDump
from kiterec.wire.segments import SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_LOOK_AGAIN_S: Final = 1.0
_PAISE: Final = 100


class InstrumentNames:
    """The names of a recording's instruments.

    The instrument dump may come after the start of a recording, or never: until then a name is the token.

    Args:
        recording_path: as `kiterec_recording_started` gives it.
        monotonic: seconds of a steady clock; the dump is looked for once a second at most.
    """

    def __init__(self, recording_path: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = recording_path / "instruments.parquet"
        self._monotonic = monotonic
        self._look_at = float("-inf")
        self._dump: InstrumentDump | None = None

    @property
    def dump(self) -> InstrumentDump | None:
        """Give the dump of the recording; None while there is none.

        Raises:
            StorageError: it cannot be read.
        """
        if self._dump is None and self._monotonic() >= self._look_at:
            self._look_at = self._monotonic() + _LOOK_AGAIN_S
            if self._path.exists():
                self._dump = InstrumentDump.from_parquet(self._path)
        return self._dump

    def name(self, instrument_token: int) -> str:
        """Give `EXCHANGE:TRADINGSYMBOL`, such as `NSE:INFY`; the token when the dump does not have it."""
        dump = self.dump
        return (dump.symbol_of(instrument_token) if dump is not None else None) or str(instrument_token)

    def price(self, instrument_token: int, rupees: float) -> str:
        """Show a price with the decimals of the instrument's segment: `1,151.70`, currencies `83.1250`."""
        decimals = 2 if SEGMENTS.of(instrument_token).divisor <= _PAISE else 4
        return f"{rupees:,.{decimals}f}"
