"""The commands that kiterec proposes start the same kiterec."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

from kiterec.cli.started import command

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a `.venv/bin/kiterec` below the working folder, which is not on PATH."""
    found = tmp_path / ".venv" / "bin" / "kiterec"
    found.parent.mkdir(parents=True)
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr(sys, "argv", [".venv/bin/kiterec"])
    return found


def test_a_script_that_is_not_on_path_is_named_by_its_path_from_here(script: Path) -> None:
    assert command("info", "x") == ".venv/bin/kiterec info x"


def test_a_script_that_is_on_path_is_named_alone(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(script.parent))
    assert command("info") == "kiterec info"


def test_another_kiterec_on_path_is_not_taken_for_this_one(
    script: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other" / "kiterec"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert command("info") == ".venv/bin/kiterec info"


def test_a_module_is_started_with_the_same_python(
    script: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/kiterec/__main__.py"])
    monkeypatch.setattr(sys, "executable", str(tmp_path / ".venv" / "bin" / "python"))
    assert command("info") == ".venv/bin/python -m kiterec info"


def test_words_are_quoted_for_a_shell(script: Path, tmp_path: Path) -> None:
    words = ["ticks", tmp_path / "a demo's folder", "--instruments", "NFO:NIFTY*"]
    assert shlex.split(command(*words))[1:] == [str(word) for word in words]
