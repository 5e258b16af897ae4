"""A tick cache changes how soon an answer comes, never what it is."""

from __future__ import annotations

import itertools
import random
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

import kiterec
from kiterec.store.folder import CACHE_NAME
from kiterec.store.manifest import load_manifest, save_manifest
from kiterec.ticks import buckets, cache_file, shortcut, stamp
from kiterec.ticks.cache import tick_cache
from kiterec.ticks.scan import scan_ticks
from kiterec.ticks.stamp import read_stamp
from kiterec.wire.segments import SEGMENTS, Segment
from tests.ticks.recordings import START, TOKENS, being_written, record

if TYPE_CHECKING:
    from pathlib import Path

COL = pl.col
SOME = [TOKENS[3], TOKENS[17], 256265, 99]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("recording"), 24)


@pytest.fixture
def recording(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a recording with a cache of many row groups."""
    monkeypatch.setattr(buckets, "BUCKET_ROWS", 700)
    monkeypatch.setattr(cache_file, "ROW_GROUP_ROWS", 150)
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    tick_cache(copy)
    return copy


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Give for each collect whether the cache answered."""
    found: list[bool] = []
    cached = shortcut._cached

    def watched(*given: object) -> pl.DataFrame | None:
        table = cached(*given)  # type: ignore[arg-type]
        found.append(table is not None)
        return table

    monkeypatch.setattr(shortcut, "_cached", watched)
    return found


def both(recording: Path, **options: object) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Give what the recording says, and what its frames say."""
    options = {"symbols": SOME} | options
    return kiterec.open(recording).ticks(**options), scan_ticks(recording, **options)  # type: ignore[arg-type]


def test_chosen_instruments_are_the_same_rows_in_the_same_order_and_types(
    recording: Path, answers: list[bool]
) -> None:
    second = START + timedelta(seconds=1)
    questions = [
        lambda ticks: ticks,
        lambda ticks: ticks.select("last_price", "buy_price"),
        lambda ticks: ticks.select("packet").head(5),
        lambda ticks: ticks.filter(COL("mode") == "full", COL("connection") == "main-1"),
        lambda ticks: ticks.filter(COL("received_at") > second).select("seq", "oi"),
        lambda ticks: ticks.filter(COL("last_price") > 0).head(7),
        lambda ticks: ticks.filter(COL("segment").is_null()),
        lambda ticks: ticks.select(pl.len()),
        lambda ticks: ticks.head(9).filter(COL("seq") % 2 == 1),
        lambda ticks: ticks.group_by("connection", maintain_order=True).agg(COL("seq").last()),
    ]
    spans = [{}, {"begin": second}, {"end": second}, {"begin": second, "end": second}]
    choices = [SOME, [99], TOKENS, "NSE:INFY", ["NFO:NIFTY*", "NSE:NIFTY 50"]]
    every = list(itertools.product(choices, spans, questions))
    for number, (symbols, span, question) in enumerate(every):
        cached, frames = (question(lazy) for lazy in both(recording, symbols=symbols, **span))
        assert cached.collect_schema() == frames.collect_schema()
        engine = ("in-memory", "streaming")[number % 2]
        assert_frame_equal(cached.collect(engine=engine), frames.collect(engine=engine))
    assert answers.count(True) == len(answers) == len(every)


def test_symbols_may_come_from_an_iterator(recording: Path) -> None:
    cached, frames = both(recording)
    assert_frame_equal(kiterec.open(recording).ticks(iter(SOME)).collect(), frames.collect())
    assert cached.collect().height


def test_the_cache_of_a_recording_without_ticks_answers_too(tmp_path: Path, answers: list[bool]) -> None:
    with being_written(tmp_path) as writer:
        path = writer.path
    tick_cache(path)
    assert_frame_equal(*(lazy.collect() for lazy in both(path)))
    assert answers == [True]


def test_a_cache_with_a_flipped_bit_in_its_footer_is_as_none(recording: Path, answers: list[bool]) -> None:
    """Arrow ends the process over some of them, so none of them may reach it."""
    cached, frames = both(recording)
    expected = frames.collect()
    path = recording / CACHE_NAME
    whole = path.read_bytes()
    footer_at = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    rng = random.Random(5)
    for number in range(60):
        broken = bytearray(whole)
        broken[rng.randrange(footer_at, len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        assert read_stamp(path) is None
        if number % 10 == 0:
            assert_frame_equal(cached.collect(), expected)
    assert not any(answers)
    assert tick_cache(recording) == path
    assert_frame_equal(cached.collect(), expected)
    assert answers[-1]


def test_what_the_cache_does_not_have_comes_from_the_frames(
    recording: Path, answers: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    for options in (
        {"prices": "int"},
        {"segments": SEGMENTS.with_overrides({1: Segment(1, "NSE", 7, tradable=True)})},
    ):
        assert_frame_equal(*(lazy.collect() for lazy in both(recording, **options)))
    assert_frame_equal(*(lazy.collect() for lazy in both(recording, symbols=None)))
    monkeypatch.setattr(shortcut, "MAX_ROWS", 50)
    question = COL("last_price") > 100
    for n_rows in (None, 3):
        cached, frames = (lazy.filter(question).select("seq", "open") for lazy in both(recording))
        assert_frame_equal(
            *((lazy if n_rows is None else lazy.head(n_rows)).collect() for lazy in (cached, frames))
        )
    assert not any(answers)
    assert len(answers) == 3


def test_a_cache_of_other_parts_or_another_decoder_is_as_none(
    recording: Path, answers: list[bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lazy table is made once; each collect looks anew."""
    cached, frames = both(recording)
    expected = frames.collect()
    assert_frame_equal(cached.collect(), expected)

    with monkeypatch.context() as patch:
        patch.setattr(stamp, "version", lambda _: "99.0")
        assert_frame_equal(cached.collect(), expected)
    with monkeypatch.context() as patch:
        patch.setattr(stamp, "_code", lambda: b"mended")
        assert_frame_equal(cached.collect(), expected)

    other = tick_cache(record(tmp_path / "other", 5), tmp_path / "other.parquet")
    mine = (recording / "ticks.parquet").rename(tmp_path / "mine.parquet")
    shutil.copy(other, recording / "ticks.parquet")
    assert_frame_equal(cached.collect(), expected)
    mine.replace(recording / "ticks.parquet")
    assert answers == [True, False, False, False]

    manifest = load_manifest(recording)
    manifest.parts[0].sha256 = "0" * 64
    save_manifest(recording, manifest)
    assert_frame_equal(cached.collect(), expected)
    tick_cache(recording)
    assert_frame_equal(cached.collect(), expected)
    assert answers[4:] == [False, True]


def test_a_recording_that_lost_a_part_or_has_a_journal_more_is_not_answered_from_the_cache(
    recording: Path, answers: list[bool]
) -> None:
    cached, frames = both(recording)
    part = recording / "connection=main-1" / "part-00000.parquet"
    journal = part.with_name("part-00007.arrows")
    journal.touch()
    cached.collect()
    journal.unlink()
    part.rename(recording.parent / "gone.parquet")
    for ticks in (cached, frames):
        with pytest.raises(Exception, match="is gone"):  # Polars may wrap it
            ticks.collect()
    assert not any(answers)
    assert len(answers) == 2


def test_a_damaged_cache_is_as_none(
    recording: Path, answers: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    cached, frames = both(recording)
    expected = frames.collect()
    path = recording / "ticks.parquet"
    whole = path.read_bytes()
    changed = 0
    for place in range(1_000, len(whole), len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert_frame_equal(cached.collect(), expected)
        changed += not answers[-1]
    for end in (0, 100, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:end])
        assert_frame_equal(cached.collect(), expected)
        assert not answers[-1]
    path.unlink()
    assert_frame_equal(cached.collect(), expected)
    assert changed > 5
    assert "tick cache unreadable, reading frames instead" in caplog.text


def test_a_recording_being_written_is_read_from_its_frames(
    original: Path, tmp_path: Path, answers: list[bool]
) -> None:
    with being_written(tmp_path) as writer:
        tick_cache(original, writer.path / "ticks.parquet")
        assert kiterec.open(writer.path).ticks(SOME).collect().height == 0
    assert answers == [False]


def test_candles_depth_and_views_of_instruments_use_it(recording: Path, answers: list[bool]) -> None:
    rec = kiterec.open(recording)
    views = {
        "candles": lambda: rec.candles("5s", symbols=SOME),
        "depth": lambda: rec.depth(SOME),
        "latency": lambda: rec.latency(SOME),
    }
    with_cache = {name: view().collect() for name, view in views.items()}
    assert len(answers) >= len(views)
    assert all(answers)
    (recording / "ticks.parquet").unlink()
    for name, view in views.items():
        assert_frame_equal(with_cache[name], view().collect())


def test_the_cache_of_a_recording_elsewhere_answers_too(recording: Path, answers: list[bool]) -> None:
    elsewhere = kiterec.open(
        recording.name, file_system=SubTreeFileSystem(str(recording.parent), LocalFileSystem())
    )
    assert_frame_equal(elsewhere.ticks(SOME).collect(), scan_ticks(recording, symbols=SOME).collect())
    assert answers == [True]
