"""Who may connect: credentials, and how many connections an api_key and the recording have room for."""

from __future__ import annotations

import hmac
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs

from kiterec.replay.http_pages import Page, error_page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SESSIONS: Final = 1_000
"""So many logins and logouts are remembered."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Room for one connection, until it is given back.

    Attributes:
        number: counts the admitted connections, from 1.
        seat: index of the recorded connection that it gets; None when not exact.
    """

    number: int
    seat: int | None
    api_key: str = field(repr=False)


class Admission:
    """Lets connections in.

    Args:
        credentials: access_token by api_key; None lets everybody in.
        connections_per_api_key: the limit of each.
        seats: the recorded connections in exact mode, each for one client; None otherwise.
    """

    def __init__(
        self,
        *,
        credentials: Mapping[str, str] | None,
        connections_per_api_key: int,
        seats: Sequence[str] | None,
    ) -> None:
        self._credentials = None if credentials is None else dict(credentials)
        self._limit = connections_per_api_key
        self._seats = seats
        self._taken: set[int] = set()
        self._open: Counter[str] = Counter()
        self._admitted = 0
        self._issued: dict[tuple[str, str], bool] = {}

    def admit(self, query: str) -> Ticket | Page:
        """Give room to a connection that asks with this query, or the page that refuses it.

        In exact mode the lowest free recorded connection is taken; `connection=main-1` in the query
        asks for one.
        """
        values = {name: value[-1] for name, value in parse_qs(query).items()}
        api_key = values.get("api_key", "")
        if not self._known(api_key, values.get("access_token", "")):
            return refusal_page(HTTPStatus.FORBIDDEN)
        if api_key and self._open[api_key] >= self._limit:
            return _too_many(f"At most {self._limit} connections per api_key.")
        seat = None
        if self._seats is not None:
            seat = self._free_seat(self._seats, values.get("connection"))
            if seat is None:
                return _too_many("Every recorded connection has its client.")
            self._taken.add(seat)
        self._open[api_key] += 1
        self._admitted += 1
        return Ticket(self._admitted, seat, api_key)

    def knows(self, query: str) -> bool:
        """Tell whether the credentials of a query are good."""
        values = {name: value[-1] for name, value in parse_qs(query).items()}
        return self._known(values.get("api_key", ""), values.get("access_token", ""))

    def good(self, api_key: str, access_token: str) -> bool:
        """Tell whether these credentials are good."""
        return self._known(api_key, access_token)

    def has_api_key(self, api_key: str) -> bool:
        """Tell whether an api_key may log in."""
        return self._credentials is None or api_key in self._credentials

    def issue(self, api_key: str, access_token: str) -> None:
        """Let another access_token in too, as after a login."""
        self._remember(api_key, access_token, good=True)

    def revoke(self, api_key: str, access_token: str) -> None:
        """Let an access_token in no more; open connections stay, as with Kite."""
        self._remember(api_key, access_token, good=False)

    def release(self, ticket: Ticket) -> None:
        """Take the room of an ended connection back."""
        self._open[ticket.api_key] -= 1
        if not self._open[ticket.api_key]:
            del self._open[ticket.api_key]
        if ticket.seat is not None:
            self._taken.discard(ticket.seat)

    def _remember(self, api_key: str, access_token: str, *, good: bool) -> None:
        self._issued.pop((api_key, access_token), None)
        self._issued[api_key, access_token] = good
        if len(self._issued) > _SESSIONS:
            del self._issued[next(iter(self._issued))]

    def _known(self, api_key: str, access_token: str) -> bool:
        if (issued := self._issued.get((api_key, access_token))) is not None:
            return issued
        if self._credentials is None:
            return True
        expected = self._credentials.get(api_key)
        # The comparison takes place for an unknown api_key too, and takes as long.
        same = hmac.compare_digest((expected or "\0").encode(), access_token.encode())
        return same and expected is not None

    def _free_seat(self, seats: Sequence[str], wanted: str | None) -> int | None:
        free = [seat for seat in range(len(seats)) if seat not in self._taken]
        if wanted is not None and wanted in seats:
            free = [seat for seat in free if seats[seat] == wanted]
        return free[0] if free else None


def refusal_page(status: int) -> Page:
    """Give the page that refuses a connection with a status, in the vendor's words where they are known."""
    found = HTTPStatus(status)
    match found:
        case HTTPStatus.FORBIDDEN:
            return error_page(found, "Incorrect `api_key` or `access_token`.", error_type="TokenException")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return error_page(found, "Too many connections.", error_type="NetworkException")
    return error_page(found, f"{found.phrase}.", error_type="GeneralException")


def _too_many(message: str) -> Page:
    return error_page(HTTPStatus.TOO_MANY_REQUESTS, message, error_type="NetworkException")
