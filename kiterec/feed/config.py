"""The limits and habits of the feed, checked before anything starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self
from urllib.parse import urlsplit

from kiterec.errors import SetupError
from kiterec.wire.frames import MAX_FRAME_BYTES
from kiterec.wire.packets import Mode

KITE_URL: Final = "wss://ws.kite.trade"
ENVIRONMENT_PROXY: Final = "environment"

_MORE_THAN_ZERO: Final = (
    "connect_timeout_s",
    "silence_limit_s",
    "backoff_initial_s",
    "backoff_max_s",
    "health_interval_s",
    "close_timeout_s",
)
_AT_LEAST_ONE: Final = ("max_connections", "max_instruments_per_connection", "subscribe_chunk", "copies")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedConfig:
    """How the connections behave. Durations are seconds.

    Attributes:
        url: of the WebSocket server, without credentials; they are added at each connect.
        max_connections: WebSocket slots of each account; Kite allows 3.
        max_instruments_per_connection: Kite allows 3,000.
        connect_timeout_s: from the start of a connect to the end of the handshake.
        silence_limit_s: a connection that says nothing for so long is renewed; any message counts.
        health_interval_s: how often health is looked at, to write a log line when it changes.
        backoff_initial_s: the wait after the first failure; it doubles with each that follows.
        backoff_max_s: the longest wait between two attempts.
        max_attempts: failures in a row after which a connection is given up; None goes on for ever.
        default_mode: of instruments that are subscribed without a mode.
        subscribe_chunk: instruments in one request.
        subscribe_interval_s: the pause between two chunks.
        close_timeout_s: how long the closing handshake may take before the socket is dropped.
        max_frame_bytes: a larger message is refused and the connection renewed.
        proxy: None connects directly, "environment" asks the proxy variables, else the URL of a proxy.
        failover_after_s: a connection that is down for longer lends its instruments to others; None: never.
        copies: on how many accounts each instrument is held (redundancy).
        keep_last: keep the last packet of each instrument, for `last_packet`.
        raw_only: no tick is ever decoded; `ticks` is refused.

    Raises:
        SetupError: a value is impossible; the sentence names it and what is allowed.

    Source:
        https://kite.trade/docs/connect/v3/websocket/
    """

    url: str = KITE_URL
    max_connections: int = 3
    max_instruments_per_connection: int = 3000
    connect_timeout_s: float = 30.0
    silence_limit_s: float = 10.0
    health_interval_s: float = 10.0
    backoff_initial_s: float = 1.0
    backoff_max_s: float = 60.0
    max_attempts: int | None = None
    default_mode: Mode = Mode.QUOTE
    subscribe_chunk: int = 500
    subscribe_interval_s: float = 0.05
    close_timeout_s: float = 2.0
    max_frame_bytes: int = 16 << 20
    proxy: str | None = field(default=None, repr=False)
    failover_after_s: float | None = None
    copies: int = 1
    keep_last: bool = False
    raw_only: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        _check_numbers(self)
        _check_url(self.url)
        if self.backoff_max_s < self.backoff_initial_s:
            raise SetupError(
                f"backoff_max_s is {self.backoff_max_s:g}, expected at least backoff_initial_s, "
                f"which is {self.backoff_initial_s:g}"
            )
        if self.max_frame_bytes < MAX_FRAME_BYTES:
            raise SetupError(
                f"max_frame_bytes is {self.max_frame_bytes:,}, expected at least {MAX_FRAME_BYTES:,}: "
                "a frame of 3,000 instruments in full mode is that large"
            )
        if self.default_mode not in tuple(Mode):
            raise SetupError(f"default_mode is {self.default_mode!r}, expected ltp, quote or full")
        object.__setattr__(self, "default_mode", Mode(self.default_mode))
        _check_proxy(self.proxy)

    @classmethod
    def development(cls, **changes: Any) -> Self:
        """Give a config that fails early: short waits, and an end after five attempts."""
        preset = cls(
            connect_timeout_s=10, silence_limit_s=7, backoff_max_s=5, max_attempts=5, health_interval_s=2
        )
        return replace(preset, **changes)

    @classmethod
    def production(cls, **changes: Any) -> Self:
        """Give a config that never ends by itself and moves what a lost connection had after 30 s."""
        return replace(cls(failover_after_s=30.0), **changes)


def _check_numbers(config: FeedConfig) -> None:
    for name in _MORE_THAN_ZERO:
        _check_number(config, name, more_than=0.0)
    for name in _AT_LEAST_ONE:
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise SetupError(f"{name} is {value!r}, expected a whole number of at least 1")
    _check_number(config, "subscribe_interval_s", at_least=0.0)
    if config.max_attempts is not None and config.max_attempts < 1:
        raise SetupError(f"max_attempts is {config.max_attempts}, expected at least 1, or None for ever")
    if config.failover_after_s is not None:
        _check_number(config, "failover_after_s", more_than=0.0)


def _check_number(
    config: FeedConfig, name: str, *, more_than: float = -math.inf, at_least: float = -math.inf
) -> None:
    value = getattr(config, name)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value <= more_than or value < at_least:
        wanted = f"more than {more_than:g}" if at_least == -math.inf else f"at least {at_least:g}"
        raise SetupError(f"{name} is {value!r}, expected a number of seconds, {wanted}")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        found = (parts.scheme, parts.hostname, parts.port)
    except ValueError as error:
        raise SetupError(f"the url cannot be read ({error}), expected one such as {KITE_URL}") from None
    if parts.username or parts.password or parts.query or parts.fragment:
        # Its text may hold a secret, so it is not repeated.
        raise SetupError(
            f"the url has credentials, a query or a fragment, expected one such as {KITE_URL}; "
            "kiterec adds the credentials of the account by itself"
        )
    if found[0] not in {"ws", "wss"} or not found[1]:
        raise SetupError(f"the url is {url!r}, expected ws:// or wss:// and a host, such as {KITE_URL}")


def _check_proxy(proxy: str | None) -> None:
    if proxy is None or proxy == ENVIRONMENT_PROXY:
        return
    if not proxy.startswith(("http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://")):
        raise SetupError("the proxy is no http:, https: or socks: URL; give one, or None for none")


CONFIG_FIELDS: Final = tuple(entry.name for entry in fields(FeedConfig))
"""The names of all settings, for those who read them from a file."""
