"""What the port answers to plain HTTP."""

from __future__ import annotations

import asyncio
import gzip
import json
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from kiterec.replay.server import ReplayServer
from tests.replay.handmade import DEADLINE_S, HandmadeTimeline, run
from tests.replay.test_server import CSV, moving


async def get(url: str, method: str = "GET"):
    """Give status, headers and body."""

    def fetch():
        opener = build_opener(ProxyHandler({}))
        try:
            with opener.open(Request(url, method=method), timeout=DEADLINE_S) as answer:
                return answer.status, answer.headers, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    return await asyncio.to_thread(fetch)


def test_the_dump_is_gzipped_csv() -> None:
    async def main() -> None:
        async with ReplayServer(moving(256)) as server:
            status, headers, body = await get(f"{server.http_url}/instruments")
            assert (status, headers["Content-Encoding"]) == (200, "gzip")
            assert "csv" in headers["Content-Type"]
            assert gzip.decompress(body) == CSV

    run(main())


def test_the_dump_of_an_exchange_has_its_lines_only() -> None:
    async def main() -> None:
        async with ReplayServer(moving(256)) as server:
            for _ in range(2):
                _, _, body = await get(f"{server.http_url}/instruments/BSE?x=1")
                header, *lines = CSV.splitlines(keepends=True)
                assert gzip.decompress(body) == header + lines[1]

    run(main())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/quote", 400),
        ("/orders", 404),
        ("/../etc/passwd", 404),
        ("/instruments/NSE/EQ", 404),
        ("/instruments/XXX", 400),
    ],
)
def test_anything_else_is_an_error_in_the_vendors_shape(path: str, status: int) -> None:
    async def main() -> None:
        async with ReplayServer(moving(256)) as server:
            got, headers, body = await get(f"{server.http_url}{path}")
            assert got == status
            assert "json" in headers["Content-Type"]
            assert json.loads(body)["status"] == "error"
            assert json.loads(body)["error_type"].endswith("Exception")

    run(main())


def test_without_a_dump_the_page_says_so() -> None:
    async def main() -> None:
        async with ReplayServer(HandmadeTimeline([])) as server:
            status, _, body = await get(f"{server.http_url}/instruments")
            assert status == 404
            assert "No instrument dump" in json.loads(body)["message"]

    run(main())


def test_without_rest_only_the_dump_is_answered() -> None:
    async def main() -> None:
        async with ReplayServer(moving(256), rest=False) as server:
            assert (await get(f"{server.http_url}/instruments"))[0] == 200
            assert (await get(f"{server.http_url}/user/profile"))[0] == 404

    run(main())
