"""`python -m tests.fuzz [--seconds S] [--seed N] [TARGET …]`: every reader against bytes that nobody wrote.

Each target runs in a process of its own, under hypothesis and, where it is installed, under atheris; the
time is shared between them. A crash, a hang, an exception that the contract does not name, or more than 200
MB of memory ends with exit code 1, the seed, and the file that holds the input.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.artifact import read_artifact

NAMES = ("journal", "part", "manifest", "frames")
GRACE_S = 120
"""Loading, and a machine that is busy."""


def run(name: str, engine: str, *, seconds: float, seed: int) -> str | None:
    """Run one target and give what went wrong; None: nothing."""
    place = Path(tempfile.mkdtemp(prefix="kiterec-fuzz-"))
    artifact = place / "input"
    words = [sys.executable, "-m", "tests.fuzz.child", name, engine, str(seconds), str(seed), str(artifact)]
    environment = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds + GRACE_S, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it hangs; the input is {keep(artifact, name)}"
    if done.returncode:
        said = "\n".join([*done.stdout.splitlines()[-25:], *done.stderr.splitlines()[-8:]])
        return f"exit {done.returncode}; the input is {keep(artifact, name)}\n{said}"
    inputs, grown, _ = read_artifact(artifact)
    print(f"{name:<9} {engine:<10} {inputs:>10,} inputs {grown >> 20:>4} MB", flush=True)
    shutil.rmtree(place)
    return None


def keep(artifact: Path, name: str) -> Path:
    """Keep the input that was being tried."""
    kept = artifact.with_name(f"{name}.bin")
    kept.write_bytes(read_artifact(artifact).data)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *NAMES], default=[], metavar="TARGET")
    parser.add_argument("--seconds", type=float, default=600, help="for all targets together")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--engine", choices=["hypothesis", "atheris"], default=None, help="only this one")
    chosen = parser.parse_args()
    seed = random.randrange(1, 1 << 31) if chosen.seed is None else chosen.seed
    engines = [chosen.engine] if chosen.engine else ["hypothesis"]
    if chosen.engine is None and importlib.util.find_spec("atheris") is not None:
        engines.append("atheris")
    print(f"seed {seed}, {', '.join(engines)}", flush=True)
    names = chosen.targets or list(NAMES)
    seconds = chosen.seconds / len(names) / len(engines)
    failed = 0
    for name in names:
        for engine in engines:
            problem = run(name, engine, seconds=seconds, seed=seed)
            if problem is not None:
                failed += 1
                print(f"{name} under {engine} with seed {seed}: {problem}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
