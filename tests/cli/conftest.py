"""A synthetic exchange to talk to, and a way to run a command in this process."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def exchange() -> Iterator[str]:
    """Give the URL of a synthetic exchange that accepts any credentials."""
    with running("simulate", "--port", "0", "--instruments", "60", "--seed", "4") as server:
        yield server.wait_for(r"ws://127\.0\.0\.1:\d+")[0]


@pytest.fixture
def run(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Give a function that runs a command in this process; it gives exit code, stdout and stderr."""
    from kiterec.cli import main

    logger = logging.getLogger("kiterec")
    before = (logger.handlers[:], logger.level, logger.propagate)
    for name in ("KITE_API_KEY", "KITE_ACCESS_TOKEN", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def command(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        code = ended.value.code
        return (0 if code is None else int(code), *capfd.readouterr())

    yield command
    logger.handlers[:], logger.level, logger.propagate = before
