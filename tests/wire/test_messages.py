from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiterec.wire import (
    AppCode,
    ErrorText,
    InstrumentsMeta,
    MessageText,
    OrderUpdate,
    UnknownText,
    decode_text,
    encode_text,
)

words = st.text(st.characters(exclude_categories=["Cs"]))
messages = st.one_of(
    st.builds(InstrumentsMeta, st.integers(0, 2**40), words),
    st.builds(ErrorText, words),
    st.builds(MessageText, words),
)


@given(messages)
def test_a_message_is_read_back_as_it_was_written(message: InstrumentsMeta | ErrorText | MessageText) -> None:
    assert decode_text(encode_text(message)) == message


def test_the_first_message_of_the_real_server_is_read() -> None:
    text = r'{"type": "instruments_meta", "data": {"count": 114823, "etag": "W/\"6a7e998c-9757\""}}'
    assert decode_text(text) == InstrumentsMeta(114823, 'W/"6a7e998c-9757"')


def test_the_time_of_an_app_code_is_a_utc_instant() -> None:
    found = decode_text('{"type":"app_code","timestamp":"2025-08-04T13:50:28+05:30"}')
    assert found == AppCode(datetime(2025, 8, 4, 8, 20, 28, tzinfo=UTC), "2025-08-04T13:50:28+05:30")
    assert decode_text(encode_text(found)) == found


def test_a_malformed_app_code_time_is_none_and_kept_raw() -> None:
    found = decode_text('{"type":"app_code","timestamp":"soon"}')
    assert found == AppCode(None, "soon")
    assert decode_text(encode_text(found)) == found


def test_an_error_whose_data_is_no_string_keeps_its_json() -> None:
    assert decode_text('{"type":"error","data":{"code":7}}') == ErrorText('{"code":7}')
    assert decode_text('{"type":"message"}') == MessageText("null")


ORDER = {
    "order_id": "220303000308932",
    "status": "TRIGGER PENDING",
    "order_timestamp": "2022-03-03 09:24:25",
    "exchange_timestamp": None,
    "quantity": 1,
    "price": 0,
    "average_price": 470.5,
    "meta": {"iceberg": {"leg": 1}},
    "some_new_field": [1, 2],
}


def order_text(**changes: object) -> str:
    return json.dumps({"type": "order", "data": ORDER | changes})


def read_order(**changes: object) -> OrderUpdate:
    found = decode_text(order_text(**changes))
    assert isinstance(found, OrderUpdate)
    return found


def test_order_times_are_instants_of_ist_wall_time() -> None:
    order = read_order()
    assert order.order_timestamp == datetime(2022, 3, 3, 3, 54, 25, tzinfo=UTC)
    assert order.exchange_timestamp is None


@pytest.mark.parametrize("status", ["OPEN", "COMPLETE", "TRIGGER PENDING", "UPDATE", "something new"])
def test_every_order_status_is_kept_as_it_is(status: str) -> None:
    assert read_order(status=status).status == status


@pytest.mark.parametrize(
    "time",
    ["", "yesterday", "2022-13-45 99:99:99", 5, {}, "0001-01-01 00:00:00", "9999-12-31T23:59:59-23:59"],
)
def test_a_malformed_order_time_is_none_and_the_order_lives(time: object) -> None:
    order = read_order(order_timestamp=time)
    assert order.order_timestamp is None
    assert order.order_id == "220303000308932"
    assert json.loads(order.raw)["order_timestamp"] == time


@given(
    st.dictionaries(
        st.sampled_from([f for f in OrderUpdate.__struct_fields__ if f != "raw"]),
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(),
            st.floats(allow_nan=False, allow_infinity=False),
            words,
            st.lists(st.integers()),
            st.dictionaries(words, words),
        ),
    )
)
def test_no_strange_field_kills_an_order(fields: dict[str, object]) -> None:
    order = read_order(**fields)
    assert json.loads(order.raw) == ORDER | fields


def test_strange_fields_beside_the_data_do_not_kill_an_order() -> None:
    text = json.dumps({"type": "order", "data": ORDER, "timestamp": 5, "more": [None]})
    found = decode_text(text)
    assert isinstance(found, OrderUpdate)
    assert found.status == "TRIGGER PENDING"
    assert isinstance(decode_text('{"type":"app_code","timestamp":5}'), UnknownText)


def test_the_raw_order_is_untouched_to_the_byte() -> None:
    raw = '{ "order_id" : "1",\t"price":1.50, "x": "\\u20b9" }'
    order = decode_text('{"type":"order", "data":' + raw + "}")
    assert isinstance(order, OrderUpdate)
    assert order.raw == raw
    assert decode_text(encode_text(order)) == order


def test_an_order_without_raw_is_written_with_ist_wall_times() -> None:
    made = OrderUpdate(
        order_id="1", status="OPEN", order_timestamp=datetime(2022, 3, 3, 3, 54, 25, tzinfo=UTC)
    )
    text = encode_text(made)
    assert json.loads(text)["data"]["order_timestamp"] == "2022-03-03 09:24:25"
    found = decode_text(text)
    assert isinstance(found, OrderUpdate)
    assert (found.order_id, found.status, found.order_timestamp) == ("1", "OPEN", made.order_timestamp)


def test_an_order_time_without_a_zone_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        encode_text(OrderUpdate(order_timestamp=datetime(2022, 3, 3)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[1]",
        '{"data":1}',
        '{"type":5}',
        '{"type":"weather","data":1}',
        '{"type":"order","data":7}',
        '{"type":"order"}',
        '{"type":"instruments_meta","data":{}}',
        '{"type":"order","data":' + "[" * 100_000,
        '{"type":"error","data":"\\ud800"}',
        "\ud800",
    ],
)
def test_unknown_text_is_kept_as_it_came_with_a_reason(text: str) -> None:
    found = decode_text(text)
    assert isinstance(found, UnknownText)
    assert found.raw == text
    assert found.reason
    assert encode_text(found) == text


@given(st.one_of(st.text(), st.binary()))
def test_reading_a_text_never_raises(text: str | bytes) -> None:
    decode_text(text)


def test_what_is_no_message_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="int is no text message"):
        encode_text(5)  # type: ignore[arg-type]
