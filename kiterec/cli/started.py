"""How kiterec was started, so that the commands which it proposes work when they are pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def command(*words: str | Path) -> str:
    """Give a command line that starts kiterec as it was started now, quoted for a shell."""
    return " ".join([_program(), *(shlex.quote(str(word)) for word in words)])


def _program() -> str:
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return f"{_shortest(Path(sys.executable))} -m kiterec"
    on_path = shutil.which("kiterec")
    if on_path is not None and started.exists() and Path(on_path).samefile(started):
        return "kiterec"
    return _shortest(started)


def _shortest(program: Path) -> str:
    """Give the path from here when it is below here, else the whole one; not resolved, for a venv's sake."""
    whole = Path(os.path.abspath(program))  # noqa: PTH100 (resolve() would follow the venv's link to Python)
    here = Path.cwd()
    short = whole.relative_to(here) if whole.is_relative_to(here) else whole
    return shlex.quote(str(short))
