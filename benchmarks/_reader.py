"""A client that costs as little as possible: a process of its own that reads, and throws away what it gets.

Its standard input has one line of JSON: port, requests (texts to send), and whether to write down when each
frame was there. It answers `ready` before it connects, and at last the frames' instants on the host's steady
clock with their sizes, as one line of JSON. A ping and a close that come last in what has arrived are
answered, so that nobody waits for it. Only the standard library is imported: starting it is quick.
"""

from __future__ import annotations

import json
import socket
import sys
import time

_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_BINARY = 2
_PING = b"\x89\x04"
_PONG = b"\x8a\x84\0\0\0\0"
_CLOSE = b"\x88"
_NORMAL = b"\x03\xe8"
_CONTROL_BYTES = 127


class Frames:
    """Finds the ends of WebSocket frames in what is received, without keeping it."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []
        self._head = bytearray()
        self._left = 0
        self._size = 0

    def take(self, data: memoryview) -> None:
        """Note each binary frame of two bytes or more that ends in these bytes."""
        now_ns = time.monotonic_ns()
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
            else:
                self._head.append(data[at])
                at += 1
                if not self._begins():
                    continue
            if not self._left:
                if self._head[0] & 15 == _BINARY and self._size > 1:
                    self.seen.append((now_ns, self._size))
                self._head.clear()

    def _begins(self) -> bool:
        """Tell whether the head of a frame is complete."""
        head = self._head
        if len(head) < 2:
            return False
        more = {126: 2, 127: 8}.get(head[1], 0)
        if len(head) < 2 + more:
            return False
        self._size = self._left = int.from_bytes(head[2:]) if more else head[1]
        return True


def answer_to(end: bytes) -> bytes | None:
    """Give what the last bytes of what has arrived ask for; None: they are a close."""
    if end[-6:-4] == _PING:
        return _PONG + end[-4:]
    at = end.rfind(_CLOSE)
    if at >= 0 and end[at + 2 : at + 4] == _NORMAL and end[at + 1] == len(end) - at - 2:
        return None
    return b""


def main() -> None:
    """Do what the line on standard input says."""
    print("ready", flush=True)
    task = json.loads(sys.stdin.readline())
    frames = Frames()
    with socket.create_connection(("127.0.0.1", task["port"])) as connection:
        connection.sendall(_HANDSHAKE)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += connection.recv(1)
        for request in task["requests"]:
            text = request.encode()
            connection.sendall(b"\x81\xfe" + len(text).to_bytes(2, "big") + bytes(4) + text)
        space = bytearray(1 << 20)
        view = memoryview(space)
        while size := connection.recv_into(space):
            if task["instants"]:
                frames.take(view[:size])
            answer = answer_to(bytes(view[max(0, size - _CONTROL_BYTES) : size]))
            if answer is None:
                break
            if answer:
                connection.sendall(answer)
    print(json.dumps(frames.seen), flush=True)


if __name__ == "__main__":
    main()
