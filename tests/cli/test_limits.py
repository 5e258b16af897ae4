"""Kite's limits, changed on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.cli.commands import DEADLINE_S, running

FIXTURE = next((Path(__file__).parents[1] / "fixtures" / "recordings").glob("date=*/recording=*"))


@pytest.mark.parametrize("verb", [("simulate", "--instruments", "10"), ("replay", str(FIXTURE))])
def test_limits_of_kite_can_be_changed(verb: tuple[str, ...]) -> None:
    with running(
        *verb, "--port", "0", "--connections-per-key", "1", "--instruments-per-connection", "2"
    ) as server:
        url = server.wait_for(r"ws://127\.0\.0\.1:\d+")[0]
        with connect(f"{url}/?api_key=k&access_token=t") as client:
            client.send(json.dumps({"a": "subscribe", "v": [256, 512, 768]}))
            texts = []
            while not any("instruments." in text for text in texts):
                message = client.recv(timeout=DEADLINE_S)
                texts += [message] if isinstance(message, str) else []
            assert json.loads(texts[-1])["data"] == "Can't subscribe to more than 2 instruments."
            with pytest.raises(InvalidStatus) as refused, connect(f"{url}/?api_key=k&access_token=t"):
                pass
            assert refused.value.response.status_code == 429
