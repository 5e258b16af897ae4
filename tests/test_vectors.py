"""Published sample bytes against the numbers published with them; skipped where they are absent."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from kiterec.wire import (
    DEPTH_ENTRY_BYTES,
    DEPTH_FIELDS,
    LAYOUTS,
    SEGMENTS,
    Field,
    OrderUpdate,
    decode_text,
    exchange_segment,
    exchange_token,
    join_frame,
    split_frame,
)

VECTORS = Path(__file__).parents[1].parent / "shared" / "vectors"
MOCKS = VECTORS / "kiteconnect-mocks"
FRAMES = VECTORS / "kiteconnectjs"
FORMATS = {"i4": ">i", "u4": ">I", "u2": ">H"}

pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason="the published sample bytes are not here")

JSON_NAMES = {
    "last_price": "last_price",
    "last_quantity": "last_traded_quantity",
    "average_price": "average_traded_price",
    "volume": "volume_traded",
    "buy_quantity": "total_buy_quantity",
    "sell_quantity": "total_sell_quantity",
    "oi": "oi",
    "oi_day_high": "oi_day_high",
    "oi_day_low": "oi_day_low",
}
"""What the published JSON calls the fields of the wire."""

MOCK_PACKETS = ["ticker_full", "ticker_quote"]
FRAME_VALUES: dict[str, dict[str, Any]] = {
    "ltpMode": {"last_price": 392.95},
    "quoteMode": {
        "last_price": 392.95,
        "last_traded_quantity": 2,
        "average_traded_price": 403.07,
        "volume_traded": 22261032,
        "total_buy_quantity": 5617,
        "total_sell_quantity": 0,
        "open": 420.0,
        "high": 420.9,
        "low": 390.1,
        "close": 414.1,
    },
}
FRAME_VALUES["fullMode"] = FRAME_VALUES["quoteMode"] | {
    "last_trade_time": datetime.fromtimestamp(1655375264, UTC),
    "exchange_timestamp": datetime.fromtimestamp(1655378328, UTC),
    "buy_price": [392.95, 0.0, 0.0, 0.0, 0.0],
    "buy_quantity": [5617, 0, 0, 0, 0],
    "buy_orders": [30, 0, 0, 0, 0],
    "sell_price": [0.0] * 5,
    "sell_quantity": [0] * 5,
    "sell_orders": [0] * 5,
}


def mock_packet(name: str) -> bytes:
    return base64.b64decode((MOCKS / f"{name}.packet").read_text())


def published(name: str) -> dict[str, Any]:
    """Give the values of the JSON beside a packet, under the names of the tick table."""
    found = json.loads((MOCKS / f"{name}.json").read_text())
    values = {ours: found[theirs] for theirs, ours in JSON_NAMES.items() if theirs in found}
    values |= {"instrument_token": found["instrument_token"], "mode": found["mode"], **found["ohlc"]}
    for ours, theirs in [("last_trade_time", "last_trade_time"), ("exchange_timestamp", "timestamp")]:
        if theirs in found:
            values[ours] = datetime.fromisoformat(found[theirs]).astimezone(UTC)
    for side in ("buy", "sell") if "depth" in found else ():
        for field in ("price", "quantity", "orders"):
            values[f"{side}_{field}"] = [level[field] for level in found["depth"][side]]
    return values


def by_tables(packet: bytes) -> dict[str, Any]:
    """Decode a packet with `struct` and the tables of the wire."""
    layout = LAYOUTS[len(packet)]
    (token,) = struct.unpack_from(">I", packet)
    divisor = SEGMENTS.of(token).divisor
    values: dict[str, Any] = {f.name: _value(packet, f, 0, divisor) for f in layout.fields}
    values["mode"] = str(layout.mode)
    if layout.depth_offset is not None:
        for side, first in (("buy", 0), ("sell", 5)):
            for f in DEPTH_FIELDS:
                values[f"{side}_{f.name}"] = [
                    _value(packet, f, layout.depth_offset + level * DEPTH_ENTRY_BYTES, divisor)
                    for level in range(first, first + 5)
                ]
    return values


def _value(packet: bytes, field: Field, at: int, divisor: int) -> Any:
    (number,) = struct.unpack_from(FORMATS[field.type], packet, at + field.offset)
    if field.unit == "time":
        return datetime.fromtimestamp(number, UTC) if number else None
    return number / divisor if field.unit == "price" else number


def by_kiterec(frame: bytes) -> dict[str, Any]:
    """Decode a frame of one packet with the decoder that users get."""
    if find_spec("kiterec.ticks.decode") is None:
        pytest.skip("there is no decoder yet")
    from kiterec.ticks.decode import decode

    rows = decode([frame]).to_dicts()
    assert len(rows) == 1
    return rows[0]


@pytest.mark.parametrize("name", MOCK_PACKETS)
def test_the_tables_read_a_published_packet_as_published(name: str) -> None:
    found = by_tables(mock_packet(name))
    wanted = published(name)
    assert {field: found[field] for field in wanted} == wanted


@pytest.mark.parametrize("name", MOCK_PACKETS)
def test_the_decoder_reads_a_published_packet_as_published(name: str) -> None:
    found = by_kiterec(join_frame([mock_packet(name)]))
    wanted = published(name)
    assert {field: found[field] for field in wanted} == wanted


def test_the_published_change_of_the_full_packet_is_the_absolute_one() -> None:
    found = by_kiterec(join_frame([mock_packet("ticker_full")]))
    change = json.loads((MOCKS / "ticker_full.json").read_text())["change"]
    assert found["net_change"] == pytest.approx(change)


@pytest.mark.parametrize("name", FRAME_VALUES)
def test_the_tables_read_a_published_frame_as_published(name: str) -> None:
    (packet,) = split_frame((FRAMES / f"{name}_binary.packet").read_bytes())
    found = by_tables(packet)
    wanted = FRAME_VALUES[name] | {"instrument_token": 884737}
    assert {field: found[field] for field in wanted} == wanted


@pytest.mark.parametrize("name", FRAME_VALUES)
def test_the_decoder_reads_a_published_frame_as_published(name: str) -> None:
    found = by_kiterec((FRAMES / f"{name}_binary.packet").read_bytes())
    wanted = FRAME_VALUES[name] | {"instrument_token": 884737}
    assert {field: found[field] for field in wanted} == wanted


def test_the_published_postback_is_an_order_with_a_true_checksum() -> None:
    raw = (MOCKS / "postback.json").read_text().strip()
    order = decode_text('{"type":"order","data":' + raw + "}")
    assert isinstance(order, OrderUpdate)
    fields = json.loads(raw)
    times = {"order_timestamp", "exchange_update_timestamp", "exchange_timestamp"}
    assert {name: getattr(order, name) for name in fields if name not in times} == {
        name: value for name, value in fields.items() if name not in times
    }
    assert {getattr(order, name) for name in times} == {datetime(2022, 3, 3, 3, 54, 25, tzinfo=UTC)}
    assert order.raw == raw
    secret = "0hdv7iw5examplesecret"
    signed = f"{order.order_id}{fields['order_timestamp']}{secret}"
    assert hashlib.sha256(signed.encode()).hexdigest() == order.checksum


def test_the_low_byte_of_every_published_token_is_its_segment() -> None:
    lines = (MOCKS / "instruments_all.csv").read_text().splitlines()
    header, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    seen = set()
    for row in rows:
        fields = dict(zip(header, row, strict=True))
        token = int(fields["instrument_token"])
        assert exchange_token(token) == int(fields["exchange_token"])
        segment = SEGMENTS[exchange_segment(token)].name
        seen.add((segment, fields["segment"].split("-")[0], fields["exchange"]))
    for segment, listed, exchange in seen:
        assert segment in {listed, exchange}, (segment, listed, exchange)
