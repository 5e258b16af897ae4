"""Runs every benchmark, one after the other, each in a process of its own: `python -m benchmarks [NAME…]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def names() -> list[str]:
    """Give the benchmarks that there are."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def main(asked: list[str]) -> int:
    """Run the asked benchmarks, all for none; give 1 if one failed, 2 if one is unknown."""
    if unknown := [name for name in asked if name not in names()]:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are {', '.join(names())}\n")
        return 2
    failed = []
    for name in asked or names():
        sys.stdout.write(f"\n== {name}\n")
        sys.stdout.flush()
        # A process each: one may pin itself to a core, and none inherits another's warm memory.
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
