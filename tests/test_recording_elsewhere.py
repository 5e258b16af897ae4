"""Finished recordings are read from where pyarrow can read, a range at a time; no message has a secret."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from pyarrow import fs

import kiterec
from kiterec.errors import CorruptPartError, KiterecError, NoRecordingError, SetupError, StorageError
from kiterec.store.folder import RecordingFolder
from kiterec.store.manifest import Status, save_manifest
from kiterec.store.ranged_file import TAIL_BYTES
from kiterec.upkeep import cut, export
from tests.ticks.recordings import being_written, rows
from tests.upkeep.market_recordings import instant, market, record
from tests.upkeep.market_recordings import rows as market_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kiterec.recording import Recording

COL = pl.col
FIXTURE = next((Path(__file__).parent / "fixtures" / "recordings").glob("date=*/recording=*"))
SECRET = "se/cret+word"
USER = "AKIAEXAMPLE:se%2Fcret%2Bword@"


def same(one: Recording, other: Recording) -> None:
    for table in ("frames", "events", "ticks"):
        assert getattr(one, table)().collect().equals(getattr(other, table)().collect()), table
    assert one.connections == other.connections
    assert one.gaps().equals(other.gaps())
    assert one.candles("5s").collect().equals(other.candles("5s").collect())
    dumps = one.instruments(), other.instruments()
    assert dumps[0] is not None
    assert dumps[1] is not None
    assert dumps[0].table.equals(dumps[1].table)
    assert one.info().summary.connections == other.info().summary.connections


class _CountedFile:
    """A file that notes each range that is read."""

    closed = False

    def __init__(self, path: str, reads: list[tuple[str, int]]) -> None:
        self._file = Path(path).open("rb")  # noqa: SIM115 -- Arrow closes it
        self._name = Path(path).name
        self._reads = reads

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self._reads.append((self._name, len(content)))
        return content

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self.closed = True
        self._file.close()


class CountedFiles(fs.FileSystemHandler):  # type: ignore[misc]
    """A file system that is not local to a reader, and notes what is fetched."""

    def __init__(self) -> None:
        self.reads: list[tuple[str, int]] = []
        self._local = fs.LocalFileSystem()

    def get_type_name(self) -> str:
        return "counted"

    def get_file_info_selector(self, selector: Any) -> Any:
        return self._local.get_file_info(selector)

    def get_file_info(self, paths: list[str]) -> Any:
        return self._local.get_file_info(paths)

    def open_input_file(self, path: str) -> Any:
        return pa.PythonFile(_CountedFile(path, self.reads), mode="r")

    def normalize_path(self, path: str) -> str:
        return path

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("a reader must not ask for this")

    open_input_stream = open_output_stream = open_append_stream = copy_file = move = _refuse
    create_dir = delete_dir = delete_dir_contents = delete_root_dir_contents = delete_file = _refuse

    def part_bytes(self) -> int:
        return sum(size for name, size in self.reads if name.endswith(".parquet"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a recording of some megabytes in several parts of several row groups."""
    out = tmp_path_factory.mktemp("large")
    made = market(16, instruments=1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kiterec.upkeep.lane.ROW_GROUP_BYTES", 300_000)
        patch.setattr("kiterec.store.transcript.BATCH_BYTES", 300_000)
        patch.setattr("kiterec.upkeep.lane.PART_BYTES", 1_000_000)
        return cut(record(out, market_rows(made), dump=made.instruments_csv()), out / "cut")


@pytest.fixture
def counted(large: Path) -> tuple[CountedFiles, Recording]:
    files = CountedFiles()
    opened = kiterec.open(large, file_system=fs.PyFileSystem(files))
    files.reads.clear()
    return files, opened


def test_all_tables_are_the_same_as_from_the_disk(
    counted: tuple[CountedFiles, Recording], large: Path
) -> None:
    same(counted[1], kiterec.open(large))


def test_each_byte_of_the_parts_is_fetched_once(counted: tuple[CountedFiles, Recording], large: Path) -> None:
    files, recording = counted
    recording.frames().collect()
    parts = list(large.rglob("part-*.parquet"))
    size = sum(path.stat().st_size for path in parts)
    assert len(parts) > 2
    assert size * 0.99 < files.part_bytes() <= size + len(parts) * TAIL_BYTES
    assert max(amount for _, amount in files.reads) < size / 4


def test_only_the_asked_columns_are_fetched(counted: tuple[CountedFiles, Recording], large: Path) -> None:
    files, recording = counted
    times = recording.frames().select("seq", "received_at").collect()
    assert times.equals(kiterec.open(large).frames().select("seq", "received_at").collect())
    parts = list(large.rglob("part-*.parquet"))
    assert files.part_bytes() < sum(path.stat().st_size for path in parts) / 10 + len(parts) * TAIL_BYTES


def test_only_the_row_groups_of_the_asked_time_are_fetched(
    counted: tuple[CountedFiles, Recording], large: Path
) -> None:
    files, recording = counted
    begin, end = instant(5), instant(6)
    ticks = recording.ticks(begin=begin, end=end).collect()
    assert ticks.height > 100
    assert ticks.equals(kiterec.open(large).ticks(begin=begin, end=end).collect())
    assert files.part_bytes() < sum(path.stat().st_size for path in large.rglob("part-*.parquet")) / 2
    assert {name for name, _ in files.reads} < {path.name for path in large.rglob("part-*.parquet")}


def test_a_recording_elsewhere_can_be_exported_and_cut(
    counted: tuple[CountedFiles, Recording], large: Path, tmp_path: Path
) -> None:
    recording = counted[1]
    export(recording.path, tmp_path / "ticks.parquet")
    assert pl.read_parquet(tmp_path / "ticks.parquet").height == recording.ticks().collect().height
    copy = cut(recording.path, tmp_path / "copy")
    assert kiterec.open(copy).frames().collect().equals(kiterec.open(large).frames().collect())


def test_a_tick_cache_of_a_recording_elsewhere_is_a_file_on_the_disk(
    counted: tuple[CountedFiles, Recording], tmp_path: Path
) -> None:
    recording = counted[1]
    with pytest.raises(SetupError, match="is not on a disk; name a file"):
        kiterec.tick_cache(recording.path)
    cache = kiterec.tick_cache(recording.path, tmp_path / "ticks.parquet")
    assert kiterec.scan_cache(cache).collect().height == recording.ticks().collect().height


def elsewhere(path: Path) -> Recording:
    return kiterec.open(path, file_system=fs.PyFileSystem(CountedFiles()))


def test_damage_elsewhere_is_named(large: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(large, tmp_path / "copy"))
    part = sorted(copy.rglob("part-*.parquet"))[1]
    with part.open("r+b") as file:
        file.seek(part.stat().st_size // 3)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 4]))
    with pytest.raises(CorruptPartError, match=f"{part.name} does not read as a part"):
        elsewhere(copy).frames().collect()


def test_what_is_still_written_or_has_journals_is_refused(tmp_path: Path) -> None:
    with being_written(tmp_path) as writer:
        for connection, row in rows(20):
            writer.append(connection, row)
        with pytest.raises(StorageError, match=r"is not finished: .*kiterec recover"):
            elsewhere(writer.path)
    elsewhere(writer.path)
    (writer.path / "connection=main-0" / "part-00007.arrows").write_bytes(b"")
    with pytest.raises(StorageError, match=r"it has the journal part-00007\.arrows"):
        elsewhere(writer.path)


def test_a_copy_that_is_not_whole_is_refused_unless_it_is_quarantined(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FIXTURE, tmp_path / "copy"))
    part = next(copy.rglob("part-*.parquet"))
    part.unlink()
    with pytest.raises(StorageError, match=r"is not all there: main-.* is missing; copy it again"):
        elsewhere(copy)
    manifest = RecordingFolder(copy).manifest()
    manifest.status = Status.QUARANTINED
    save_manifest(copy, manifest)
    assert elsewhere(copy).frames().collect().height > 0


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    opened = kiterec.open(FIXTURE.as_uri())
    assert opened.path == FIXTURE
    assert repr(opened) == repr(kiterec.open(FIXTURE))
    with pytest.raises(NoRecordingError, match="does not exist"):
        kiterec.open((tmp_path / "nothing").as_uri())


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("memory://bucket/x", "nothing reads such a URL; known are file, s3, gs"),
        (f"http://{USER}host/x?sig={SECRET}", "nothing reads such a URL"),
        ("s3:///x", "Missing bucket name"),
        ("s3://", "names no recording"),
        (f"s3://AKIAEXAMPLE:{SECRET} @bucket/x", "the URL does not parse"),
        ("s3://AKIAEXAMPLE:se/cret?x@bucket/x", "the URL does not parse"),
        ("s3://AKIAEXAMPLE:x#y@bucket/x", "the URL does not parse"),
        ("s3:///x#secret_key=se/cret", "Missing bucket name"),
        (f"s3://{USER}bucket/x?sig=se%2Fcret%2Bword", "Unexpected query parameter"),
        ("fsspec+nothing://x", "fsspec"),
    ],
)
def test_a_url_that_cannot_be_opened_is_one_sentence_without_secrets(url: str, sentence: str) -> None:
    with pytest.raises(NoRecordingError, match=sentence) as raised:
        kiterec.open(url)
    check_no_secret(raised.value)


