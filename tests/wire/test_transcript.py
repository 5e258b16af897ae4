from __future__ import annotations

import pytest

from kiterec.wire import RECEIVED_KINDS, Kind, lifecycle_payload, read_lifecycle


def test_only_binary_and_text_were_received() -> None:
    assert {str(kind) for kind in RECEIVED_KINDS} == {"binary", "text"}
    assert Kind("gap") is Kind.GAP


def test_a_lifecycle_payload_is_read_back_without_what_was_none() -> None:
    payload = lifecycle_payload(reason="silence", to=5, code=None, **{"from": 3})
    assert payload == b'{"reason":"silence","to":5,"from":3}'
    assert read_lifecycle(payload) == {"reason": "silence", "from": 3, "to": 5}


@pytest.mark.parametrize("payload", [b"", b"\xff", b"[]", b"5", b"[" * 100_000])
def test_a_payload_that_is_no_object_has_no_fields(payload: bytes) -> None:
    assert read_lifecycle(payload) == {}
