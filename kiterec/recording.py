"""Recording: what `kiterec.open` gives; frames and events from the store, tables from ticks."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from kiterec.clock import ist
from kiterec.errors import ManifestError
from kiterec.store.folder import RecordingFolder, open_folder
from kiterec.store.info import RecordingInfo, recording_info
from kiterec.store.summary import summarize
from kiterec.ticks.bounds import Bounds, time_bounds
from kiterec.ticks.candles import LATE, LEAD, beginning_in, candles, interval_ns
from kiterec.ticks.depth import depth
from kiterec.ticks.gaps import gaps
from kiterec.ticks.instruments import InstrumentDump
from kiterec.ticks.last_known import last_known
from kiterec.ticks.latency import latency
from kiterec.ticks.missed import beyond
from kiterec.ticks.sessions import SESSIONS
from kiterec.ticks.shortcut import find_ticks
from kiterec.ticks.tally import count_contents
from kiterec.ticks.transcript import scan_events, scan_frames
from kiterec.wire.segments import SEGMENTS, SegmentTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import polars as pl

    from kiterec.store.manifest import Manifest
    from kiterec.ticks.candles import By
    from kiterec.ticks.contents import Contents
    from kiterec.ticks.schema import Prices
    from kiterec.ticks.sessions import Session


class Recording:
    """One recording on disk, read lazily; also one that is still being written.

    Attributes:
        path: its folder; of a recording elsewhere, the part of a `pathlib.Path` that reading takes.
    """

    def __init__(self, folder: RecordingFolder) -> None:
        """Use `kiterec.open`."""
        self.path = folder.path
        self._folder = folder

    @property
    def manifest(self) -> Manifest:
        """What recording.json says now.

        Raises:
            ManifestError: it cannot be read any more.
        """
        return self._folder.manifest()

    @property
    def connections(self) -> list[str]:
        """Names of the connections, sorted; those without a row too."""
        return sorted({*self.manifest.connections, *self._folder.connections()})

    def frames(
        self,
        connections: Sequence[str] | None = None,
        begin: dt.datetime | None = None,
        end: dt.datetime | None = None,
    ) -> pl.LazyFrame:
        """Give the binary messages, byte for byte as they came.

        Shape:
            One row a message in order of `seq`, heartbeats included: seq, connection, received_at (ns, UTC),
            monotonic_ns, payload.

        Args:
            connections: only these; None for all.
            begin: first `received_at`; None for the beginning.
            end: first `received_at` that is too late; None for the end.

        Raises:
            ValueError: a time without zone.
        """
        return scan_frames(self._folder, time_bounds(begin, end, connections))

    def events(
        self,
        connections: Sequence[str] | None = None,
        begin: dt.datetime | None = None,
        end: dt.datetime | None = None,
    ) -> pl.LazyFrame:
        """Give everything that is no binary message: texts, requests and the life of the connections.

        Shape:
            One row an event in order of `seq`: seq, connection, received_at, monotonic_ns, kind, payload as
            text (of a lifecycle kind, a JSON object). Arguments and errors as for `frames`.
        """
        return scan_events(self._folder, time_bounds(begin, end, connections))

    def ticks(
        self,
        symbols: Iterable[str | int] | None = None,
        prices: Prices = "float",
        begin: dt.datetime | None = None,
        end: dt.datetime | None = None,
        *,
        segments: SegmentTable = SEGMENTS,
    ) -> pl.LazyFrame:
        """Give the tick table, one row a packet in `(seq, packet)` order.

        Where instruments are chosen and the recording has an up-to-date cache (`kiterec.tick_cache`), a few
        instruments are read from it, which gives the same rows sooner; `kiterec.scan_ticks` never does.

        Args:
            symbols: instruments by token, `NSE:INFY` or a pattern such as `NFO:NIFTY*`; None for all.
            prices: `float` for rupees, `int` for the integers of the wire with `price_divisor`.
            begin: first `received_at`; None for the beginning.
            end: first `received_at` that is too late; None for the end.
            segments: exchange segments with their divisors and names.

        Raises:
            SetupError: a symbol is unknown, or the recording has no instrument dump to look it up in.
            ValueError: a time without zone, or an unknown kind of price.
        """
        return find_ticks(
            self._folder, symbols=symbols, prices=prices, begin=begin, end=end, segments=segments
        )

    def candles(
        self,
        every: str | dt.timedelta = "1m",
        *,
        by: By = "received_at",
        symbols: Iterable[str | int] | None = None,
        prices: Prices = "float",
        begin: dt.datetime | None = None,
        end: dt.datetime | None = None,
        sessions: Mapping[str, Sequence[Session]] = SESSIONS,
    ) -> pl.LazyFrame:
        """Give candles; `kiterec.ticks.candles.candles` says what they are.

        Shape:
            One row an instrument and interval that has a tick. `complete` is false where a connection of the
            instrument was lost or silent, and where the interval reaches beyond the recording.

        Args:
            every: `5s`, `1m`, `1h`, at most `1d`; counted from the begin of the session.
            by: our clock, or the exchange's (full packets only).
            symbols: as for `ticks`.
            prices: of open, high, low and close; as for `ticks`.
            begin: the first begin of an interval. Ticks of some minutes before it are read too, to know what
                volume is counted from; of an instrument that had none, the first candle is not complete.
            end: the first begin that is too late.
            sessions: hours by exchange segment.

        Raises:
            SetupError: as for `ticks`.
            ValueError: an impossible interval or clock, or a time without zone.
        """
        length = dt.timedelta(microseconds=interval_ns(every) // 1_000)
        first = None if begin is None else _moved(begin, -LEAD)
        last = None if end is None else _moved(end, length + LATE)
        span = summarize(self._folder)
        read = time_bounds(first, last).narrowed(Bounds(span.begin_ns, span.end_ns))
        unseen = beyond(self.connections, read.begin_ns, read.end_ns)
        missed = self.gaps(instruments=False).select(unseen.columns).vstack(unseen)
        ticks = self.ticks(symbols, prices, first, last)
        made = candles(ticks, every, by=by, gaps=missed, sessions=sessions)
        return beginning_in(made, begin, end)

    def gaps(self, *, instruments: bool = True) -> pl.DataFrame:
        """Give what was missed, or may have been; `kiterec.ticks.gaps.gaps` says what each kind means.

        Shape:
            One row a gap, by begin: kind, connection, instrument_token, begin, end (null: it is not over),
            duration, reason.

        Args:
            instruments: also those that were silent for much longer than usual; takes a scan of all ticks.
        """
        return gaps(self.frames(), self.events(), self.ticks() if instruments else None)

    def depth(
        self,
        symbols: Iterable[str | int] | None = None,
        begin: dt.datetime | None = None,
        end: dt.datetime | None = None,
    ) -> pl.LazyFrame:
        """Give the depth in long form: one row a tick, side and level; see `kiterec.ticks.depth.depth`.

        Arguments and errors as for `ticks`.
        """
        return depth(self.ticks(symbols, begin=begin, end=end))

    def asof(self, time: dt.datetime, symbols: Iterable[str | int] | None = None) -> pl.LazyFrame:
        """Give the last tick of each instrument that was received at or before a time.

        It is sooner given with an up-to-date tick cache, and for chosen instruments.

        Raises:
            SetupError: as for `ticks`.
            ValueError: the time has no zone.
        """
        return last_known(self._folder, time, symbols=symbols)

    def latency(self, symbols: Iterable[str | int] | None = None) -> pl.LazyFrame:
        """Give received minus exchange time of each full packet; see `kiterec.ticks.latency.latency`.

        Raises:
            SetupError: as for `ticks`.
        """
        return latency(self.ticks(symbols))

    def info(self) -> RecordingInfo:
        """Give the recording in a few numbers.

        Raises:
            ManifestError: the manifest cannot be read any more.
        """
        dump = self.instruments()
        return recording_info(self._folder, instruments=None if dump is None else len(dump))

    def contents(self, *, top: int = 10, progress: Callable[[int, int], None] | None = None) -> Contents:
        """Count what the rows hold: packets by length, the busiest instruments, epochs, steps of the clock.

        It reads everything once, in memory that does not depend on the size; `info` reads the manifest.

        Args:
            top: instruments that are listed.
            progress: called with rows passed and rows in all.

        Raises:
            StorageError: a part does not check.
        """
        dump = self.instruments()
        name = (lambda _: None) if dump is None else dump.symbol_of
        return count_contents(self._folder, top=top, symbol_of=name, progress=progress)

    def instruments(self) -> InstrumentDump | None:
        """Give the instrument dump of the recording's day; None if it has none.

        Raises:
            StorageError: the file is there and cannot be read.
        """
        path = self._folder.instruments_path
        return InstrumentDump.from_parquet(path) if path.is_file() else None

    def __repr__(self) -> str:
        try:
            found = summarize(self._folder)
        except ManifestError as error:
            return f"Recording({str(self.path)!r}: {error})"
        begin = "empty" if found.begin_ns is None else f"from {ist(found.begin_ns):%Y-%m-%d %H:%M:%S} IST"
        return (
            f"Recording({str(self.path)!r}: {found.status}, {begin}, {found.span_s:,.0f} s, "
            f"{len(found.connections)} connections, {found.frames:,} frames, {found.ticks:,} ticks, "
            f"{found.gaps:,} gap{'' if found.gaps == 1 else 's'})"
        )


def _moved(instant: dt.datetime, by: dt.timedelta) -> dt.datetime:
    """Give an instant so much later; the instant where the calendar ends before that."""
    try:
        return instant + by
    except OverflowError:
        return instant


def open(path: Path | str, *, file_system: Any = None) -> Recording:  # noqa: A001 - it is read as kiterec.open
    """Open a recording for reading, also one that is still being written.

    Args:
        path: its folder, or its recording.json; of a finished recording also a URL such as
            `s3://bucket/recordings/date=2026-11-20/recording=091500-nse`, on what pyarrow can read.
        file_system: a `pyarrow.fs.FileSystem` that holds the path, with credentials and options of its own.

    Raises:
        NoRecordingError: nothing is there, or no recording, or no file system is known for the URL.
        ManifestError: its format is newer than this kiterec, or it was altered.
        StorageError: it is elsewhere and not finished, not all there, or cannot be reached.

    Source:
        https://arrow.apache.org/docs/python/filesystems.html
    """
    folder = open_folder(path, file_system=file_system)
    folder.manifest()
    return Recording(folder)
