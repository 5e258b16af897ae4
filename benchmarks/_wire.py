"""The server's side of a WebSocket, by hand: what a benchmark's peer sends costs as little as possible."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_upgrade(client: socket.socket) -> bool:
    """Answer the opening handshake (RFC 6455, 4.2.2); a request for anything else gets a 404, and False."""
    request = b""
    while b"\r\n\r\n" not in request:
        received = client.recv(1 << 16)
        if not received:
            return False
        request += received
    if b"sec-websocket-key: " not in request.lower():
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return False
    key = request.lower().partition(b"sec-websocket-key: ")[0]
    start = len(key) + len(b"sec-websocket-key: ")
    nonce = request[start : request.index(b"\r\n", start)]
    digest = hashlib.sha1(nonce + _GUID).digest()
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    return True


def message_head(size: int) -> bytes:
    """Give what stands before a binary message of this size (RFC 6455, 5.2)."""
    if size < 126:
        return bytes((0x82, size))
    if size < 65_536:
        return bytes((0x82, 126)) + size.to_bytes(2)
    return bytes((0x82, 127)) + size.to_bytes(8)
