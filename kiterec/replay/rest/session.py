"""`/session/token` and `/user/profile`: a login that needs no secrets, in the vendor's shapes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from kiterec.replay.rest.quotes import wall_time

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_CHECKSUM_LENGTH: Final = 64

_PROFILE: Final[Mapping[str, Any]] = {
    "user_id": "AB1234",
    "user_type": "individual",
    "email": "replay@example.invalid",
    "user_name": "Replay",
    "user_shortname": "Replay",
    "broker": "ZERODHA",
    "exchanges": ["NSE", "NFO", "BFO", "CDS", "BSE", "MCX", "BCD", "MF"],
    "products": ["CNC", "NRML", "MIS", "BO", "CO"],
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "avatar_url": None,
    "meta": {"demat_consent": "physical"},
}


def profile() -> dict[str, Any]:
    """Give the user whom everybody is in a replay.

    Source:
        https://kite.trade/docs/connect/v3/user/#user-profile
    """
    return dict(_PROFILE)


def is_checksum(text: str) -> bool:
    """Tell whether a text can be a checksum; whether it is right cannot be known without the api_secret."""
    return len(text) == _CHECKSUM_LENGTH and all(digit in "0123456789abcdef" for digit in text)


def new_session(api_key: str, request_token: str, *, now: datetime | None) -> dict[str, Any]:
    """Give the answer to a login.

    Args:
        api_key: whose.
        request_token: what the login page gave.
        now: the replay's instant.

    Returns:
        The session; its access_token is made of the two, the same each time, and is nobody's real one.

    Source:
        https://kite.trade/docs/connect/v3/user/#authentication-and-token-exchange
    """
    made = hashlib.sha256(f"{api_key}/{request_token}".encode()).hexdigest()[:32]
    return {
        **_PROFILE,
        "api_key": api_key,
        "access_token": made,
        "public_token": made[::-1],
        "enctoken": "",
        "refresh_token": "",
        "silo": "",
        "login_time": wall_time(now) or "",
    }
