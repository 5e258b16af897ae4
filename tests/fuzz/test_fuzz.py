"""Every reader takes any bytes: a few seconds of what `make fuzz` does for minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import child
from tests.fuzz.artifact import Artifact, read_artifact
from tests.fuzz.child import Guard
from tests.fuzz.mutations import inputs
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, with_valid_checksums, with_valid_digest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_takes_any_bytes(name: str) -> None:
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(inputs(seeds()[name]))
    def search(data: bytes) -> None:
        TARGETS[name](data)

    search()


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_takes_every_truncation_of_a_small_good_input(name: str) -> None:
    good = min(seeds()[name], key=len)
    for size in range(0, len(good), max(1, len(good) // 200)):
        TARGETS[name](good[:size])


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_checksums_are_mended_so_that_what_lies_behind_them_is_tried(noise: bytes) -> None:
    journal, manifest = seeds()["journal"][1], seeds()["manifest"][1]
    assert with_valid_checksums(journal) == journal
    assert with_valid_digest(manifest) == manifest
    with_valid_checksums(noise)
    with_valid_digest(noise)


def test_an_altered_batch_with_a_mended_checksum_is_not_refused_for_its_checksum() -> None:
    journal = bytearray(seeds()["journal"][2])
    journal[-40] ^= 0xFF
    assert with_valid_checksums(bytes(journal)) != bytes(journal)


def test_the_fuzzer_runs_for_as_long_as_it_is_told_and_says_its_seed() -> None:
    words = ["--engine", "hypothesis", "--seconds", "2", "--seed", "5", "frames", "manifest"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "seed 5, hypothesis"
    assert len(done.stdout.splitlines()) == 3


def test_memory_time_and_exceptions_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def target(data: bytes) -> None:
        if data == b"large":
            bytearray(300 << 20)[:: 4 << 10] = b"x" * (300 << 8)
        if data == b"wrong":
            raise KeyError(data)

    guard = Guard(target, Artifact(tmp_path / "input"), [b"good"], each=False)
    guard(b"fine")
    with pytest.raises(KeyError):
        guard(b"wrong")
    assert read_artifact(tmp_path / "input").data == b"wrong"
    with pytest.raises(MemoryError, match="200 are allowed"):
        guard(b"large")
    monkeypatch.setattr(child, "INPUT_SECONDS", -1)
    with pytest.raises(TimeoutError, match="one input took"):
        guard(b"fine")
