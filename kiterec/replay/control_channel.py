"""The server's end of a control channel: each request calls the function of the same name."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from kiterec.errors import ReplayError
from kiterec.replay.control_messages import (
    Acknowledge,
    Clients,
    Control,
    Pause,
    Reply,
    Resume,
    Seek,
    Speed,
    Stats,
    Step,
)

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from kiterec.replay.controls import ReplayControls

_AT_ONCE: Final = 32
"""So many requests of a channel may wait for their end; more are not read before."""


async def serve_control(connection: ServerConnection, controls: ReplayControls) -> None:
    """Do what a channel asks until it is closed.

    Raises:
        ConnectionClosed: the channel was broken off.
    """
    room = asyncio.Semaphore(_AT_ONCE)
    running: set[asyncio.Task[None]] = set()

    async def answer(message: str | bytes) -> None:
        try:
            await connection.send(msgspec.json.encode(await _reply(message, controls)).decode())
        finally:
            room.release()

    try:
        async for message in connection:
            await room.acquire()
            task = asyncio.create_task(answer(message), name="kiterec-replay-control")
            running.add(task)
            task.add_done_callback(running.discard)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _reply(message: str | bytes, controls: ReplayControls) -> Reply:
    try:
        request = msgspec.json.decode(message, type=Control)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as reason:
        return Reply(id=None, ok=False, error=f"no request: {str(reason)[:200]}")
    try:
        return await _do(request, controls)
    except (ValueError, OverflowError, ReplayError) as reason:
        return Reply(id=request.id, ok=False, error=str(reason))


async def _do(request: Control, controls: ReplayControls) -> Reply:
    clients = waited = None
    match request:
        case Pause():
            controls.pause()
        case Resume():
            controls.resume()
        case Step(frames=frames):
            await controls.step(frames)
        case Seek():
            await controls.seek(
                position_s=request.position_s, by_s=request.by_s, time_ns=request.time_ns, seq=request.seq
            )
        case Speed(speed=speed):
            controls.set_speed(None if speed == "max" else speed)
        case Acknowledge(client=client):
            waited = controls.acknowledge(client)
        case Clients():
            clients = controls.clients()
        case Stats():
            pass
    return Reply(id=request.id, ok=True, stats=controls.stats(), clients=clients, waited=waited)
