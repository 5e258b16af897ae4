"""Everything that a recording is told before it starts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kiterec.errors import SetupError
from kiterec.feed.config import KITE_URL, FeedConfig
from kiterec.record.schedule import Schedule
from kiterec.store.options import StoreOptions
from kiterec.wire.packets import Mode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kiterec.feed.account import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConfig:
    """What to record, from where, until when, and where to.

    Attributes:
        accounts: at least one; their connections share the instruments.
        instruments: words as `read_selection` takes them.
        url: of the WebSocket server.
        mode: of every instrument.
        connections: of each account.
        duration_s: the recording ends after so many seconds; None: not by itself.
        until_ns: the recording ends at this instant, nanoseconds since the epoch; None: not by itself.
        out: the folder that recordings go to.
        label: a word for it, part of the folder's name.
        instrument_dump: a CSV file, gzipped or not; None downloads the dump from beside the server.
        dump_timeout_s: for the download.
        store: how it is written.
        feed: limits and habits of the connections; `url`, `connections` and `mode` of this config win.
        plugins: names of plugins.
        plugin_options: keyword arguments of plugins, by name.

    Raises:
        SetupError: there is no account, or a number is impossible.
    """

    accounts: Sequence[Account]
    instruments: Sequence[str]
    url: str = KITE_URL
    mode: Mode = Mode.FULL
    connections: int = 3
    duration_s: float | None = None
    until_ns: int | None = None
    out: Path = Path("recordings")
    label: str = "kite"
    instrument_dump: Path | None = None
    dump_timeout_s: float = 30.0
    store: StoreOptions = field(default_factory=StoreOptions)
    feed: FeedConfig = field(default_factory=FeedConfig)
    plugins: Sequence[str] = ()
    plugin_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot work, before anything starts."""
        if not self.accounts:
            raise SetupError("there is no account to record with; give at least one")
        if not self.dump_timeout_s > 0:
            raise SetupError(f"dump_timeout_s is {self.dump_timeout_s:g}, expected more than 0")
        feed = replace(
            self.feed, url=self.url, max_connections=self.connections, default_mode=self.mode, raw_only=True
        )
        object.__setattr__(self, "feed", feed)

    @property
    def schedule(self) -> Schedule:
        """When it ends by itself."""
        return Schedule(duration_s=self.duration_s, until_ns=self.until_ns)
