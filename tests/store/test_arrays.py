"""Arrays made by hand are those of `pyarrow.array`, and no command that reads loads pandas for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.store.arrays import blobs, integers, numbers_in, vector, words

FIXTURE = next((Path(__file__).parents[1] / "fixtures" / "recordings").glob("date=*/recording=*"))
KINDS = [pa.int8(), pa.int16(), pa.int64(), pa.uint64(), pa.timestamp("ns", "UTC")]
COMMANDS = ["info", "verify", "cut -o cut", "recover --dry-run", "ticks", "candles", "export -o ticks.csv"]
RUN = """
import sys
from kiterec.cli import main

for command in sys.argv[2:]:
    verb, *rest = command.split()
    try:
        main([verb, sys.argv[1], *rest])
    except SystemExit as end:
        assert not end.code, (command, end.code)
    assert "pandas" not in sys.modules, command
"""


def same(made: pa.Array, expected: pa.Array) -> None:
    made.validate(full=True)
    assert made.type == expected.type
    assert made.equals(expected)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(st.lists(st.integers(0, 127)))
@settings(deadline=None)
def test_integers_of_each_width_are_the_same(kind: pa.DataType, values: list[int]) -> None:
    same(integers(values, kind), pa.array(values, kind))


@pytest.mark.parametrize(("kind", "value"), [(pa.int8(), 128), (pa.uint64(), -1), (pa.int64(), 1 << 63)])
def test_an_integer_that_does_not_fit_is_refused(kind: pa.DataType, value: int) -> None:
    with pytest.raises(OverflowError):
        integers([value], kind)


@given(st.lists(st.binary(max_size=20)))
@settings(deadline=None)
def test_bytes_are_the_same(values: list[bytes]) -> None:
    same(blobs(values), pa.array(values, pa.binary()))


@given(st.lists(st.text(max_size=5)))
@settings(deadline=None)
def test_strings_are_the_same(values: list[str]) -> None:
    same(words(values), pa.array(values, pa.string()))


@given(st.lists(st.integers(0, 1)), st.sampled_from([np.bool_, np.int16, np.int64, np.uint64]))
@settings(deadline=None)
def test_vectors_are_the_same_also_with_steps(values: list[int], kind: Any) -> None:
    whole = np.array(values, kind)
    for each in (whole, whole[::2], whole[::-1]):
        same(vector(each), pa.array(each))


@given(st.lists(st.lists(st.integers(0, 127))), st.sampled_from([pa.uint32(), pa.int64(), pa.uint64()]))
@settings(deadline=None)
def test_numbers_come_back_the_same_from_any_pieces(pieces: list[list[int]], kind: pa.DataType) -> None:
    column = pa.chunked_array([integers(piece, kind) for piece in pieces], kind)
    assert numbers_in(column).dtype == kind.to_pandas_dtype()
    assert numbers_in(column).tolist() == [value for piece in pieces for value in piece]
    for piece in pieces:
        assert numbers_in(integers([1, *piece], kind)[1:]).tolist() == piece


def test_decoding_the_frames_of_a_live_feed_loads_no_pandas() -> None:
    code = "import sys, kiterec; kiterec.decode([bytes(2), bytes(1)]); sys.exit('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], timeout=120, check=False)
    assert done.returncode == 0


QUESTIONS = """
import shutil, sys
import polars as pl
import kiterec
from kiterec.ticks.cache import write_tick_cache

shutil.copytree(sys.argv[1], "there")
for has_cache in (False, True):
    if has_cache:
        write_tick_cache("there")
    recording = kiterec.open("there")
    token = recording.ticks().select("instrument_token").head(1).collect().item()
    assert recording.ticks([token]).collect().height
    assert recording.asof(recording.ticks().select("received_at").last().collect().item()).collect().height
    assert recording.candles("1m").collect().height
    frames = pl.Series(["AAEACA==", None]).str.decode("base64")
    kiterec.decode(frames)
    assert "pandas" not in sys.modules, has_cache
"""


def test_no_question_about_ticks_loads_pandas_with_a_tick_cache_or_without(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUESTIONS, FIXTURE],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_no_command_that_reads_a_recording_loads_pandas(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, FIXTURE, *COMMANDS],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
