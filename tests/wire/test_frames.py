from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiterec.errors import DecodeError
from kiterec.wire import HEARTBEAT, MAX_FRAME_BYTES, is_heartbeat, join_frame, scan_frame, split_frame
from tests.wire.golden import FRAMES, FULL, INDEX_FULL, LTP, QUOTE, frame

packets = st.lists(
    st.one_of(st.sampled_from([LTP, QUOTE, FULL, INDEX_FULL]), st.binary(max_size=300)), max_size=20
)


@pytest.mark.parametrize("name", FRAMES)
def test_split_and_join_are_exact_opposites(name: str) -> None:
    assert join_frame(split_frame(FRAMES[name])) == FRAMES[name]


@given(packets)
def test_every_joined_frame_splits_into_its_packets(parts: list[bytes]) -> None:
    whole = join_frame(parts)
    assert split_frame(whole) == parts
    assert join_frame(split_frame(whole)) == whole


@given(st.binary(max_size=2000))
def test_any_bytes_split_and_join_back_or_are_described(data: bytes) -> None:
    _splits_or_is_described(data)


def test_a_frame_of_fewer_than_two_bytes_is_a_heartbeat_without_packets() -> None:
    for beat in (b"", HEARTBEAT, b"\x01"):
        assert is_heartbeat(beat)
        assert split_frame(beat) == []
    assert not is_heartbeat(frame())


@pytest.mark.parametrize("name", FRAMES)
def test_every_truncation_splits_or_is_described_with_its_offset(name: str) -> None:
    for length in range(len(FRAMES[name])):
        cut = FRAMES[name][:length]
        problem = _splits_or_is_described(cut)
        if length >= 2:
            assert problem is not None, f"{name} cut at {length} passed as whole"


@pytest.mark.parametrize("name", FRAMES)
def test_every_flipped_byte_splits_or_is_described_with_its_offset(name: str) -> None:
    for position in range(len(FRAMES[name])):
        for flip in (0xFF, *(1 << bit for bit in range(8))):
            changed = bytearray(FRAMES[name])
            changed[position] ^= flip
            _splits_or_is_described(bytes(changed))


def test_a_packet_that_is_longer_than_the_rest_of_the_frame_is_named_by_number_and_offset() -> None:
    with pytest.raises(
        DecodeError, match=r"packet 2 of 2 declares 184 bytes, 183 are left \(at byte 14\)"
    ) as caught:
        split_frame(frame(LTP, FULL)[:-1])
    assert caught.value.offset == 14


def test_a_count_that_is_too_high_is_told_where_the_frame_ends() -> None:
    with pytest.raises(DecodeError, match="the frame ends before the length of packet 2 of 2") as caught:
        split_frame(b"\x00\x02" + frame(LTP)[2:])
    assert caught.value.offset == 12


@pytest.mark.parametrize("count", [1, 2, 3, 200])
@pytest.mark.parametrize("name", FRAMES)
def test_trailing_bytes_are_counted(name: str, count: int) -> None:
    whole = FRAMES[name]
    with pytest.raises(DecodeError, match=f"^{count} bytes follow the last of ") as caught:
        split_frame(whole + bytes(count))
    assert caught.value.offset == len(whole)


def test_an_unknown_length_is_stepped_over_and_told() -> None:
    scan = scan_frame(FRAMES["an unknown length between known ones"])
    assert scan.packets == [(4, 8), (14, 12), (28, 32)]
    assert [(p.offset, p.reason) for p in scan.problems] == [(14, "a packet of 12 bytes has no layout")]


def test_what_comes_before_the_damage_is_still_found() -> None:
    scan = scan_frame(frame(LTP, QUOTE, FULL)[:-1])
    assert scan.packets == [(4, 8), (14, 44)]
    assert [p.offset for p in scan.problems] == [60]


def test_the_largest_frame_holds_three_thousand_full_packets() -> None:
    assert len(join_frame([FULL] * 3000)) == MAX_FRAME_BYTES


def test_more_than_a_uint16_can_say_is_refused() -> None:
    with pytest.raises(ValueError, match="65,536 packets"):
        join_frame([b""] * 65_536)
    with pytest.raises(ValueError, match="65,536 bytes"):
        join_frame([bytes(65_536)])


def _splits_or_is_described(data: bytes) -> str | None:
    """Check that split and scan agree; give the reason why the frame does not split, if it does not."""
    scan = scan_frame(data)
    assert all(offset >= 0 and offset + length <= len(data) for offset, length in scan.packets)
    assert [p.offset for p in scan.problems] == sorted(p.offset for p in scan.problems)
    try:
        parts = split_frame(data)
    except DecodeError as error:
        broken = error
    else:
        broken = None
    if broken is not None:
        assert 0 <= broken.offset <= len(data)
        assert (broken.offset, broken.reason) == (scan.problems[-1].offset, scan.problems[-1].reason)
        return broken.reason
    assert parts == [data[offset : offset + length] for offset, length in scan.packets]
    if not is_heartbeat(data):
        assert join_frame(parts) == data
    return None
