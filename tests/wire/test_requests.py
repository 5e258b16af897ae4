from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiterec.wire import Mode, SetMode, Subscribe, UnknownRequest, Unsubscribe, decode_request, encode_request

tokens = st.lists(st.integers(0, 2**32 - 1), max_size=5).map(tuple)
requests = st.one_of(
    st.builds(Subscribe, tokens),
    st.builds(Unsubscribe, tokens),
    st.builds(SetMode, st.sampled_from(Mode), tokens),
)


@given(requests)
def test_a_request_is_read_back_as_it_was_written(request: Subscribe | Unsubscribe | SetMode) -> None:
    assert decode_request(encode_request(request)) == request


def test_requests_are_written_as_the_documentation_shows_them() -> None:
    assert encode_request(Subscribe((408065, 884737))) == '{"a":"subscribe","v":[408065,884737]}'
    assert encode_request(Unsubscribe((408065,))) == '{"a":"unsubscribe","v":[408065]}'
    assert encode_request(SetMode(Mode.FULL, (408065,))) == '{"a":"mode","v":["full",[408065]]}'


def test_tokens_given_as_text_are_read() -> None:
    assert decode_request('{"a": "subscribe", "v": ["408065"]}') == Subscribe((408065,))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"a":1}',
        '{"a":"dance","v":[1]}',
        '{"a":"subscribe"}',
        '{"a":"subscribe","v":[-1]}',
        '{"a":"subscribe","v":[4294967296]}',
        '{"a":"mode","v":["fuller",[1]]}',
        '{"a":"mode","v":["full"]}',
        "[" * 100_000,
        "\ud800",
        b"\xff",
    ],
)
def test_what_is_no_request_is_kept_as_it_came_with_a_reason(text: str | bytes) -> None:
    found = decode_request(text)
    assert isinstance(found, UnknownRequest)
    assert found.reason
    assert found.raw == (text if isinstance(text, str) else "�")


@given(st.one_of(st.text(), st.binary()))
def test_reading_a_request_never_raises(text: str | bytes) -> None:
    decode_request(text)
