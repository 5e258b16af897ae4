"""Runs the vendor's KiteTicker, unmodified, in a process of its own: its reactor cannot be started twice.

Usage: python python_ticker.py ROOT MODES, where MODES is JSON: {"full": [tokens], ...}. Says a line of JSON
for each thing that happens: {"event": "connect"}, {"frame": hex} for a binary message, {"ticks": [...]} for
what the client makes of it, {"order": {...}}, and {"event": "close", "code": 1006}.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime

from kiteconnect import KiteTicker


def main(root: str, modes: dict[str, list[int]]) -> None:
    ticker = KiteTicker("python-key", "the-token", root=root)

    def say(**line: object) -> None:
        print(json.dumps(line, default=datetime.isoformat), flush=True)

    def on_connect(ws: KiteTicker, _response: object) -> None:
        say(event="connect")
        # After a reconnect it subscribes by itself to what it had.
        if not ws.subscribed_tokens:
            ws.subscribe([token for tokens in modes.values() for token in tokens])
            for mode, tokens in modes.items():
                ws.set_mode(mode, tokens)

    def on_message(_ws: KiteTicker, payload: bytes, is_binary: bool) -> None:
        if is_binary:
            say(frame=payload.hex())

    ticker.on_connect = on_connect
    ticker.on_message = on_message
    ticker.on_ticks = lambda _ws, ticks: say(ticks=ticks)
    ticker.on_order_update = lambda _ws, order: say(order=order)
    ticker.on_close = lambda _ws, code, _reason: say(event="close", code=code)
    ticker.connect()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
