"""Serving by machine code and by numpy, for the tests of what has both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kiterec import compiled
from kiterec.replay import engine

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=["compiled", "numpy"])
def each_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Run a test with Numba and without."""
    monkeypatch.setenv(compiled.SWITCH, str(int(request.param == "compiled")))
    monkeypatch.setattr(engine._Engine, "loops", engine._Engine.loops)  # other tests find what they found
    compiled.available.cache_clear()
    engine.load(0)
    if request.param == "compiled" and engine.loops() is None:
        pytest.skip('numba is not here: pip install "kiterec[fast]"')
    assert (engine.loops() is None) == (request.param == "numpy")
    yield request.param
    compiled.available.cache_clear()
