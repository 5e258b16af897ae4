"""A synthetic exchange to talk to, a demo and its recording, and a way to run a command in this process."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import pytest

from tests.cli.commands import kiterec, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def exchange() -> Iterator[str]:
    """Give the URL of a synthetic exchange that accepts any credentials."""
    with running("simulate", "--port", "0", "--instruments", "60", "--seed", "4") as server:
        yield server.wait_for(r"ws://127\.0\.0\.1:\d+")[0]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder whose name has to be quoted in a shell."""
    return tmp_path_factory.mktemp("a demo's folder")


@pytest.fixture(scope="session")
def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """Give a demo of three seconds that was run in the folder."""
    done = kiterec("demo", "--duration", "3s", "--seed", "5", "--out", folder / "recordings", cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="session")
def recording(demo: subprocess.CompletedProcess[str], folder: Path) -> Path:
    return folder / re.search(r"recorded (.*)", demo.stdout)[1]


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
