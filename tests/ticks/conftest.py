"""Decoding by machine code and by numpy, for the tests of what has both."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from kiterec import compiled
from kiterec.ticks.decode import decode

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def engine(name: str) -> Iterator[str]:
    """Decode by machine code, or by numpy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiled.SWITCH, str(int(name == "compiled")))
        compiled.available.cache_clear()
        if name == "compiled" and not compiled.available():
            pytest.skip('numba is not here: pip install "kiterec[fast]"')
        decode([bytes(2)])  # compiles, if that was not done before: in a test, hypothesis would trace it
        yield name
    compiled.available.cache_clear()


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def each_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the tests of a module with Numba and without; for a module, since hypothesis wants no less."""
    with engine(request.param) as name:
        yield name


@pytest.fixture(scope="module")
def machine_code() -> Iterator[str]:
    """Run the tests of a module with Numba."""
    with engine("compiled") as name:
        import kiterec.ticks.frame_loops  # noqa: F401 -- compiles, likewise

        yield name
