from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from kiterec.errors import FeedError, SetupError
from kiterec.feed.account import Account, Secret, TokenCommand
from kiterec.feed.config import KITE_URL
from kiterec.record.accounts import TokenFile, environment_account, file_accounts, placeholder_account
from kiterec.record.settings import Settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

LOCAL = "ws://127.0.0.1:1"
KEY, TOKEN = "KEYKEYKEY", "TOKTOKTOK"
BOTH = {"KITE_API_KEY": KEY, "KITE_ACCESS_TOKEN": TOKEN}


def settings(
    tmp_path: Path, text: str, *, environ: dict[str, str] | None = None, url: str = LOCAL
) -> Settings:
    path = tmp_path / "kiterec.toml"
    path.write_text(text)
    path.chmod(0o600)
    return read_settings(url=url, environ=environ or {}, path=path)


def access_token(account: Account) -> str:
    """Ask the account as a connect does."""
    found: Any = account.access_token
    if not isinstance(found, Secret):
        found = found()
    if not isinstance(found, Secret):
        found = asyncio.run(found)
    return str(found.reveal())


def test_the_environment_gives_an_account() -> None:
    account = environment_account(BOTH)
    assert account is not None
    assert (account.name, account.api_key.reveal(), access_token(account)) == ("main", KEY, TOKEN)


def test_an_empty_environment_gives_none() -> None:
    assert environment_account({"KITE_API_KEY": ""}) is None


@pytest.mark.parametrize("missing", ["KITE_API_KEY", "KITE_ACCESS_TOKEN"])
def test_half_an_environment_is_refused_with_what_is_missing(missing: str) -> None:
    environ = {name: value for name, value in BOTH.items() if name != missing}
    with pytest.raises(SetupError, match=f"is set, {missing} is not; set both"):
        environment_account(environ)


def test_kite_itself_needs_an_account_and_other_servers_do_not() -> None:
    with pytest.raises(
        SetupError, match=r"no account for ws.kite.trade: KITE_API_KEY and KITE_ACCESS_TOKEN are not set"
    ):
        placeholder_account(KITE_URL)
    assert placeholder_account(LOCAL).name == "main"
    assert placeholder_account("wss://notkite.trade").name == "main"


def test_the_file_gives_accounts_in_each_way(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "token").chmod(0o600)
    text = f"""
        [[account]]
        name = "plain"
        api_key = "k1"
        access_token = "t1"
        [[account]]
        name = "variables"
        api_key_env = "SECOND_KEY"
        access_token_env = "SECOND_TOKEN"
        [[account]]
        name = "file"
        api_key = "k3"
        access_token_file = "{tmp_path}/token"
        [[account]]
        name = "command"
        api_key = "k4"
        access_token_command = "printf '%s' 'from a command'"
        [[account]]
        name = "words"
        api_key = "k5"
        access_token_command = ["printf", "from words"]
    """
    accounts = settings(tmp_path, text, environ={"SECOND_KEY": "k2", "SECOND_TOKEN": "t2"}).accounts
    assert [(a.name, a.api_key.reveal(), access_token(a)) for a in accounts] == [
        ("plain", "k1", "t1"),
        ("variables", "k2", "t2"),
        ("file", "k3", TOKEN),
        ("command", "k4", "from a command"),
        ("words", "k5", "from words"),
    ]
    assert isinstance(accounts[3].access_token, TokenCommand)


def test_accounts_without_a_name_get_one(tmp_path: Path) -> None:
    one = '[[account]]\napi_key="a"\naccess_token="b"\n'
    assert [a.name for a in settings(tmp_path, one * 2).accounts] == ["main", "account2"]


def test_the_accounts_of_the_file_win_over_the_environment(tmp_path: Path) -> None:
    found = settings(tmp_path, '[[account]]\napi_key="a"\naccess_token="b"\n', environ=BOTH)
    assert found.accounts[0].api_key.reveal() == "a"
    assert found.source.endswith("kiterec.toml")
    found = settings(tmp_path, "[plugin.last_prices]\ninterval_s = 5\n", environ=BOTH)
    assert found.accounts[0].api_key.reveal() == KEY
    assert found.source == "the environment"
    assert found.plugin_options == {"last_prices": {"interval_s": 5}}


