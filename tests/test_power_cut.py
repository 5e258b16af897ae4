"""A power cut: whatever was not synced may be gone, and what was promised is there all the same."""

from __future__ import annotations

import copy
import os
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from kiterec.clock import SYSTEM_CLOCK
from kiterec.store.files import Files, OpenFile
from kiterec.store.folder import find_recordings
from kiterec.store.manifest import Status
from kiterec.store.recover import recover
from kiterec.upkeep import verify
from kiterec.upkeep.verify import LISTED_HOLES
from tests.store.recordings import by_connection, make_rows, new_writer, transcript, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kiterec.wire.transcript import Row

SEED = int.from_bytes(os.urandom(4), "big")


@dataclass
class Inode:
    """A file's bytes, and how many of them are safe."""

    content: bytearray = field(default_factory=bytearray)
    safe: int = 0


class CuttableDisk(Files):
    """Does every operation for real and keeps beside it what a disk without power would still have.

    Attributes:
        names: what is in each folder now: files, and None for folders.
        safe_names: what was in it when the folder was last synced.
        cuts: states of the disk that were kept, each with the rows that were safe by then.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.names: dict[Path, dict[str, Inode | None]] = {root: {}}
        self.safe_names: dict[Path, dict[str, Inode | None]] = {root: {}}
        self.operations = 0
        self.cut_at: set[int] = set()
        self.cuts: list[tuple[Any, Any]] = []

    def before(self, operation: str, path: Path) -> None:
        with self.lock:
            self.operations += 1
            if self.operations in self.cut_at:
                self.cuts.append(copy.deepcopy((self.names, self.safe_names)))

    def make_folder(self, path: Path) -> None:
        with self.lock:
            super().make_folder(path)
            self.names.setdefault(path.parent, {})[path.name] = None
            self.names[path], self.safe_names[path] = {}, {}

    def create(self, path: Path, *, anew: bool = False) -> OpenFile:
        with self.lock:
            file = super().create(path, anew=anew)
            self.names[path.parent][path.name] = Inode()
            return file

    def append(self, file: OpenFile, buffers: Sequence[Any]) -> int:
        with self.lock:
            inode = self.names[file.path.parent].get(file.path.name)
            size = super().append(file, buffers)
            if inode is not None:
                inode.content += b"".join(bytes(buffer) for buffer in buffers)
            return size

    def sync(self, file: OpenFile) -> None:
        with self.lock:
            super().sync(file)
            if (inode := self.names[file.path.parent].get(file.path.name)) is not None:
                inode.safe = len(inode.content)

    def rename(self, source: Path, target: Path) -> None:
        with self.lock:
            super().rename(source, target)
            self.names[target.parent][target.name] = self.names[source.parent].pop(source.name)

    def sync_folder(self, path: Path) -> None:
        with self.lock:
            super().sync_folder(path)
            if path in self.names:
                self.safe_names[path] = dict(self.names[path])

    def delete(self, path: Path) -> None:
        with self.lock:
            super().delete(path)
            self.names[path.parent].pop(path.name, None)


def lay_out(target: Path, root: Path, cut: tuple[Any, Any], chance: random.Random | None) -> None:
    """Make the folder that is found when the power is back: what was safe, and by chance some more."""
    names, safe_names = cut

    def make(folder: Path, place: Path) -> None:
        place.mkdir(parents=True)
        there = dict(safe_names.get(folder, {}))
        if chance is not None:
            for name in sorted({*there, *names.get(folder, {})}):
                if chance.random() < 0.5:
                    there.pop(name, None)
                    if name in names[folder]:
                        there[name] = names[folder][name]
        for name, inode in there.items():
            if inode is None:
                make(folder / name, place / name)
            else:
                size = chance.randint(inode.safe, len(inode.content)) if chance else inode.safe
                (place / name).write_bytes(inode.content[:size])

    make(root, target)


def record_with_cuts(tmp_path: Path, seed: int, **options: Any) -> tuple[CuttableDisk, list[Row]]:
    """Record some rows on two connections while the disk's state is kept at random operations."""
    out = tmp_path / "real"
    out.mkdir()
    disk = CuttableDisk(out)
    chance = random.Random(seed)
    disk.cut_at = {chance.randrange(8, 250) for _ in range(25)}
    writer = new_writer(out, files=disk, part_bytes=4000, **options)
    now_ns = SYSTEM_CLOCK.now_ns()
    rows = [row._replace(received_at=now_ns) for row in make_rows(120, seed=seed, size=400)]
    for number, row in enumerate(rows):
        writer.append(f"c{number % 2}", row)
        if number % 6 == 5:
            wait_until(lambda: not writer.stats().unwritten_bytes)
    writer.close()
    return disk, rows


