"""Neither secret is in any log record, file, repr or exception of a recording, whatever the log level."""

from __future__ import annotations

import asyncio
import logging
import sys
import traceback
from typing import TYPE_CHECKING

import pytest

from kiterec.errors import AuthError
from kiterec.feed.account import Account, Secret
from kiterec.feed.config import FeedConfig
from kiterec.record import RecordConfig, Recorder
from tests.record.exchange import DEADLINE_S, Exchange, ltp_frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY, TOKEN = "KEYd41d8cd98f00b204", "TOK+e9800998/ecf8427e"
QUOTED = "TOK%2Be9800998%2Fecf8427e"
SECRETS = (KEY, TOKEN, QUOTED)


class Everything(logging.Handler):
    """Keeps every record as text, with its arguments' repr and its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        shown = {name: value for name, value in vars(record).items() if name != "exc_info"}
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.lines.append(f"{record.name} {record.getMessage()} {shown!r} {trace}")


@pytest.fixture
def log() -> Iterator[Everything]:
    """Log all there is to a handler, also from loggers that exist already."""
    handler, root = Everything(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    loggers = [
        logger
        for name, logger in logging.Logger.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name != "tests.record.exchange"
    ]
    levels = [(logger, logger.level) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        for logger, level in levels:
            logger.setLevel(level)
        root.removeHandler(handler)
        root.setLevel(before)


def make(exchange: Exchange, out: Path) -> RecordConfig:
    return RecordConfig(
        accounts=[Account(name="main", api_key=Secret(KEY), access_token=Secret(TOKEN))],
        instruments=["408065"],
        url=exchange.url,
        out=out,
        feed=FeedConfig(backoff_initial_s=0.01, backoff_max_s=0.05),
        plugins=["last_prices"],
    )


def assert_clean(text: str, where: str) -> None:
    for secret in SECRETS:
        assert secret not in text, f"a secret is in {where}"


def test_no_secret_is_in_logs_files_or_reprs_of_a_recording(tmp_path: Path, log: Everything) -> None:
    shown: list[str] = []

    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S), Exchange() as exchange:
            config = make(exchange, tmp_path)
            recorder = Recorder(config)
            stop = asyncio.Event()
            running = asyncio.create_task(recorder.run(stop))
            await exchange.until(lambda: 408065 in exchange.subscribed)
            exchange.send(ltp_frame(408065))
            exchange.subscribed.clear()
            exchange.cut()
            await exchange.until(lambda: 408065 in exchange.subscribed)
            shown.extend(
                map(repr, (config, recorder, vars(recorder), recorder.status(), asyncio.all_tasks()))
            )
            stop.set()
            result = await running
            shown.append(repr(result))
            # The exchange did see them, so this test can fail.
            assert KEY in exchange.paths[0]
            assert QUOTED in exchange.paths[0]

    asyncio.run(run())
    assert any("websockets" in line or "kiterec.feed" in line for line in log.lines)
    assert_clean("\n".join(log.lines), "the log")
    assert_clean("\n".join(shown), "a repr")
    assert_clean(" ".join(sys.argv), "the arguments")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for path in files:
        content = path.read_bytes()
        for secret in SECRETS:
            assert secret.encode() not in content, path
        assert_clean(str(path), "a path")


def test_no_secret_is_in_the_error_of_a_refusal(tmp_path: Path, log: Everything) -> None:
    async def run() -> None:
        async with asyncio.timeout(DEADLINE_S), Exchange(refuse=403) as exchange:
            await Recorder(make(exchange, tmp_path)).run()

    with pytest.raises(AuthError) as caught:
        asyncio.run(run())
    assert_clean("".join(traceback.format_exception(caught.value)), "the traceback")
    assert_clean(f"{caught.value!r} {caught.value} {vars(caught.value)}", "the error")
    assert_clean("\n".join(log.lines), "the log")
