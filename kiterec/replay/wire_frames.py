"""Messages as WebSocket frames, made once for all clients that get the same object."""

from __future__ import annotations

from typing import Final

_KEPT_BYTES: Final = 4 << 20
_WORTH_KEEPING_BYTES: Final = 1_024

_FIN: Final = 0x80
_TEXT: Final = 0x1
_BINARY: Final = 0x2
_SHORT: Final = 125
_MEDIUM: Final = 0xFFFF


def websocket_frame(message: bytes | str) -> bytes:
    """Give a message as one frame of a server: final, not masked, without extensions.

    Source:
        RFC 6455, 5.2: a length of 126 is followed by 16 bits of length, 127 by 64 bits.
    """
    data, opcode = (message.encode(), _TEXT) if isinstance(message, str) else (message, _BINARY)
    size = len(data)
    if size <= _SHORT:
        head = bytes([_FIN | opcode, size])
    elif size <= _MEDIUM:
        head = bytes([_FIN | opcode, 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([_FIN | opcode, 127]) + size.to_bytes(8, "big")
    return head + data


class WireFrames:
    """The frames of the latest large messages, by the message's identity."""

    __slots__ = ("_frames", "_size")

    def __init__(self) -> None:
        # The message is kept beside its frame, so that no other object can get its identity.
        self._frames: dict[int, tuple[bytes | str, bytes]] = {}
        self._size = 0

    def on_the_wire(self, message: bytes | str) -> bytes:
        """Give the frame of a message."""
        known = self._frames.get(id(message))
        if known is not None:
            return known[1]
        frame = websocket_frame(message)
        if len(frame) >= _WORTH_KEEPING_BYTES:
            if self._size > _KEPT_BYTES:
                self._frames.clear()
                self._size = 0
            self._frames[id(message)] = (message, frame)
            self._size += len(frame)
        return frame
