"""Where the day's instrument dump comes from: a file, or the server beside the feed."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
import zlib
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from kiterec.errors import SetupError
from kiterec.feed.config import ENVIRONMENT_PROXY, KITE_URL

if TYPE_CHECKING:
    from pathlib import Path

KITE_DUMP_URL: Final = "https://api.kite.trade/instruments"
"""Source: https://kite.trade/docs/connect/v3/market-quotes/#instruments."""

MAX_DUMP_BYTES: Final = 256 << 20
"""Twenty times the dump of 2026."""

_PIECE_BYTES: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"
_WITH_GZIP_HEADER: Final = 16 + zlib.MAX_WBITS


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


def dump_url(feed_url: str) -> str:
    """Give the URL of the dump: the vendor's API for Kite, else the host and port of the feed."""
    if feed_url == KITE_URL:
        return KITE_DUMP_URL
    parts = urlsplit(feed_url)
    scheme = "https" if parts.scheme == "wss" else "http"
    return urlunsplit((scheme, parts.netloc, "/instruments", "", ""))


def read_dump(path: Path, *, max_bytes: int = MAX_DUMP_BYTES) -> bytes:
    """Give the CSV of a dump file, gzipped or not.

    Raises:
        SetupError: it cannot be read, is damaged or too large.
    """
    try:
        with path.open("rb") as file:
            return _read_all(file, where=f"instrument dump {path}", max_bytes=max_bytes)
    except OSError as error:
        raise SetupError(f"instrument dump {path} cannot be read: {error.strerror}") from None


def download_dump(
    url: str, *, timeout_s: float, proxy: str | None = None, max_bytes: int = MAX_DUMP_BYTES
) -> bytes:
    """Download the CSV of the dump; blocks.

    Args:
        url: http: or https:.
        timeout_s: for the whole download.
        proxy: as in `FeedConfig`.
        max_bytes: after decompression.

    Raises:
        SetupError: it cannot be had, takes too long, is no CSV, damaged or too large.
    """
    where = f"instrument dump {url}"
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip", "X-Kite-Version": "3"})  # noqa: S310 -- made by dump_url
    end = time.monotonic() + timeout_s
    try:
        with _opener(proxy).open(request, timeout=timeout_s) as response:
            kind = response.headers.get("Content-Type", "")
            if "csv" not in kind:
                raise SetupError(f"{where} is {kind or 'of no type'}, expected text/csv")
            return _read_all(response, where=where, max_bytes=max_bytes, end=end)
    except urllib.error.HTTPError as error:
        error.close()
        raise SetupError(f"{where} was refused with HTTP {error.code}") from None
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise SetupError(f"{where} cannot be had: {reason}") from None
    except TimeoutError:
        raise SetupError(f"{where} did not come within {timeout_s:g} s") from None
    except (OSError, http.client.HTTPException) as error:
        raise SetupError(f"{where} broke off: {type(error).__name__}") from None


def _opener(proxy: str | None) -> urllib.request.OpenerDirector:
    if proxy == ENVIRONMENT_PROXY:
        return urllib.request.build_opener()
    through = {} if proxy is None else {"http": proxy, "https": proxy}
    return urllib.request.build_opener(urllib.request.ProxyHandler(through))


def _read_all(source: _Source, *, where: str, max_bytes: int, end: float = float("inf")) -> bytes:
    """Read to the end, decompress gzip, and refuse more than is allowed before it is all in memory."""
    first = source.read(_PIECE_BYTES)
    inflate = zlib.decompressobj(_WITH_GZIP_HEADER) if first.startswith(_GZIP_MAGIC) else None
    pieces: list[bytes] = []
    size, piece = 0, first
    while piece:
        try:
            plain = piece if inflate is None else inflate.decompress(piece, max_bytes - size + 1)
        except zlib.error as error:
            raise SetupError(f"{where} is damaged: {error}") from None
        pieces.append(plain)
        size += len(plain)
        if size > max_bytes:
            raise SetupError(f"{where} has more than {max_bytes:,} bytes, which is no instrument dump")
        if time.monotonic() > end:
            raise TimeoutError
        piece = source.read(_PIECE_BYTES)
    if inflate is not None and not inflate.eof:
        raise SetupError(f"{where} is damaged: the gzip stream ends too early")
    return b"".join(pieces)
