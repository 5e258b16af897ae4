"""What the client sends: three requests, as JSON text; there is no acknowledgement."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from kiterec.wire.packets import Mode

InstrumentToken = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
Tokens = tuple[InstrumentToken, ...]


class Subscribe(msgspec.Struct, frozen=True):
    """Send these instruments from now on; new ones in quote mode."""

    tokens: Tokens


class Unsubscribe(msgspec.Struct, frozen=True):
    """Send these instruments no more."""

    tokens: Tokens


class SetMode(msgspec.Struct, frozen=True):
    """Send these instruments in this mode; subscribes those that are not."""

    mode: Mode
    tokens: Tokens


class UnknownRequest(msgspec.Struct, frozen=True):
    """A text that is none of the requests: as it came, and why."""

    raw: str
    reason: str = ""


Request = Subscribe | Unsubscribe | SetMode


class _Envelope(msgspec.Struct):
    a: str
    v: Any = None


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


def encode_request(request: Request) -> str:
    """Give the text of a request.

    Source:
        https://kite.trade/docs/connect/v3/websocket/#request-structure
    """
    match request:
        case Subscribe(tokens=tokens):
            envelope = _Envelope("subscribe", tokens)
        case Unsubscribe(tokens=tokens):
            envelope = _Envelope("unsubscribe", tokens)
        case SetMode(mode=mode, tokens=tokens):
            envelope = _Envelope("mode", [mode, tokens])
        case _:
            raise TypeError(f"{type(request).__name__} is no request")
    return msgspec.json.encode(envelope).decode()


def decode_request(text: str | bytes) -> Request | UnknownRequest:
    """Read what a client sent; never raises.

    Instrument_tokens given as text ("408065") are read too, for some clients send them so.
    """
    try:
        envelope = _ENVELOPE.decode(text)
        match envelope.a:
            case "subscribe":
                return Subscribe(_tokens(envelope.v))
            case "unsubscribe":
                return Unsubscribe(_tokens(envelope.v))
            case "mode":
                mode, tokens = msgspec.convert(envelope.v, tuple[Mode, Tokens], strict=False)
                return SetMode(mode, tokens)
        reason = f"no request is called {envelope.a!r}"
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        reason = str(error)
    raw = text if isinstance(text, str) else text.decode(errors="replace")
    return UnknownRequest(raw, reason)


def _tokens(value: Any) -> Tokens:
    return msgspec.convert(value, Tokens, strict=False)
