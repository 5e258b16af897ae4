"""Accounts for a recording: from a table of the settings file, the environment, or a placeholder."""

from __future__ import annotations

import logging
import os
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from kiterec.errors import FeedError, SetupError
from kiterec.feed.account import Account, Secret, TokenCommand

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiterec.feed.account import TokenSource

logger = logging.getLogger(__name__)

API_KEY_VARIABLE: Final = "KITE_API_KEY"
ACCESS_TOKEN_VARIABLE: Final = "KITE_ACCESS_TOKEN"  # noqa: S105 -- the name of a variable
DEFAULT_NAME: Final = "main"

_API_KEY_WAYS: Final = ("api_key", "api_key_env")
_ACCESS_TOKEN_WAYS: Final = (
    "access_token",
    "access_token_env",
    "access_token_file",
    "access_token_command",
)
_KEYS: Final = ("name", *_API_KEY_WAYS, *_ACCESS_TOKEN_WAYS)


@dataclass(frozen=True, slots=True)
class TokenFile:
    """A file whose first line is the access token; read at each connect, so a new token needs no restart."""

    path: Path

    def __call__(self) -> Secret:
        """Read the file.

        Raises:
            FeedError: it cannot be read or is empty.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise FeedError(f"the access token file {self.path} cannot be read: {reason}") from None
        token = text.strip().partition("\n")[0].strip()
        if not token:
            raise FeedError(f"the access token file {self.path} is empty")
        return Secret(token)


def environment_account(environ: Mapping[str, str]) -> Account | None:
    """Give the account of KITE_API_KEY and KITE_ACCESS_TOKEN; None when neither is set.

    Raises:
        SetupError: only one of them is set.
    """
    found = {name: environ.get(name, "") for name in (API_KEY_VARIABLE, ACCESS_TOKEN_VARIABLE)}
    missing = [name for name, value in found.items() if not value]
    if len(missing) == len(found):
        return None
    if missing:
        (other,) = set(found) - set(missing)
        raise SetupError(f"{other} is set, {missing[0]} is not; set both")
    return Account(
        name=DEFAULT_NAME,
        api_key=Secret(found[API_KEY_VARIABLE]),
        access_token=Secret(found[ACCESS_TOKEN_VARIABLE]),
    )


def placeholder_account(url: str) -> Account:
    """Give an account for a server that asks for none, such as a replay.

    Raises:
        SetupError: the server is Kite, which asks for one.
    """
    host = urlsplit(url).hostname or ""
    if host == "kite.trade" or host.endswith(".kite.trade"):
        raise SetupError(
            f"no account for {host}: {API_KEY_VARIABLE} and {ACCESS_TOKEN_VARIABLE} are not set; set both, "
            "or write an [[account]] with api_key and access_token into kiterec.toml"
        )
    return Account(name=DEFAULT_NAME, api_key=Secret("none"), access_token=Secret("none"))


def file_accounts(tables: Any, *, where: str, environ: Mapping[str, str]) -> tuple[Account, ...]:
    """Give the accounts of the [[account]] tables of a settings file.

    Raises:
        SetupError: a table is wrong; the sentence names the account and the key, never a value.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SetupError(f"settings file {where}: expected accounts as [[account]], with two brackets")
    accounts = tuple(
        _account(table, number=number, where=where, environ=environ) for number, table in enumerate(tables)
    )
    names = [account.name for account in accounts]
    for name in names:
        if names.count(name) > 1:
            raise SetupError(
                f"settings file {where}: two accounts are called {name!r}; give each its own name"
            )
    return accounts


def warn_if_readable(path: Path) -> None:
    """Log a warning when everyone on this host can read a file that holds secrets."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if os.name == "posix" and mode & stat.S_IROTH:
        logger.warning("secrets can be read by everyone on this host, use chmod 600: file=%s", path)


def _account(table: dict[str, Any], *, number: int, where: str, environ: Mapping[str, str]) -> Account:
    name = table.get("name", DEFAULT_NAME if number == 0 else f"account{number + 1}")
    place = f"settings file {where}, account {name!r}"
    for key, value in table.items():
        if key not in _KEYS:
            raise SetupError(f"{place}: {key!r} is no key of an account, expected {', '.join(_KEYS)}")
        if not isinstance(value, str) and not (key == "access_token_command" and _is_words(value)):
            raise SetupError(f"{place}: {key} is no text")
    way = _only_way(table, _API_KEY_WAYS, place=place)
    api_key = _variable(table[way], environ, place=place) if way == "api_key_env" else Secret(table[way])
    return Account(name=name, api_key=api_key, access_token=_access_token(table, environ, place=place))


def _access_token(table: dict[str, Any], environ: Mapping[str, str], *, place: str) -> Secret | TokenSource:
    way = _only_way(table, _ACCESS_TOKEN_WAYS, place=place)
    value = table[way]
    if way == "access_token_command":
        return TokenCommand(tuple(shlex.split(value) if isinstance(value, str) else value))
    if way == "access_token_file":
        path = Path(value).expanduser()
        warn_if_readable(path)
        source = TokenFile(path)
        try:
            source()
        except FeedError as error:
            raise SetupError(f"{place}: {error}") from None
        return source
    return _variable(value, environ, place=place) if way == "access_token_env" else Secret(value)


def _only_way(table: dict[str, Any], ways: tuple[str, ...], *, place: str) -> str:
    found = [way for way in ways if way in table]
    if len(found) != 1:
        has = " and ".join(found) or "none"
        raise SetupError(f"{place} has {has} of {', '.join(ways)}; give exactly one")
    return found[0]


def _variable(name: str, environ: Mapping[str, str], *, place: str) -> Secret:
    if not environ.get(name):
        raise SetupError(f"{place}: the environment variable {name} is not set")
    return Secret(environ[name])


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(word, str) for word in value)
