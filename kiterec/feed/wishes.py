"""What the user wants: subscribe, unsubscribe and set modes, told to the connections that it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiterec.errors import SetupError
from kiterec.feed.steps import Changed
from kiterec.feed.subscriptions import account_of
from kiterec.wire.packets import Mode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kiterec.feed.config import FeedConfig
    from kiterec.feed.fleet import Fleet
    from kiterec.feed.subscriptions import ChangeReport, SubscribeReport, Subscriptions


class Wishes:
    """The subscriptions' side of a manager."""

    def __init__(self, config: FeedConfig, fleet: Fleet, subscriptions: Subscriptions) -> None:
        self.config = config
        self._fleet = fleet
        self._subscriptions = subscriptions

    async def subscribe(
        self,
        tokens: Iterable[int],
        mode: Mode | str | None = None,
        *,
        account: str | None = None,
        partial: bool = False,
    ) -> SubscribeReport:
        """Want these instruments; those that are subscribed in another mode change their mode.

        New ones go evenly over the connections that are not refused or given up, or over those of `account`.
        Returns when it is decided; connections that are open are told in chunks, others when they are back.

        Raises:
            CapacityError: there is not room for all, and not `partial`; then nothing has changed.
            SetupError: there is no such account, or `account` is given with `copies` in the config.
            ValueError: a mode or an instrument_token is impossible.
        """
        if account is not None and self.config.copies > 1:
            raise SetupError(f"account={account!r} cannot hold all {self.config.copies} copies; leave it out")
        drivers = self._fleet.drivers.values() if account is None else self._fleet.of_account(account)
        eligible = [driver.name for driver in drivers if driver.protocol.state.welcoming]
        wanted = self.config.default_mode if mode is None else Mode(mode)
        report = self._subscriptions.subscribe(tokens, mode=wanted, eligible=eligible, partial=partial)
        self._tell([*report.placed, *report.changed])
        return report

    async def unsubscribe(self, tokens: Iterable[int]) -> ChangeReport:
        """Want these no more; those that were not subscribed are given back as ignored."""
        report, holders = self._subscriptions.unsubscribe(tokens)
        self._tell_holders(holders)
        return report

    async def set_mode(self, tokens: Iterable[int], mode: Mode | str) -> ChangeReport:
        """Change the mode of instruments; those that are not subscribed are given back as ignored."""
        report = self._subscriptions.set_mode(tokens, mode=Mode(mode))
        self._tell(report.changed)
        return report

    def drop_idle(self) -> tuple[str, ...]:
        """Forget the connections that would carry nothing, so that they are never opened.

        Each open one counts against those that Kite allows an api_key. To be called before the start, after
        everything is wanted: what is wanted later has only the connections that are left.

        Returns:
            The names of the connections that are gone.

        Raises:
            SetupError: connections run already.
        """
        if any(self._fleet.running()):
            raise SetupError("connections without instruments can be dropped before the start only")
        idle = tuple(name for name in self._fleet.drivers if not self._subscriptions.count(name))
        for name in idle:
            self._fleet.drop(name)
            self._subscriptions.remove_connection(name)
        return idle

    def distribution(self) -> dict[str, dict[str, dict[Mode, int]]]:
        """Count the instruments that are wanted: account → connection → mode → how many."""
        view: dict[str, dict[str, dict[Mode, int]]] = {name: {} for name in self._fleet.credentials}
        for connection, modes in self._subscriptions.distribution().items():
            view[account_of(connection)][connection] = modes
        return view

    def _tell(self, tokens: Iterable[int]) -> None:
        self._tell_holders({token: self._subscriptions.holders(token) for token in tokens})

    def _tell_holders(self, holders: dict[int, tuple[str, ...]]) -> None:
        changed: dict[str, list[int]] = {}
        for token, names in holders.items():
            for name in names:
                changed.setdefault(name, []).append(token)
        for name, tokens in changed.items():
            self._fleet.drivers[name].apply(Changed(tuple(tokens)))
