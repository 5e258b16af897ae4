"""Some flipped bytes; `make damage` flips many."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests import damage

if TYPE_CHECKING:
    from pathlib import Path

SEED = int.from_bytes(os.urandom(4), "big")


@pytest.mark.parametrize("kind", damage.KINDS)
def test_a_flipped_byte_is_noticed_and_its_file_named(tmp_path: Path, kind: str) -> None:
    assert damage.flip(kind, 60, SEED, tmp_path) == []


def test_a_finder_that_sees_nothing_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damage, "find", lambda folder: set())
    wrong = damage.flip("part", 3, SEED, tmp_path)
    assert len(wrong) == 3
    assert "not noticed" in wrong[0]
