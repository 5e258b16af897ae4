"""Finds the packets of mixed frames: each place that could be a length word is linked to the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from kiterec.ticks.walks import Found, Walk, read_words
from kiterec.wire.frames import HEADER_BYTES
from kiterec.wire.packets import LAYOUTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SPAN_BYTES: Final = 1 << 20
"""Frames are linked together up to this many bytes, so that the links stay in the cache."""

LEARNING_ROUNDS: Final = 3
"""How often frames that stop at an unknown length are linked again with that length among the known ones."""

LEARNED_LENGTHS: Final = 4
"""Unknown lengths that a round takes up; more than these are garbage, and are stepped over one by one."""

PRUNING_ROUNDS: Final = 4
"""How often words that nothing leads to are dropped; nearly all that are no lengths go in the first two."""


def walk_frames(data: NDArray[np.uint8], walk: Walk) -> tuple[list[Found], Walk]:
    """Find the packets of frames whose packets differ in length.

    Links do nearly all of the work; what they leave (a frame that is cut, garbage) is stepped, all
    frames together.

    Returns:
        The packets in any order of frames, and where each frame's walk ended.
    """
    found: list[Found] = []
    ended: list[Walk] = []
    for parity in (0, 1):
        same = walk.take((walk.cursor & 1) == parity)
        for group in _spans(same):
            rest = _link_all(data, group, found)
            ended.append(_step(data, rest, found))
    if not ended:
        return found, walk
    order = np.argsort(np.concatenate([part.frame for part in ended]))
    joined = Walk(
        *(
            np.concatenate([getattr(part, name) for part in ended])[order]
            for name in ("frame", "end", "count", "cursor", "packet")
        )
    )
    return found, joined


def _spans(walk: Walk) -> Iterator[Walk]:
    """Cut the frames into groups that span at most `SPAN_BYTES`, or are one frame."""
    first = 0
    while first < walk.frame.size:
        limit = walk.cursor[first] + SPAN_BYTES
        last = max(first + 1, int(np.searchsorted(walk.end, limit, side="right")))
        yield walk.take(slice(first, last))
        first = last


def _link_all(data: NDArray[np.uint8], walk: Walk, found: list[Found]) -> Walk:
    """Link frames with the known lengths, then with unknown ones that they stop at."""
    lengths = list(LAYOUTS)
    for _ in range(LEARNING_ROUNDS):
        open_ = np.flatnonzero(walk.packet < walk.count)
        if not open_.size:
            break
        part = walk.take(open_)
        found.append(_link(data, part, lengths))
        walk.cursor[open_], walk.packet[open_] = part.cursor, part.packet
        learned = _unknown_lengths(data, part)
        if not learned:
            break
        lengths += learned
    return walk


def _unknown_lengths(data: NDArray[np.uint8], walk: Walk) -> list[int]:
    """Give the even lengths that frames stopped at although the packet fits into the frame."""
    readable = (walk.packet < walk.count) & (walk.cursor + HEADER_BYTES <= walk.end)
    length = read_words(data, walk.cursor[readable])
    fits = (walk.cursor[readable] + HEADER_BYTES + length <= walk.end[readable]) & (length % 2 == 0)
    values, times = np.unique(length[fits], return_counts=True)
    return [int(value) for value in values[np.argsort(-times)][:LEARNED_LENGTHS]]


def _link(data: NDArray[np.uint8], walk: Walk, lengths: list[int]) -> Found:
    """Find the packets from each cursor on while their lengths are among the given ones; moves the cursors.

    A word with one of the values may be a length; each is linked to the word after the packet that it
    would have (all cursors are even, or all odd). What can be reached from a frame's cursor is found by
    doubling the stride of the links, so the work is a few passes over the bytes whatever the number of
    packets.
    """
    base = int(walk.cursor[0])
    words = _words(data[base : int(walk.end.max())])
    hit = np.zeros(words.size + 1, bool)
    for known in lengths:
        hit[:-1] |= words == _swapped(known)
    node = np.flatnonzero(hit)
    length = words[node].byteswap().astype(np.int64)
    first = (walk.cursor - base) >> 1
    owner = np.searchsorted(first, node, side="right") - 1
    inside = base + 2 * node + HEADER_BYTES + length <= walk.end[owner]
    hit[node[~inside]] = False
    node, length, owner = node[inside], length[inside], owner[inside]

    after = node + 1 + (length >> 1)
    for _ in range(PRUNING_ROUNDS):
        led_to = np.zeros(words.size + 1, bool)
        led_to[after] = True
        led_to[first] = True
        kept = led_to[node]
        if kept.all():
            break
        hit[node[~kept]] = False
        node, length, owner, after = node[kept], length[kept], owner[kept], after[kept]
    if not _all_follow(node, after, owner, first):
        reached = _reached(hit, node, after, first, steps=int((walk.count - walk.packet).max()))
        node, length, owner = node[reached], length[reached], owner[reached]
    return _collect(walk, owner, base + 2 * node + HEADER_BYTES, length)


def _all_follow(
    node: NDArray[np.intp], after: NDArray[np.int64], owner: NDArray[np.intp], first: NDArray[np.int64]
) -> bool:
    """Tell whether the nodes of each frame are one chain from where its walk is: then all are reached."""
    begins = np.empty(node.size, bool)
    begins[:1] = True
    np.not_equal(owner[1:], owner[:-1], out=begins[1:])
    follows = after[:-1] == node[1:]
    return bool((follows | begins[1:]).all() and (node[begins] == first[owner[begins]]).all())


def _reached(
    hit: NDArray[np.bool_],
    node: NDArray[np.intp],
    after: NDArray[np.int64],
    first: NDArray[np.int64],
    *,
    steps: int,
) -> NDArray[np.bool_]:
    """Tell which nodes can be reached from the first ones, by doubling the stride of the links."""
    # Where each node is in the list of nodes; only the places of nodes are ever written and read.
    place = np.empty(hit.size, np.int32)
    itself = np.arange(node.size)
    place[node] = itself
    link = np.where(hit[after], place[after], itself)
    reached = np.zeros(node.size, bool)
    reached[place[first[hit[first]]]] = True
    for _ in range(steps.bit_length()):
        reached[link[reached]] = True
        link = link[link]
    return reached


def _collect(
    walk: Walk, owner: NDArray[np.intp], offset: NDArray[np.int64], length: NDArray[np.int64]
) -> Found:
    """Number the packets, drop those beyond the frame's count, move the cursors behind the last."""
    held = np.bincount(owner, minlength=walk.frame.size)
    packet = walk.packet[owner] + np.arange(owner.size) - np.repeat(np.cumsum(held) - held, held)
    declared = packet < walk.count[owner]
    if not declared.all():
        owner, packet, offset, length = owner[declared], packet[declared], offset[declared], length[declared]
        held = np.bincount(owner, minlength=walk.frame.size)
    last = np.cumsum(held) - 1
    some = held > 0
    walk.cursor = walk.cursor.copy()
    walk.cursor[some] = offset[last[some]] + length[last[some]]
    found = Found(walk.frame[owner], packet, offset, length)
    walk.packet = walk.packet + held
    return found


def _words(data: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Give the bytes as uint16 of the other byte order (a last odd byte is left out)."""
    return data[: data.size & ~1].view("<u2")


def _swapped(length: int) -> np.uint16:
    """Give what a big-endian length looks like as a little-endian word."""
    return np.uint16(int.from_bytes(length.to_bytes(2, "big"), "little"))


def _step(data: NDArray[np.uint8], walk: Walk, found: list[Found]) -> Walk:
    """Step all frames together, one packet a step, until each is done or broken."""
    active = np.flatnonzero(walk.packet < walk.count)
    while active.size:
        active = active[walk.cursor[active] + HEADER_BYTES <= walk.end[active]]
        offset = walk.cursor[active] + HEADER_BYTES
        length = read_words(data, walk.cursor[active])
        fits = offset + length <= walk.end[active]
        active, offset, length = active[fits], offset[fits], length[fits]
        found.append(Found(walk.frame[active], walk.packet[active], offset, length))
        walk.cursor[active] = offset + length
        walk.packet[active] += 1
        active = active[walk.packet[active] < walk.count[active]]
    return walk
