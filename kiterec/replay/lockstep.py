"""Lockstep: before each message, wait until every client has taken the one before, but not for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from kiterec.clock import NS_PER_S
from kiterec.errors import ReplayError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from kiterec.replay.audience import Audience
    from kiterec.replay.pace import Pace

LOOK_AGAIN_S: Final = 0.05
"""How often a paused replay looks whether it still is, when the patience of lockstep is over."""


class Lockstep:
    """Waits for the clients between two messages.

    Args:
        audience: the clients.
        pace: the clock: time in which it stands still does not count.
        quiet_s: a client that comes back is waited for until it has asked for nothing for so long.
        patience_s: how long it waits; None: for ever.
    """

    def __init__(self, audience: Audience, pace: Pace, *, quiet_s: float, patience_s: float | None) -> None:
        self._audience = audience
        self._pace = pace
        self._quiet_s = quiet_s
        self._patience_s = patience_s

    async def settle(self) -> None:
        """Wait until every client has taken everything, and each that is expected is there.

        Raises:
            ReplayError: one keeps the others waiting for too long.
        """
        audience = self._audience
        await self._patiently(audience.taken)
        await self._patiently(lambda: audience.gathered(quiet_s=self._quiet_s))
        while audience.send_pending_snapshots():
            await self._patiently(audience.taken)

    async def _patiently(self, wait: Callable[[], Awaitable[None]]) -> None:
        pace = self._pace
        if self._patience_s is None:
            return await wait()
        end_ns = pace.elapsed_ns() + int(self._patience_s * NS_PER_S)
        while True:
            left_s = (end_ns - pace.elapsed_ns()) / NS_PER_S
            try:
                async with asyncio.timeout(max(left_s, LOOK_AGAIN_S)):
                    return await wait()
            except TimeoutError:
                if pace.elapsed_ns() >= end_ns and not pace.paused:
                    raise ReplayError(
                        f"lockstep has waited {self._patience_s:g} s for {self._audience.awaited()}; look at "
                        "what keeps that program, or allow more with --lockstep-timeout"
                    ) from None