def check_rows(there: list[bytes], sent: list[bytes], *, safe: int, lucky: bool) -> None:
    """Compare the rows of a connection with what was sent.

    What was synced is an exact prefix. What survives by chance is behind it, in order and each row once; of
    two files that were not synced the later one may survive alone.
    """
    if not lucky:
        assert there == sent[: len(there)]
    assert there[:safe] == sent[:safe]
    left = iter(sent[safe:])
    assert all(payload in left for payload in there[safe:])


def check_that_holes_are_named(path: Path, where: str) -> None:
    """Nothing is lost in silence: `verify` names each row that is missing before the last one."""
    found = verify(path)
    assert not found.errors, where
    seqs = {seq for _, seq, *_ in transcript(path)}
    missing = set(range(max(seqs, default=-1) + 1)) - seqs
    named = [(it.first_seq, it.last_seq) for it in found.warnings if "missing: seq" in it.what]
    assert {seq for first, last in named for seq in range(first, last + 1)} == missing or (
        len(named) == LISTED_HOLES
    ), where


@pytest.mark.parametrize("lucky", [False, True], ids=["only what was synced", "and by chance some more"])
def test_after_a_power_cut_nothing_that_was_synced_is_missing(tmp_path: Path, lucky: bool) -> None:
    disk, rows = record_with_cuts(tmp_path, SEED, fsync_interval_s=0.02)
    sent = {f"c{n}": [row.payload for row in rows[n::2]] for n in range(2)}
    lengths = set()
    assert disk.cuts
    for number, cut in enumerate(disk.cuts):
        target = tmp_path / f"cut-{number}"
        lay_out(target, disk.root, cut, random.Random(SEED + number) if lucky else None)
        lay_out(tmp_path / f"safe-{number}", disk.root, cut, None)
        (safely,) = find_recordings(tmp_path / f"safe-{number}") or (None,)
        safe = {} if safely is None else by_connection(transcript(safely))
        for path in find_recordings(target):
            there = by_connection(transcript(path))
            for connection, payloads in sent.items():
                least = len(safe.get(connection, ()))
                try:
                    check_rows(there.get(connection, []), payloads, safe=least, lucky=lucky)
                except AssertionError as error:
                    raise AssertionError(f"seed {SEED}, cut {number}, {connection}") from error
            report = recover(path)
            assert report.status is Status.RECOVERED or disk.cuts[-1] is cut, f"seed {SEED}: {report}"
            assert by_connection(transcript(path)) == there, f"seed {SEED}, cut {number}"
            assert not recover(path).changed
            check_that_holes_are_named(path, f"seed {SEED}, cut {number}")
            lengths.add(sum(len(payloads) for payloads in there.values()))
    assert len(lengths) > 2, f"seed {SEED}: all cuts alike"


def test_every_row_that_was_synced_survives_a_power_cut(tmp_path: Path) -> None:
    out = tmp_path / "real"
    out.mkdir()
    disk = CuttableDisk(out)
    writer = new_writer(out / "data" / "recordings", files=disk, part_bytes=4000, fsync_interval_s=0)
    rows = make_rows(60, seed=SEED, size=400)
    for number, row in enumerate(rows):
        writer.append("c", row)
        if number % 5 == 4:
            wait_until(lambda: writer.stats().fsync.count > 0 and not writer.stats().unwritten_bytes)
            with disk.lock:
                cut = copy.deepcopy((disk.names, disk.safe_names))
            lay_out(tmp_path / str(number), out, cut, None)
            (path,) = find_recordings(tmp_path / str(number))
            there = [payload for *_, payload in transcript(path)]
            assert there == [row.payload for row in rows[: number + 1]], f"seed {SEED}"
    writer.close()


def test_rows_are_synced_within_the_interval_without_being_asked(tmp_path: Path) -> None:
    out = tmp_path / "real"
    out.mkdir()
    disk = CuttableDisk(out)
    writer = new_writer(out, files=disk, fsync_interval_s=0.05)
    rows = make_rows(3)
    for row in rows:
        writer.append("c", row)

    def is_safe() -> bool:
        folder = writer.path / "connection=c"
        with disk.lock:
            inode = disk.safe_names.get(folder, {}).get("part-00000.arrows")
            return inode is not None and inode.safe == len(inode.content) > 1000

    wait_until(is_safe)
    wait_until(lambda: writer.stats().fsync.count >= 1)
    writer.close()


def test_never_syncing_can_lose_everything_and_the_test_can_tell(tmp_path: Path) -> None:
    disk, _ = record_with_cuts(tmp_path, SEED, fsync_interval_s=None, part_duration_s=1000)
    lost = 0
    for number, cut in enumerate(disk.cuts):
        lay_out(tmp_path / f"cut-{number}", disk.root, cut, None)
        found = find_recordings(tmp_path / f"cut-{number}")
        lost += not found or not transcript(found[0])
    assert lost, f"seed {SEED}"
