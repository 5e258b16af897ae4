"""A disk that is really full: a small tmpfs, recorded into until it refuses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from kiterec.errors import DiskFullError, StorageError
from kiterec.replay.server import ReplayServer
from kiterec.simulate.market import SyntheticMarket
from kiterec.store.folder import find_recordings
from kiterec.store.manifest import Status
from kiterec.store.recover import recover
from kiterec.upkeep import verify
from kiterec.wire.transcript import Kind, Row
from tests.store.recordings import by_connection, new_writer, transcript, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system with 8 MB."""
    with mounted(tmp_path / "disk", "8m") as place:
        yield place


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """Mount a tmpfs of this size."""
    place.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root on Linux")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("reserve", [0, 3 << 20], ids=["to the last byte", "with a reserve for sealing"])
def test_recording_until_the_disk_is_full_keeps_all_that_was_acknowledged(
    small_disk: Path, reserve: int
) -> None:
    writer = new_writer(small_disk, part_bytes=1 << 20, min_free_bytes=reserve)
    failures: list[StorageError] = []
    writer.on_failure(failures.append)
    sent: dict[str, list[bytes]] = {"c0": [], "c1": []}
    number = acknowledged = 0
    while not failures:
        payload = os.urandom(20_000)
        connection = f"c{number % 2}"
        sent[connection].append(payload)
        writer.append(connection, Row(number, number, Kind.BINARY, payload))
        number += 1
        if number % 8 == 0:
            wait_until(lambda: bool(failures) or not writer.stats().unwritten_bytes)
            acknowledged = writer.stats().written_rows
        assert number < 2000, "8 MB took 40 MB"
    summary = writer.close()
    assert isinstance(failures[0], DiskFullError)
    assert "free some space" in str(failures[0])
    assert summary.lost_rows == number - writer.stats().written_rows
    there = by_connection(transcript(writer.path))
    assert sum(len(payloads) for payloads in there.values()) == writer.stats().written_rows >= acknowledged
    for connection, payloads in there.items():
        assert payloads == sent[connection][: len(payloads)]
    if reserve:
        assert summary.status is Status.COMPLETE
        assert any("free" in note for note in summary.notes)
    if summary.status is Status.RECORDING:
        (small_disk / "more").write_bytes(b"")
        subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
        assert recover(writer.path).status is Status.RECOVERED
        assert by_connection(transcript(writer.path)) == there


async def record_until_full(out: Path) -> tuple[int, str]:
    """Run `kiterec record` against a market at full speed; give its exit code and what it said."""
    market = SyntheticMarket(instruments=1000, seed=3)
    async with asyncio.timeout(100), ReplayServer(market, speed=None, at_end="hold") as server:
        recorder = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kiterec", "record", "--url", server.url, "--instruments", "all",
            "--out", str(out), "--part-size", "16MB", "--no-live",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            _, said = await recorder.communicate()
        finally:
            if recorder.returncode is None:
                recorder.kill()
                await recorder.wait()
        return recorder.returncode or 0, said.decode()


def test_the_command_ends_with_3_and_a_sentence_and_what_it_wrote_verifies(tmp_path: Path) -> None:
    # A recorder keeps 128 MiB free for sealing.
    with mounted(tmp_path / "disk", "200m") as disk:
        code, said = asyncio.run(record_until_full(disk))
        assert code == 3, said
        assert "free some space" in said
        (path,) = find_recordings(disk)
        # What came when the disk was full already is counted, and nothing else is wrong.
        assert [error.what for error in verify(path).errors if "not in the recording" not in error.what] == []
        assert len(transcript(path)) > 0
