"""Why a connect failed, and the plain sentence that a trader can act on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus


class FailureKind(StrEnum):
    """What to do about a failed connect depends on this alone."""

    CREDENTIALS = "credentials"  # 403: the same access token never helps
    SAME_CREDENTIALS = "same_credentials"  # not even tried: this access token was refused before
    TOO_MANY = "too_many"  # 429
    BAD_REQUEST = "bad_request"  # 400
    NETWORK = "network"  # everything that may be better soon


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A connect that failed.

    Attributes:
        kind: decides what happens next.
        reason: one plain sentence without secrets.
        status: HTTP status of the server's answer; None when there was none.
    """

    kind: FailureKind
    reason: str
    status: int | None = None


def of_status(status: int) -> Failure:
    """Describe the answer to an upgrade that is not 101.

    Source:
        https://kite.trade/docs/connect/v3/exceptions/, and the vendor's forum for 403 and 429 at the upgrade.
    """
    if status == HTTPStatus.FORBIDDEN:
        return Failure(
            kind=FailureKind.CREDENTIALS,
            status=status,
            reason="the server refused the access token (403): it is wrong or expired (each ends at 06:00), "
            "or the app has no market data; log in again and give the new access token",
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Failure(
            kind=FailureKind.TOO_MANY,
            status=status,
            reason="the api_key has too many connections (429): 3 are allowed at a time; "
            "stop another program that uses it, or ask for fewer connections",
        )
    if status == HTTPStatus.BAD_REQUEST:
        return Failure(
            kind=FailureKind.BAD_REQUEST,
            status=status,
            reason="the server did not understand the request (400): check api_key and access token for "
            "characters that do not belong there",
        )
    return Failure(
        kind=FailureKind.NETWORK,
        status=status,
        reason=f"the server answered the connect with HTTP {status}, expected 101",
    )


def of_network(reason: str) -> Failure:
    """Describe a fault between us and the server."""
    return Failure(kind=FailureKind.NETWORK, reason=reason)
