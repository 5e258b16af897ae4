"""Machine code is used where it is worth it, and never that of another loop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kiterec import compiled

needs_numba = pytest.mark.skipif(not compiled.available(), reason='needs numba: pip install "kiterec[fast]"')

LOOPS = """
from kiterec.compiled import compiled
from {constants} import FACTOR

@compiled()
def times(number):
    return number * FACTOR

@compiled("i8")
def twice(number):
    return times(times(number))
"""


CONSTANT = "FACTOR = {factor}\n"
INTRINSIC = """
from numba import types
from numba.extending import intrinsic

@intrinsic
def factor(_):
    def emit(context, *_):
        return context.get_constant(types.int64, {factor})

    return types.int64(), emit
"""


@needs_numba
@pytest.mark.parametrize(("said", "used"), [(CONSTANT, "FACTOR"), (INTRINSIC, "factor")])
def test_kept_machine_code_of_another_constant_is_not_used(tmp_path: Path, said: str, used: str) -> None:
    loops = LOOPS.format(constants="numbers_of_loops").replace("import FACTOR", f"import {used}")
    called = used if said is CONSTANT else f"{used}()"
    (tmp_path / "some_loops.py").write_text(loops.replace("* FACTOR", f"* {called}"))
    results = []
    for factor in (3, 5, 3):
        (tmp_path / "numbers_of_loops.py").write_text(said.format(factor=factor))
        code = "import some_loops; print(some_loops.twice(1))"
        done = subprocess.run(
            [sys.executable, "-B", "-c", code],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            timeout=120,
            check=True,
        )
        results.append(int(done.stdout))
    assert results == [9, 25, 9]
    assert len(list(tmp_path.rglob("some_loops.twice_*.nbi"))) == 2, "each is kept"


@needs_numba
def test_an_array_that_cannot_be_written_to_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def total(numbers: Any) -> Any:
        return numbers.sum()

    summed = compiled.compiled(compiled.reads("i8"))(total)
    numbers = np.arange(4)
    fixed = numbers.copy()
    fixed.flags.writeable = False
    assert summed(numbers) == summed(fixed) == 6


TORN = """
import errno, logging, sys
from numba.core.caching import IndexDataCacheFile

def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")

if sys.argv[1:] == ["full"]:
    IndexDataCacheFile._save_data = full
import some_loops
print(some_loops.twice(1))
"""


@needs_numba
def test_a_full_disk_or_a_torn_file_of_machine_code_disturbs_nobody(tmp_path: Path) -> None:
    (tmp_path / "some_loops.py").write_text(LOOPS.format(constants="numbers_of_loops"))
    (tmp_path / "numbers_of_loops.py").write_text("FACTOR = 3\n")

    def twice(*how: str) -> str:
        done = subprocess.run(
            [sys.executable, "-B", "-c", TORN, *how],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.stdout.strip() or done.stderr

    assert twice("full") == "9"
    assert twice() == "9"
    for kind in ("*.nbc", "*.nbi"):
        (kept,) = tmp_path.rglob(kind)
        kept.write_bytes(b"")
        assert twice() == "9", kind
        assert not list(tmp_path.rglob(kind)), "what is torn goes"
        assert twice() == "9"


def chosen_after(sizes: list[int], **environment: str) -> list[str]:
    """Give what a process chooses, for frames of these sizes one after the other."""
    code = f"from kiterec import compiled; print(*[compiled.chosen(size) for size in {sizes}])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout.split()


@needs_numba
def test_numba_is_imported_when_there_were_frames_enough() -> None:
    half = compiled.WORTH_BYTES // 2
    assert chosen_after([half, half - 1, 1, 0]) == ["False", "False", "True", "True"]
    assert chosen_after([0], KITEREC_COMPILED="1") == ["True"]
    assert chosen_after([2 * half], KITEREC_COMPILED="0") == ["False"]
    assert chosen_after([0], KITEREC_COMPILED="1", NUMBA_DISABLE_JIT="1") == ["False"]


def test_without_numba_nothing_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ModuleNotFoundError('numba')\n")
    path = f"{tmp_path}:{':'.join(filter(None, sys.path))}"
    assert chosen_after([0], KITEREC_COMPILED="1", PYTHONPATH=path) == ["False"]
    for error in ("ImportError('Numba needs NumPy 2.0 or less')", "OSError('libllvmlite.so: cannot open')"):
        (tmp_path / "numba.py").write_text(f"raise {error}\n")
        assert chosen_after([0], KITEREC_COMPILED="1", PYTHONPATH=path) == ["False"]


@needs_numba
def test_all_loops_are_compiled_ahead() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kiterec.compiled"], stderr=subprocess.PIPE, text=True, timeout=300, check=True
    )
    kept = {path.stem for path in Path(compiled.__file__).parent.rglob("*loops.py")}
    assert {name.rpartition(".")[2] for name in done.stderr.split(": ")[1].strip().split(", ")} == kept
    assert kept


def test_without_numba_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "numba.py").write_text("raise ModuleNotFoundError('numba')\n")
    path = f"{tmp_path}:{':'.join(filter(None, sys.path))}"
    done = subprocess.run(
        [sys.executable, "-m", "kiterec.compiled"],
        env={"PYTHONPATH": path},
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "kiterec[fast]" in done.stderr) == (1, True)
