"""Loops over packets as machine code that needs no interpreter, where Numba (the extra `fast`) is installed.

`python -m kiterec.compiled` compiles all of them ahead, for an image or before tests.

What is decorated lives in modules named `*loops`, which are imported only where `available()`. Everything
works without, by numpy's calls: the same results, slower, and one thread at a time.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import logging
import os
import pkgutil
import sys
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from kiterec.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike

    Loop = TypeVar("Loop", bound=Callable[..., Any])

logger = logging.getLogger(__name__)

SWITCH: Final = "KITEREC_COMPILED"
"""Environment variable: `1` uses Numba from the first frame, `0` never."""

WORTH_BYTES: Final = 64 << 20
"""Frames of a process before Numba is imported: to import it takes as long as numpy needs for so many."""

LONG_S: Final = 1.0
"""Whoever waited longer than this for a loop is told why."""


class _Work:
    """How much there was to do so far."""

    seen_bytes = 0


def chosen(more_bytes: int = 0) -> bool:
    """Tell whether to use loops: Numba is there, and this process had frames enough to be worth its import.

    Args:
        more_bytes: of frames that are about to be decoded.
    """
    _Work.seen_bytes += more_bytes
    return (_Work.seen_bytes >= WORTH_BYTES or os.environ.get(SWITCH) == "1") and available()


@lru_cache(maxsize=1)
def available() -> bool:
    """Tell whether loops can be compiled here; imports Numba, which takes half a second and 60 MB."""
    if os.environ.get(SWITCH) == "0":
        return False
    try:
        numba = _numba()
    except ModuleNotFoundError:
        return False
    except (ImportError, AttributeError, OSError) as error:  # a numpy that is too new, a library that is gone
        logger.warning('numba is not used, it cannot be imported: %s; try "pip install -U numba"', error)
        return False
    return not numba.config.DISABLE_JIT  # the interpreter would take minutes for what numpy does in a second


def compiled(*types: Any) -> Callable[[Loop], Loop]:
    """Compile a loop; it holds no lock of the interpreter while it runs.

    The machine code is kept beside the source, or in the user's cache where that is read-only: the next
    process does not wait for the compiler. Where it cannot be kept (a full disk, a file there that a crash
    has torn), it is made for this process.

    Args:
        types: of the arguments, `reads` and `writes` for arrays; none: whatever the compiled caller gives,
            of which it becomes a part.
    """
    import numpy as np

    numba = _numba()
    given = [numba.from_dtype(np.dtype(one)) if isinstance(one, str) else one for one in types]
    signature = [tuple(given)] if given else []
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

    def compile_it(loop: Loop) -> Loop:
        name, begin = loop.__qualname__, time.monotonic()
        loop.__qualname__ += f"_{_fingerprint(loop)}"
        if not types:
            return cast("Loop", numba.njit(**options)(loop))
        kept = "it is kept for the next time"
        try:
            made = numba.njit(*signature, cache=True, **options)(loop)
        except Exception as error:  # noqa: BLE001 -- whatever a torn file lets pickle raise
            kept = f"it could not be kept: {type(error).__name__}: {error}"
            _forget(loop)
            made = numba.njit(*signature, **options)(loop)
        if (took := time.monotonic() - begin) > LONG_S:
            logger.info("compiled loop=%s seconds=%.1f; %s", name, took, kept)
        return cast("Loop", made)

    return compile_it


def _forget(loop: Any) -> None:
    """Delete what is kept of a loop, so that the next process is not disturbed by it."""
    with suppress(RuntimeError, OSError):  # there is nowhere to keep it, or nothing is to be changed there
        kept_in = _numba().njit(cache=True)(loop).stats.cache_path
        for file in Path(kept_in).glob(f"*.{loop.__qualname__}-*"):
            file.unlink(missing_ok=True)


def _fingerprint(loop: Any) -> str:
    """Give a name for what a loop does, its constants and the loops that it calls.

    Numba keeps machine code by the name of the function and the age of its file. It does not see that a
    constant or a loop of another file has changed, and would run the old code.
    """
    said = [loop.__code__.co_code.hex(), repr(loop.__code__.co_consts)]
    for name in loop.__code__.co_names:
        value = loop.__globals__.get(name)
        called = getattr(value, "py_func", None)
        said.append(f"{name}={called.__qualname__ if called is not None else repr(value)}")
        if (intrinsic := getattr(value, "_defn", None)) is not None:
            with suppress(OSError):  # without a source nothing is kept either
                said.append(inspect.getsource(intrinsic))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:16]


def reads(dtype: DTypeLike, dimensions: int = 1) -> Any:
    """Give the type of an array that a loop does not write to: one that cannot be written to fits too."""
    return _array(dtype, dimensions, readonly=True)


def writes(dtype: DTypeLike, dimensions: int = 1) -> Any:
    """Give the type of an array that a loop writes to."""
    return _array(dtype, dimensions, readonly=False)


def _array(dtype: DTypeLike, dimensions: int, *, readonly: bool) -> Any:
    import numpy as np

    numba = _numba()
    return numba.types.Array(numba.from_dtype(np.dtype(dtype)), dimensions, "C", readonly=readonly)


def _numba() -> Any:
    return importlib.import_module("numba")


def compile_all() -> list[str]:
    """Compile all loops, or load them where they are kept; give the names of their modules.

    Raises:
        SetupError: Numba is not here.
    """
    import kiterec

    if not available():
        raise SetupError('nothing can be compiled without numba; try: pip install "kiterec[fast]"')
    found = [module.name for module in pkgutil.walk_packages(kiterec.__path__, "kiterec.")]
    names = [name for name in found if name.endswith("loops")]
    for name in names:
        importlib.import_module(name)
    return names


if __name__ == "__main__":
    try:
        sys.stderr.write(f"compiled: {', '.join(compile_all())}\n")
    except SetupError as error:
        sys.exit(f"error: {error}")
