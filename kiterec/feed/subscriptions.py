"""The desired state: which instrument in which mode on which connection of which account."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kiterec.errors import CapacityError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from kiterec.wire.packets import Mode

_MAX_TOKEN = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscribeReport:
    """What became of each instrument that was asked for.

    Attributes:
        placed: new ones: instrument_token → names of its connections (one; more with redundancy).
        changed: were subscribed in another mode, which was changed.
        unchanged: were subscribed in this mode already.
        refused: found no room; always empty without `partial=True`.
    """

    placed: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    changed: tuple[int, ...] = ()
    unchanged: tuple[int, ...] = ()
    refused: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeReport:
    """What became of each instrument of an `unsubscribe` or `set_mode`.

    Attributes:
        changed: were subscribed and are changed now.
        ignored: were not subscribed.
    """

    changed: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Instruments that went from one connection to another."""

    source: str
    target: str
    tokens: tuple[int, ...]


def account_of(connection: str) -> str:
    """Give the account of a connection: main-0 belongs to main."""
    return connection.rpartition("-")[0]


def checked_tokens(tokens: Iterable[int]) -> list[int]:
    """Give the instrument_tokens once each, in their order.

    Raises:
        TypeError: one is not a whole number.
        ValueError: one does not fit 32 bits.
    """
    unique = list(dict.fromkeys(tokens))
    for token in unique:
        if isinstance(token, bool) or not isinstance(token, int):
            raise TypeError(f"{token!r} is no instrument_token, expected a whole number such as 408065")
        if not 0 <= token <= _MAX_TOKEN:
            raise ValueError(f"{token} is no instrument_token, expected 0 to {_MAX_TOKEN}")
    return unique


