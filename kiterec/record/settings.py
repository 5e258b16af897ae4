"""kiterec.toml: accounts and the options of plugins, checked key by key without ever showing a value."""

from __future__ import annotations

import logging
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kiterec.errors import SetupError
from kiterec.record.accounts import environment_account, file_accounts, placeholder_account, warn_if_readable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiterec.feed.account import Account

logger = logging.getLogger(__name__)

SETTINGS_FILE: Final = Path("kiterec.toml")
_TABLES: Final = ("account", "plugin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is set outside of the command line.

    Attributes:
        accounts: in the order of the file.
        plugin_options: keyword arguments of each plugin, by its name.
        source: where the accounts come from, in words.
    """

    accounts: tuple[Account, ...] = ()
    plugin_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    source: str = "nowhere"


def read_settings(*, url: str, environ: Mapping[str, str], path: Path | None = None) -> Settings:
    """Find the accounts and the options of plugins.

    The accounts of the file are used if it has any, else the one of KITE_API_KEY and KITE_ACCESS_TOKEN. A
    server other than Kite needs none: it gets a placeholder.

    Args:
        url: of the WebSocket server.
        environ: the environment variables.
        path: of the settings; None looks for kiterec.toml in the working folder, which need not be there.

    Raises:
        SetupError: the file is missing or wrong, or Kite needs an account and there is none.
    """
    tables = _read(path or SETTINGS_FILE, must_exist=path is not None)
    where = str(path or SETTINGS_FILE)
    options = _plugin_options(tables.get("plugin", {}), where=where)
    accounts = file_accounts(tables.get("account", []), where=where, environ=environ)
    source = where
    if accounts:
        if _has_secrets(tables["account"]):
            warn_if_readable(Path(where))
    else:
        from_environment = environment_account(environ)
        accounts = (from_environment or placeholder_account(url),)
        source = "the environment" if from_environment else "a placeholder"
    return Settings(accounts=accounts, plugin_options=options, source=source)


def _read(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        if must_exist:
            raise SetupError(f"settings file {path} does not exist") from None
        return {}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SetupError(f"settings file {path} cannot be read: {reason}") from None
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SetupError(f"settings file {path} is no TOML: {error}") from None
    for name in tables:
        if name not in _TABLES:
            raise SetupError(f"settings file {path} has {name!r}, expected [[account]] and [plugin.NAME]")
    return tables


def _plugin_options(found: Any, *, where: str) -> dict[str, dict[str, Any]]:
    if not isinstance(found, dict) or not all(isinstance(options, dict) for options in found.values()):
        raise SetupError(f"settings file {where}: expected the options of a plugin as [plugin.NAME]")
    return found


def _has_secrets(accounts: list[dict[str, Any]]) -> bool:
    return any("api_key" in account or "access_token" in account for account in accounts)
