"""Order postbacks: the state of an order, as the server tells every connection of its account."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 -- the annotations are read when it runs
from typing import Any, Final, get_type_hints

import msgspec

from kiterec.wire.walltime import ist_wall_time, read_time


class OrderUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one order. None: absent, null, or not what the field can hold (`raw` keeps it).

    `status` is the server's word, also one that is not documented (COMPLETE, REJECTED, CANCELLED, UPDATE,
    OPEN, TRIGGER PENDING …). The times are UTC instants; on the wire they are IST wall time without a zone.

    Attributes:
        raw: the order's JSON object, untouched.

    Source:
        https://kite.trade/docs/connect/v3/postbacks/
    """

    user_id: str | None = None
    unfilled_quantity: int | None = None
    app_id: int | None = None
    checksum: str | None = None
    placed_by: str | None = None
    order_id: str | None = None
    exchange_order_id: str | None = None
    parent_order_id: str | None = None
    status: str | None = None
    status_message: str | None = None
    status_message_raw: str | None = None
    order_timestamp: datetime | None = None
    exchange_update_timestamp: datetime | None = None
    exchange_timestamp: datetime | None = None
    variety: str | None = None
    exchange: str | None = None
    tradingsymbol: str | None = None
    instrument_token: int | None = None
    order_type: str | None = None
    transaction_type: str | None = None
    validity: str | None = None
    validity_ttl: int | None = None
    product: str | None = None
    quantity: int | None = None
    disclosed_quantity: int | None = None
    price: float | None = None
    trigger_price: float | None = None
    average_price: float | None = None
    filled_quantity: int | None = None
    pending_quantity: int | None = None
    cancelled_quantity: int | None = None
    market_protection: float | None = None
    auction_number: str | None = None
    meta: dict[str, Any] | None = None
    tag: str | None = None
    tags: list[str] | None = None
    guid: str | None = None
    raw: str = ""


_FIELD_TYPES: Final[dict[str, Any]] = {
    name: kind for name, kind in get_type_hints(OrderUpdate).items() if name != "raw"
}
_TIMES: Final = ("order_timestamp", "exchange_update_timestamp", "exchange_timestamp")


def read_order(raw: str) -> OrderUpdate:
    """Read the JSON object of an order. A field with a strange value is None; the others are kept.

    Raises:
        msgspec.DecodeError: the text is no JSON object.
    """
    found = msgspec.json.decode(raw, type=dict[str, Any])
    fields = {name: _field(name, kind, found[name]) for name, kind in _FIELD_TYPES.items() if name in found}
    return OrderUpdate(**fields, raw=raw)


def write_order(order: OrderUpdate) -> str:
    """Give the JSON object of an order: `raw` where there is one, else its fields with IST wall times."""
    if order.raw:
        return order.raw
    fields = {name: getattr(order, name) for name in _FIELD_TYPES}
    for name in _TIMES:
        fields[name] = None if fields[name] is None else ist_wall_time(fields[name])
    return msgspec.json.encode(fields).decode()


def _field(name: str, kind: Any, value: Any) -> Any:
    if name in _TIMES:
        return read_time(value)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError:
        return None
