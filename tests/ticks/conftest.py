"""Decoding by machine code and by numpy, for the tests of what has both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kiterec import compiled
from kiterec.ticks.decode import decode

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["compiled", "numpy"])
def each_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    """Run the tests of a module with Numba and without; for a module, since hypothesis wants no less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(compiled.SWITCH, str(int(request.param == "compiled")))
        compiled.available.cache_clear()
        if request.param == "compiled" and not compiled.available():
            pytest.skip('numba is not here: pip install "kiterec[fast]"')
        decode([bytes(2)])  # compiles, if that was not done before: in a test, hypothesis would trace it
        yield request.param
    compiled.available.cache_clear()