def test_no_file_is_needed_unless_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_settings(url=LOCAL, environ={}).source == "a placeholder"
    with pytest.raises(SetupError, match=r"settings file .*nowhere\.toml does not exist"):
        read_settings(url=LOCAL, environ={}, path=tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[account", "is no TOML"),
        ("[acount]\n", r"has 'acount', expected \[\[account\]\] and \[plugin.NAME\]"),
        ("[account]\napi_key='SECRET'\n", r"expected accounts as \[\[account\]\], with two brackets"),
        (
            "[[account]]\nkey='SECRET'\n",
            "account 'main': 'key' is no key of an account, expected name, api_key",
        ),
        ("[[account]]\napi_key=5\n", "account 'main': api_key is no text"),
        ("[[account]]\naccess_token='SECRET'\n", "'main' has none of api_key, api_key_env; give exactly one"),
        (
            "[[account]]\napi_key='SECRET'\naccess_token='SECRET'\naccess_token_file='x'\n",
            "has access_token and access_token_file of",
        ),
        (
            "[[account]]\napi_key_env='GONE'\naccess_token='SECRET'\n",
            "the environment variable GONE is not set",
        ),
        ("[[account]]\napi_key='SECRET'\naccess_token=''\n", "account main: the access_token is empty"),
        (
            "[[account]]\nname='a b'\napi_key='SECRET'\naccess_token='SECRET'\n",
            "account name 'a b' cannot be used",
        ),
        ("[[account]]\nname='x'\napi_key='a'\naccess_token='b'\n" * 2, "two accounts are called 'x'"),
        ("[plugin]\nlast_prices = 5\n", r"expected the options of a plugin as \[plugin.NAME\]"),
    ],
)
def test_a_wrong_settings_file_is_told_by_place_and_key_but_never_by_value(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(SetupError, match=sentence) as caught:
        settings(tmp_path, text)
    assert "SECRET" not in str(caught.value)


def test_a_settings_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SetupError, match="cannot be read: it is not UTF-8"):
        read_settings(url=LOCAL, environ={}, path=tmp_path / "x.toml")


def test_a_file_with_secrets_that_everyone_can_read_gets_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kiterec.toml"
    path.write_text(f'[[account]]\napi_key="{KEY}"\naccess_token="{TOKEN}"\n')
    path.chmod(0o644)
    read_settings(url=LOCAL, environ={}, path=path)
    assert "can be read by everyone on this host, use chmod 600" in caplog.text
    caplog.clear()
    path.chmod(0o600)
    read_settings(url=LOCAL, environ={}, path=path)
    path.write_text('[[account]]\napi_key_env="KITE_API_KEY"\naccess_token_env="KITE_ACCESS_TOKEN"\n')
    path.chmod(0o644)
    read_settings(url=LOCAL, environ=BOTH, path=path)
    assert caplog.text == ""


def test_a_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    source = TokenFile(path)
    with pytest.raises(FeedError, match="cannot be read: No such file"):
        source()
    path.write_text("one\n")
    assert source().reveal() == "one"
    path.write_text("two\nsecond line\n")
    assert source().reveal() == "two"
    path.write_text("\n")
    with pytest.raises(FeedError, match="is empty"):
        source()


@pytest.mark.parametrize(("text", "sentence"), [(None, "cannot be read: No such file"), ("", "is empty")])
def test_a_token_file_without_a_token_is_refused_before_anything_starts(
    tmp_path: Path, text: str | None, sentence: str
) -> None:
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SetupError, match=f"account 'main': the access token file {path} {sentence}"):
        settings(tmp_path, f'[[account]]\napi_key="a"\naccess_token_file="{path}"\n')


def test_no_secret_is_in_the_repr_of_accounts_and_settings(tmp_path: Path) -> None:
    text = f'[[account]]\napi_key="{KEY}"\naccess_token="{TOKEN}"\n'
    caplogless = [
        settings(tmp_path, text),
        environment_account(BOTH),
        *file_accounts([], where="x", environ={}),
    ]
    shown = f"{caplogless!r} {caplogless} {logging.Formatter().format(_record(caplogless))}"
    assert KEY not in shown
    assert TOKEN not in shown


def _record(thing: object) -> logging.LogRecord:
    return logging.LogRecord("x", logging.INFO, "x", 1, "%s", (thing,), None)
