"""A stretch of the timeline sent to all clients at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiterec.replay.market import MarketBatch
    from kiterec.replay.outlet import Outlet
    from kiterec.replay.share import Share


def broadcast(shares: Mapping[Outlet, Share], batch: MarketBatch) -> None:
    """Send each client its share of a batch, in few writes where nobody looks at each message."""
    alike: dict[Share, list[Outlet]] = {}
    for outlet, share in shares.items():
        if outlet.looked_at:
            outlet.send_each(share, batch)
        else:
            alike.setdefault(share, []).append(outlet)
    for share, outlets in alike.items():
        _push(share, outlets)


def _push(share: Share, outlets: list[Outlet]) -> None:
    """Send the same to some clients, piece by piece: what was just sent is still near the processor."""
    size = share.payload_bytes()
    open_ = [outlet for outlet in outlets if outlet.has_room(size)]
    for frames in share.writes():
        for outlet in open_:
            outlet.push_frames(frames)
    for outlet in open_:
        outlet.count(len(share), size)