def test_a_container_of_azure_is_no_secret() -> None:
    with pytest.raises(
        NoRecordingError, match=r"cannot open abfs://feed@host/x: .*parameter.*feeds"
    ) as raised:
        kiterec.open(f"abfs://feed@host/x?feeds={SECRET}")
    check_no_secret(raised.value)


def check_no_secret(error: KiterecError) -> None:
    shown = "".join(traceback.format_exception(error))
    assert "\n" not in str(error)
    for word in ("AKIAEXAMPLE", "se/cret", "se%2Fcret"):
        assert word not in shown + repr(error)


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[Any, str]]:
    """Give a file system on a bucket of a real S3 server, and how its URLs end."""
    server_module = pytest.importorskip(
        "moto.server", reason="moto[s3], flask and flask-cors are not installed"
    )
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        end = f"?scheme=http&endpoint_override={host}:{port}&region=us-east-1"
        files, _ = fs.FileSystem.from_uri(f"s3://{USER}feed{end}&allow_bucket_creation=true")
        files.create_dir("feed")
        yield files, end
    finally:
        server.stop()


def test_a_recording_in_a_bucket_reads_like_one_on_the_disk(bucket: tuple[Any, str]) -> None:
    files, end = bucket
    place = f"feed/recordings/date=2026-01-05/{FIXTURE.name}"
    fs.copy_files(str(FIXTURE), place, destination_filesystem=files)
    for last in ("", "/", "/recording.json"):
        opened = kiterec.open(f"s3://{USER}{place}{last}{end}")
        assert str(opened.path) == f"s3://{place}"
        assert "AKIA" not in repr(opened) + repr(opened.path) + opened.info().path
    same(opened, kiterec.open(FIXTURE))
    same(kiterec.open(place, file_system=files), kiterec.open(FIXTURE))
    with pytest.raises(NoRecordingError, match=f"there are {FIXTURE.name}") as raised:
        kiterec.open(f"s3://{USER}feed/recordings/date=2026-01-05{end}")
    check_no_secret(raised.value)


