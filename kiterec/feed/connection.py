"""The only door to a client socket: open it, and say in plain words why it did not open or why it ended."""

from __future__ import annotations

import logging
import socket as sockets
import ssl
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, ProxyError

from kiterec.feed.config import ENVIRONMENT_PROXY
from kiterec.feed.failure import Failure, of_network, of_status
from kiterec.feed.state import NO_CLOSE_FRAME
from kiterec.feed.steps import Ended

if TYPE_CHECKING:
    from kiterec.feed.account import Secret
    from kiterec.feed.config import FeedConfig

__all__ = ["ClientConnection", "ConnectionClosed", "describe_end", "describe_failure", "open_socket"]

_MESSAGE_TOO_BIG: Final = 1009
_PROTOCOL_ERRORS: Final = {1002, 1003, 1007}
# Every request of 3,000 instruments fits, so sending never waits for a peer that stopped reading.
_WRITE_BUFFER_BYTES: Final = 1 << 20

# websockets logs the request line at DEBUG, and the path holds both secrets. A logger that has no parent and
# is disabled shows nothing, whatever levels and handlers the program sets.
_SILENT: Final = logging.Logger("kiterec.feed.silent", level=logging.CRITICAL)  # noqa: LOG001 -- see above
_SILENT.disabled = True
_SILENT.propagate = False


class _Handshake(connect):
    """A connect that does not follow redirects: the credentials go to the configured host only."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _user_agent() -> str:
    try:
        return f"kiterec/{version('kiterec')}"
    except PackageNotFoundError:
        return "kiterec"


@cache
def _tls() -> ssl.SSLContext:
    """Give the one context of this process: to read all certificates anew at each connect takes long."""
    return ssl.create_default_context()


async def open_socket(config: FeedConfig, *, api_key: Secret, access_token: Secret) -> ClientConnection:
    """Open a WebSocket to the server; the caller limits the time.

    Raises:
        Exception: `describe_failure` knows them.
    """
    query = urlencode(
        {"api_key": api_key.reveal(), "access_token": access_token.reveal()}, quote_via=quote, safe=""
    )
    return await _Handshake(
        f"{config.url}?{query}",
        compression=None,
        additional_headers={"X-Kite-Version": "3"},
        user_agent_header=_user_agent(),
        proxy=True if config.proxy == ENVIRONMENT_PROXY else config.proxy,
        open_timeout=None,
        ping_interval=None,  # the server's heartbeat tells that it lives; a ping adds nothing to that
        close_timeout=config.close_timeout_s,
        max_size=config.max_frame_bytes,
        write_limit=_WRITE_BUFFER_BYTES,
        logger=_SILENT,
        ssl=_tls() if config.url.startswith("wss:") else None,
    )


def describe_failure(error: Exception, url: str) -> Failure:
    """Give the plain sentence of a failed connect, without secrets and without the URL's query."""
    host = urlsplit(url).netloc
    if isinstance(error, InvalidStatus):
        return of_status(error.response.status_code)
    if isinstance(error, OSError):
        return of_network(_os_words(error, host))
    if isinstance(error, ProxyError):
        return of_network(f"the proxy did not let us through to {host} ({type(error).__name__})")
    if isinstance(error, InvalidHandshake):
        return of_network(f"{host} does not speak WebSocket ({type(error).__name__})")
    return of_network(f"the connect to {host} failed ({type(error).__name__})")


def _os_words(error: OSError, host: str) -> str:
    match error:
        case sockets.gaierror():
            return f"the name {host} cannot be resolved ({error.strerror})"
        case ssl.SSLCertVerificationError():
            return f"the certificate of {host} cannot be trusted ({error.verify_message})"
        case ssl.SSLError():
            return f"TLS with {host} failed ({error.reason})"
        case ConnectionRefusedError():
            return f"nobody listens at {host}"
    return f"{host} cannot be reached ({error.strerror or type(error).__name__})"


def describe_end(error: ConnectionClosed, max_bytes: int) -> Ended:
    """Give code and plain sentence of the end of an open connection."""
    if error.rcvd is not None:
        words = f": {error.rcvd.reason}" if error.rcvd.reason else ""
        return Ended(error.rcvd.code, f"the server closed the connection with code {error.rcvd.code}{words}")
    if error.sent is not None and error.sent.code == _MESSAGE_TOO_BIG:
        return Ended(_MESSAGE_TOO_BIG, f"the server sent a message of more than {max_bytes:,} bytes")
    if error.sent is not None and error.sent.code in _PROTOCOL_ERRORS:
        return Ended(error.sent.code, f"the server broke the WebSocket protocol: {error.sent.reason}")
    if isinstance(error.__cause__, ConnectionResetError):
        return Ended(NO_CLOSE_FRAME, "the connection was reset")
    return Ended(NO_CLOSE_FRAME, "the connection ended without a close frame")
