"""The text that the server sends: JSON with a `type`, as small symmetric classes."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 -- msgspec reads the annotations when it runs
from typing import Any, Final

import msgspec

from kiterec.wire.orders import OrderUpdate, read_order, write_order
from kiterec.wire.walltime import read_time


class InstrumentsMeta(msgspec.Struct, frozen=True):
    """The first message of a connection: how many instruments there are, and their list's version."""

    count: int
    etag: str


class AppCode(msgspec.Struct, frozen=True):
    """A message of unknown purpose that carries a time.

    Attributes:
        timestamp: UTC instant; None when the text is no time.
        raw: the time as it was written.
    """

    timestamp: datetime | None
    raw: str


class ErrorText(msgspec.Struct, frozen=True):
    """The server refuses something, in its own words; the connection stays up."""

    data: str


class MessageText(msgspec.Struct, frozen=True):
    """The vendor tells the user something."""

    data: str


class UnknownText(msgspec.Struct, frozen=True):
    """A text that is none of the above: as it came, and why it was not understood."""

    raw: str
    reason: str = ""


TextMessage = InstrumentsMeta | AppCode | OrderUpdate | ErrorText | MessageText | UnknownText


class _Envelope(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    timestamp: Any = ""


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


def decode_text(text: str | bytes) -> TextMessage:
    """Read a text message of the server; never raises.

    Source:
        https://kite.trade/docs/connect/v3/websocket/#postbacks-and-non-binary-updates
    """
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return UnknownText(text if isinstance(text, str) else text.decode(errors="replace"), str(error))


def encode_text(message: TextMessage) -> str:
    """Give the text of a message; the opposite of `decode_text`."""
    match message:
        case UnknownText(raw=raw):
            return raw
        case OrderUpdate():
            return _envelope("order", write_order(message))
        case AppCode(raw=raw):
            return msgspec.json.encode({"type": "app_code", "timestamp": raw}).decode()
        case InstrumentsMeta():
            return _envelope("instruments_meta", msgspec.json.encode(message).decode())
        case ErrorText(data=data):
            return _envelope("error", msgspec.json.encode(data).decode())
        case MessageText(data=data):
            return _envelope("message", msgspec.json.encode(data).decode())
    raise TypeError(f"{type(message).__name__} is no text message")


def _decode(text: str | bytes) -> TextMessage:
    envelope = _ENVELOPE.decode(text)
    data = bytes(envelope.data)
    match envelope.type:
        case "order":
            return read_order(data.decode())
        case "instruments_meta":
            return msgspec.json.decode(data, type=InstrumentsMeta)
        case "app_code":
            return AppCode(read_time(envelope.timestamp), msgspec.convert(envelope.timestamp, str))
        case "error":
            return ErrorText(_words(data))
        case "message":
            return MessageText(_words(data))
    raise msgspec.DecodeError(f"no text message is called {envelope.type!r}")


def _words(data: bytes) -> str:
    """Give the text of a JSON string; of any other value its JSON."""
    return msgspec.json.decode(data, type=str) if data.startswith(b'"') else data.decode()


def _envelope(kind: str, data: str) -> str:
    return f'{{"type":"{kind}","data":{data}}}'
