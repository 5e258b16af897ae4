"""What every example needs: where the exchange is, who connects, and what can be traded there.

Start an exchange with `kiterec simulate --port 8765 --instruments 9000`, then run an example beside it. With
`--url wss://ws.kite.trade`, KITE_API_KEY and KITE_ACCESS_TOKEN in the environment, the same example runs
against Kite; an account with another name has variables of its own, such as KITE_API_KEY_SECOND.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

from kiterec import Account, InstrumentDump
from kiterec.feed.account import Secret
from kiterec.record.dump_source import download_dump, dump_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def account(name: str = "main") -> Account:
    """Give an account: of the environment, or one that the simulated exchange lets in."""
    suffix = "" if name == "main" else f"_{name.upper()}"
    key = os.environ.get(f"KITE_API_KEY{suffix}", f"key-{name}")
    token = os.environ.get(f"KITE_ACCESS_TOKEN{suffix}", "token")
    return Account(name=name, api_key=Secret(key), access_token=Secret(token))


def instruments(url: str) -> InstrumentDump:
    """Give what the exchange lists today."""
    return InstrumentDump.from_csv(download_dump(dump_url(url), timeout_s=30))


def run(example: Callable[[str], Awaitable[Any]]) -> None:
    """Run an example for some seconds, or until Ctrl-C."""
    parser = argparse.ArgumentParser(description=example.__doc__)
    parser.add_argument("--url", default="ws://127.0.0.1:8765")
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()

    async def limited() -> None:
        try:
            async with asyncio.timeout(asked.seconds):
                await example(asked.url)
        except TimeoutError:
            print(f"{asked.seconds:g} s are over")

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(limited())