def test_no_verb_shows_the_credentials_of_a_url(bucket: tuple[Any, str], tmp_path: Path) -> None:
    files, end = bucket
    fs.copy_files(str(FIXTURE), "feed/verbs", destination_filesystem=files)
    url = f"s3://{USER}feed/verbs{end}"
    for words, code in (("cut --connections nope -o x", 2), ("info --quick", 0), ("report -o x.html", 0)):
        verb, *options = words.split()
        done = subprocess.run(
            [sys.executable, "-m", "kiterec", verb, url, *options],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        page = tmp_path / "x.html"
        said = done.stdout + done.stderr + (page.read_text() if page.exists() else "")
        assert not any(word in said for word in ("AKIAEXAMPLE", "se/cret", "se%2Fcret"))


def test_a_bucket_that_is_not_there_is_said(bucket: tuple[Any, str]) -> None:
    with pytest.raises(NoRecordingError, match="nothing is there; check the bucket") as raised:
        kiterec.open(f"s3://{USER}nobucket/x{bucket[1]}")
    check_no_secret(raised.value)


def test_what_vanishes_meanwhile_is_said_with_its_place(bucket: tuple[Any, str]) -> None:
    files, end = bucket
    place = "feed/broken"
    fs.copy_files(str(FIXTURE), place, destination_filesystem=files)
    frames = kiterec.open(f"s3://{USER}{place}{end}").frames()
    files.delete_dir(place)
    with pytest.raises(StorageError, match=f"cannot open s3://{place}/.*: no such file"):
        frames.collect()
