"""Configs, accounts and waits: what is impossible is refused before anything starts."""

from __future__ import annotations

import asyncio
import copy
import pickle
import random
import sys
from typing import Any

import pytest

from kiterec.errors import FeedError, SetupError
from kiterec.feed.account import Account, Credentials, Secret, TokenCommand
from kiterec.feed.backoff import Backoff
from kiterec.feed.config import FeedConfig
from kiterec.feed.manager import TickerManager
from kiterec.wire.packets import Mode
from tests.feed.exchange import account, run


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "https://ws.kite.trade"),
        ("url", "ws://"),
        ("url", "ws://host:notaport"),
        ("url", "ws://host/?api_key=S3CRET"),
        ("url", "ws://user:S3CRET@host"),
        ("max_connections", 0),
        ("max_instruments_per_connection", 0),
        ("max_instruments_per_connection", 2.5),
        ("connect_timeout_s", 0),
        ("silence_limit_s", -1),
        ("silence_limit_s", float("nan")),
        ("health_interval_s", 0),
        ("backoff_initial_s", 0),
        ("backoff_max_s", 0.5),
        ("max_attempts", 0),
        ("default_mode", "depth"),
        ("subscribe_chunk", 0),
        ("subscribe_interval_s", -0.1),
        ("max_frame_bytes", 1000),
        ("failover_after_s", 0),
        ("copies", 0),
        ("proxy", "S3CRET@somewhere"),
    ],
)
def test_an_impossible_value_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(SetupError) as caught:
        FeedConfig(**{field: value})
    assert field.removesuffix("_s") in str(caught.value)
    assert "expected" in str(caught.value) or "give" in str(caught.value)
    assert "S3CRET" not in str(caught.value)


def test_the_presets_are_valid_and_can_be_changed() -> None:
    assert FeedConfig.development().max_attempts == 5
    assert FeedConfig.production().max_attempts is None
    assert FeedConfig.production(copies=2, failover_after_s=None).copies == 2
    with pytest.raises(SetupError):
        FeedConfig.development(silence_limit_s=0)


def test_a_mode_may_be_a_word_and_the_proxy_is_never_shown() -> None:
    config = FeedConfig(default_mode="full", proxy="http://me:S3CRET@proxy:3128")  # type: ignore[arg-type]
    assert config.default_mode is Mode.FULL
    assert "S3CRET" not in repr(config)


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret("S3CRET")
    shown = f"{secret} {secret!r} {secret!s:>30} {[secret]} {account(token=secret)}"
    assert "S3CRET" not in shown
    assert secret.reveal() == "S3CRET"
    assert secret == Secret("S3CRET") != Secret("other")
    assert secret != "S3CRET"
    for escape in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            escape(secret)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "-a", "a b", "x" * 65])
def test_a_name_that_cannot_be_a_folder_is_refused(name: str) -> None:
    with pytest.raises(SetupError, match="account name"):
        account(name)


def test_an_empty_or_strange_secret_is_refused() -> None:
    with pytest.raises(SetupError, match="access_token is empty"):
        account(token="")
    with pytest.raises(SetupError, match="api_key is empty"):
        Account(name="main", api_key=Secret(""), access_token=Secret("t"))
    with pytest.raises(TypeError, match="access_token"):
        account(token=5)


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        ([], "0 accounts"),
        ([account("a"), account("a", key="x")], "two accounts are called a"),
        ([account("a", key="x"), account("b", key="x")], "a and b have the same api_key"),
    ],
)
def test_accounts_that_cannot_be_together_are_refused(accounts: list[Account], words: str) -> None:
    with pytest.raises(SetupError, match=words):
        TickerManager(accounts)


def test_more_copies_than_accounts_are_refused() -> None:
    with pytest.raises(SetupError, match="1 accounts for 2 copies"):
        TickerManager([account()], FeedConfig(copies=2))


def test_a_command_prints_the_token() -> None:
    command = TokenCommand((sys.executable, "-c", "print('S3CRET'); print('more')"))
    assert run(Credentials(account(token=command)).token()) == Secret("S3CRET")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "is empty"),
        (("/no/such/program",), "cannot be run"),
        ((sys.executable, "-c", "print('S3CRET'); raise SystemExit(3)"), "exit code 3"),
        ((sys.executable, "-c", "pass"), "printed nothing"),
    ],
)
def test_a_command_that_fails_says_how_without_its_output(words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(FeedError, match=sentence) as caught:
        run(Credentials(account(token=TokenCommand(words))).token())
    assert "S3CRET" not in str(caught.value)


def test_a_command_that_hangs_is_ended() -> None:
    command = TokenCommand((sys.executable, "-c", "import time; time.sleep(600)"), timeout_s=0.2)
    with pytest.raises(FeedError, match=r"within 0\.2 s"):
        run(Credentials(account(token=command)).token())


def test_a_source_that_fails_does_not_show_its_words() -> None:
    def source() -> str:
        raise RuntimeError("S3CRET")

    async def late() -> str:
        await asyncio.sleep(0)
        return "fresh"

    with pytest.raises(FeedError, match="RuntimeError") as caught:
        run(Credentials(account(token=source)).token())
    assert "S3CRET" not in str(caught.value)
    assert run(Credentials(account(token=late)).token()) == Secret("fresh")


def test_waits_are_bounded_and_differ_between_connections() -> None:
    seeds = range(200)
    waits = [Backoff(initial_s=1, max_s=60, rng=random.Random(seed)).next_s() for seed in seeds]
    assert all(0.5 <= wait <= 1 for wait in waits)
    assert len(set(waits)) > 150
    backoff = Backoff(initial_s=1, max_s=60, rng=random.Random(1))
    assert all(backoff.next_s() <= 60 for _ in range(5000))
    backoff.reset()
    assert backoff.next_s() <= 1


def test_the_words_of_a_token_command_do_not_show() -> None:
    assert "S3CRET" not in repr(TokenCommand(("echo", "S3CRET")))