class Subscriptions:
    """Which instruments each connection should have; nothing here knows a socket.

    New instruments go to the connection with the fewest, the first of those in case of a tie, so the same
    calls give the same distribution.

    Args:
        capacity: instruments that one connection can hold.
        copies: connections, each of another account, that hold each instrument.
    """

    def __init__(self, *, capacity: int, copies: int = 1) -> None:
        self._capacity = capacity
        self._copies = copies
        self._wanted: dict[str, dict[int, Mode]] = {}
        self._holders: dict[int, tuple[str, ...]] = {}
        self._lent: dict[str, dict[int, str]] = {}  # home → instrument_token → who has it for now

    def __len__(self) -> int:
        return len(self._holders)

    def add_connection(self, name: str) -> Mapping[int, Mode]:
        """Know one more connection; give what it should have, which changes with every call here."""
        return self._wanted.setdefault(name, {})

    def remove_connection(self, name: str) -> dict[int, Mode]:
        """Forget a connection; give what nobody holds any more."""
        orphans = {}
        for token, mode in self._wanted.pop(name).items():
            left = tuple(holder for holder in self._holders[token] if holder != name)
            if left:
                self._holders[token] = left
            else:
                del self._holders[token]
                orphans[token] = mode
        self._lent.pop(name, None)
        for lent in self._lent.values():
            for token in [token for token, borrower in lent.items() if borrower == name]:
                del lent[token]
        return orphans

    def count(self, connection: str) -> int:
        """Count what a connection should have."""
        return len(self._wanted[connection])

    def holders(self, token: int) -> tuple[str, ...]:
        """Give the connections that should have an instrument; empty for one that is not subscribed."""
        return self._holders.get(token, ())

    def free(self, connections: Iterable[str]) -> dict[str, int]:
        """Give the room of each of these connections."""
        return {name: self._capacity - len(self._wanted[name]) for name in connections}

    def distribution(self) -> dict[str, dict[Mode, int]]:
        """Count the instruments of each connection by mode; modes without any are left out."""
        counts: dict[str, dict[Mode, int]] = {}
        for name, wanted in self._wanted.items():
            modes = counts[name] = {}
            for mode in wanted.values():
                modes[mode] = modes.get(mode, 0) + 1
        return counts

    def subscribe(
        self, tokens: Iterable[int], *, mode: Mode, eligible: Collection[str], partial: bool = False
    ) -> SubscribeReport:
        """Want these instruments in this mode; new ones on the eligible connections.

        Raises:
            CapacityError: no room for all of them, and not `partial`; then nothing has changed.
        """
        unique = checked_tokens(tokens)
        new = [token for token in unique if token not in self._holders]
        free = self.free(eligible)
        room = dict(free)
        placed: dict[int, tuple[str, ...]] = {}
        refused = []
        for token in new:
            homes = self._homes(room)
            if not homes:
                refused.append(token)
                continue
            for name in homes:
                room[name] -= 1
            placed[token] = homes
        if refused and not partial:
            raise CapacityError(len(new), len(placed), free)
        for token, homes in placed.items():
            self._holders[token] = homes
            for name in homes:
                self._wanted[name][token] = mode
        known = [token for token in unique if token in self._holders and token not in placed]
        change = self.set_mode(known, mode=mode)
        same = set(known).difference(change.changed)
        return SubscribeReport(
            placed=placed,
            changed=change.changed,
            unchanged=tuple(token for token in known if token in same),
            refused=tuple(refused),
        )

    def unsubscribe(self, tokens: Iterable[int]) -> tuple[ChangeReport, dict[int, tuple[str, ...]]]:
        """Want these no more; give the report, and which connections had each."""
        unique = checked_tokens(tokens)
        gone = {token: self._holders.pop(token) for token in unique if token in self._holders}
        for token, names in gone.items():
            for name in names:
                del self._wanted[name][token]
        for lent in self._lent.values():
            for token in gone:
                lent.pop(token, None)
        ignored = tuple(token for token in unique if token not in gone)
        return ChangeReport(changed=tuple(gone), ignored=ignored), gone

    def set_mode(self, tokens: Iterable[int], *, mode: Mode) -> ChangeReport:
        """Want these in another mode. Those in it already are neither changed nor ignored."""
        changed, ignored = [], []
        for token in checked_tokens(tokens):
            names = self._holders.get(token)
            if names is None:
                ignored.append(token)
            elif any(self._wanted[name][token] is not mode for name in names):
                changed.append(token)
                for name in names:
                    self._wanted[name][token] = mode
        return ChangeReport(changed=tuple(changed), ignored=tuple(ignored))

    def lend(self, source: str, *, eligible: Collection[str]) -> list[Move]:
        """Move as much of what a connection holds as others have room for; they keep it until `give_back`."""
        room = self.free(name for name in eligible if name != source)
        moves: dict[str, list[int]] = {}
        for token in list(self._wanted[source]):
            holders = self._holders[token]
            open_to = {name: left for name, left in room.items() if left > 0 and name not in holders}
            if not open_to:
                continue
            target = max(open_to, key=open_to.__getitem__)
            room[target] -= 1
            self._move(token, source, target)
            self._note_loan(token, source, target)
            moves.setdefault(target, []).append(token)
        return [Move(source=source, target=target, tokens=tuple(moved)) for target, moved in moves.items()]

    def give_back(self, home: str) -> list[Move]:
        """Move what a connection has lent back to it, as far as there is room."""
        left = self._capacity - len(self._wanted[home])
        lent = self._lent.pop(home, {})
        moves: dict[str, list[int]] = {}
        for token, borrower in lent.items():
            if left <= 0:
                break
            self._move(token, borrower, home)
            left -= 1
            moves.setdefault(borrower, []).append(token)
        return [Move(source=source, target=home, tokens=tuple(moved)) for source, moved in moves.items()]

    def has_lent(self, home: str) -> bool:
        """Tell whether others hold instruments of this connection for now."""
        return bool(self._lent.get(home))

    def _note_loan(self, token: int, source: str, target: str) -> None:
        """Remember where an instrument belongs, also when a borrower passes it on."""
        home = next((home for home, lent in self._lent.items() if lent.get(token) == source), source)
        if home == target:
            del self._lent[home][token]
        else:
            self._lent.setdefault(home, {})[token] = target

    def _move(self, token: int, source: str, target: str) -> None:
        self._wanted[target][token] = self._wanted[source].pop(token)
        self._holders[token] = tuple(target if name == source else name for name in self._holders[token])

    def _homes(self, room: Mapping[str, int]) -> tuple[str, ...]:
        """Choose the emptiest connections with room, each of another account; empty for too few."""
        homes: list[str] = []
        accounts: set[str] = set()
        for _ in range(self._copies):
            open_to = [name for name in room if room[name] > 0 and account_of(name) not in accounts]
            if not open_to:
                return ()
            best = max(open_to, key=room.__getitem__)  # the first of those with as much room
            homes.append(best)
            accounts.add(account_of(best))
        return tuple(homes)
