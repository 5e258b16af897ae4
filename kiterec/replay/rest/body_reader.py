"""Requests with a body, turned into what the WebSocket library reads: it knows GET without a body only."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote_from_bytes

METHOD_HEADER: Final = "X-Kiterec-Method"
FORM_HEADER: Final = "X-Kiterec-Form"

_HEAD_BYTES: Final = 8 << 10
_BODY_BYTES: Final = 2 << 10
"""A form with all its secrets has 300 bytes; percent-encoded it must fit a header line."""


class BodyReader:
    """Turns `POST … body` into a GET whose headers carry the method and the body; sans-I/O.

    A GET passes through untouched, and so does what is too long or no request: the library refuses it.
    """

    __slots__ = ("_done", "_held")

    def __init__(self) -> None:
        self._held: bytes | None = None
        self._done = False

    def feed(self, data: bytes) -> bytes:
        """Take what the socket gave; give what the library shall get, maybe nothing yet."""
        if self._done:
            return b"" if self._held is not None else data
        if self._held is None:
            if data[:1] in {b"", b"G"}:
                self._done = bool(data)
                return data
            self._held = b""
        self._held += data
        head, end, body = self._held.partition(b"\r\n\r\n")
        if not end and len(head) <= _HEAD_BYTES:
            return b""
        self._done = True
        method, _, rest = head.partition(b" ")
        length = _content_length(head)
        if not end or length is None or length > _BODY_BYTES or not method.isalpha() or not method.isupper():
            held, self._held = self._held, None
            return held
        if len(body) < length:
            self._done = False
            return b""
        first, _, headers = rest.partition(b"\r\n")
        form = quote_from_bytes(body[:length], safe="").encode()
        lines = [
            b"GET " + first,
            *(line for line in headers.split(b"\r\n") if line and not _is_ours(line)),
            METHOD_HEADER.encode() + b": " + method,
            FORM_HEADER.encode() + b": " + form,
        ]
        return b"\r\n".join(lines) + b"\r\n\r\n"


def _content_length(head: bytes) -> int | None:
    """Give the length of the body, 0 without the header; None when it is no number."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            digits = value.strip()
            return int(digits) if digits.isdigit() and len(digits) < 10 else None
    return 0


def _is_ours(line: bytes) -> bool:
    name = line.partition(b":")[0].strip().lower()
    # The library refuses a GET that announces a body.
    return name in {b"content-length", METHOD_HEADER.lower().encode(), FORM_HEADER.lower().encode()}
