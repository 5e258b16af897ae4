from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from kiterec.errors import SetupError
from kiterec.record.dump_source import download_dump, dump_url, read_dump
from tests.record.exchange import DUMP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def http_server(
    body: bytes,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    declared: int | None = None,
) -> Iterator[str]:
    """Serve one answer to everything; give the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in ({"Content-Type": "text/csv"} | (headers or {})).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if declared is None else declared))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name of the base class
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/instruments"
        finally:
            server.shutdown()
            thread.join(30)


@pytest.mark.parametrize(
    ("feed", "dump"),
    [
        ("wss://ws.kite.trade", "https://api.kite.trade/instruments"),
        ("ws://127.0.0.1:8765", "http://127.0.0.1:8765/instruments"),
        ("ws://127.0.0.1:8765/", "http://127.0.0.1:8765/instruments"),
        ("wss://replay.example:1/some/path", "https://replay.example:1/instruments"),
    ],
)
def test_the_dump_is_beside_the_feed(feed: str, dump: str) -> None:
    assert dump_url(feed) == dump


def test_a_plain_and_a_gzipped_dump_are_downloaded_alike() -> None:
    with http_server(DUMP) as url:
        assert download_dump(url, timeout_s=30) == DUMP
    with http_server(gzip.compress(DUMP), headers={"Content-Encoding": "gzip"}) as url:
        assert download_dump(url, timeout_s=30) == DUMP


def test_a_plain_and_a_gzipped_file_are_read_alike(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(DUMP)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(DUMP))
    assert read_dump(tmp_path / "a.csv") == read_dump(tmp_path / "a.csv.gz") == DUMP
    (tmp_path / "empty.csv").write_bytes(b"")
    assert read_dump(tmp_path / "empty.csv") == b""


def test_a_dump_that_is_refused_is_told_with_its_status() -> None:
    with http_server(b"no", status=403) as url, pytest.raises(SetupError, match="was refused with HTTP 403"):
        download_dump(url, timeout_s=30)


def test_a_page_that_is_no_csv_is_refused() -> None:
    with (
        http_server(b"<html>", headers={"Content-Type": "text/html"}) as url,
        pytest.raises(SetupError, match="is text/html, expected text/csv"),
    ):
        download_dump(url, timeout_s=30)


def test_a_server_that_is_not_there_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/instruments"
        with pytest.raises(SetupError, match=r"cannot be had: .*refused"):
            download_dump(url, timeout_s=30)


def test_a_server_that_never_speaks_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/instruments"
        with pytest.raises(SetupError, match=r"did not come within 0\.2 s|cannot be had: timed out"):
            download_dump(url, timeout_s=0.2)


def test_a_download_that_breaks_off_is_told() -> None:
    body = gzip.compress(DUMP)
    with (
        http_server(body[:-20], declared=len(body)) as url,
        pytest.raises(SetupError, match=r"broke off|ends too early"),
    ):
        download_dump(url, timeout_s=30)


def test_damaged_gzip_is_told(tmp_path: Path) -> None:
    body = bytearray(gzip.compress(DUMP))
    (tmp_path / "cut.gz").write_bytes(body[:-10])
    with pytest.raises(SetupError, match="is damaged: the gzip stream ends too early"):
        read_dump(tmp_path / "cut.gz")
    body[20] ^= 0xFF
    (tmp_path / "flipped.gz").write_bytes(body)
    with pytest.raises(SetupError, match="is damaged"):
        read_dump(tmp_path / "flipped.gz")


def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(SetupError, match="has more than 1,000 bytes, which is no instrument dump"):
            read_dump(tmp_path / "bomb.gz", max_bytes=1_000)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    (tmp_path / "large.csv").write_bytes(bytes(1_001))
    with pytest.raises(SetupError, match="more than 1,000 bytes"):
        read_dump(tmp_path / "large.csv", max_bytes=1_000)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"gone.csv cannot be read: No such file"):
        read_dump(tmp_path / "gone.csv")
