"""What a control channel says: requests and replies as small symmetric classes."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from kiterec.replay.stats import ClientState, ReplayStats  # noqa: TC001 -- msgspec reads the annotations


class ControlRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="do", omit_defaults=True):
    """A request; the reply carries the same `id`."""

    id: int | str | None = None


class Pause(ControlRequest, frozen=True, kw_only=True, tag="pause"):
    """Hold the timeline; heartbeats go on."""


class Resume(ControlRequest, frozen=True, kw_only=True, tag="resume"):
    """Go on."""


class Step(ControlRequest, frozen=True, kw_only=True, tag="step"):
    """Pause, and send the next messages now; the reply comes when they are out."""

    frames: int = 1


class Seek(ControlRequest, frozen=True, kw_only=True, tag="seek"):
    """Go on from another place: one of the fields; the reply comes when it is reached.

    Attributes:
        position_s: seconds since the start of the timeline.
        by_s: seconds from here, back if negative.
        time_ns: recorded wall clock, nanoseconds since the epoch.
        seq: number of the message to come next.
    """

    position_s: float | None = None
    by_s: float | None = None
    time_ns: int | None = None
    seq: int | None = None


class Speed(ControlRequest, frozen=True, kw_only=True, tag="speed"):
    """Change the speed."""

    speed: float | Literal["max"]


class Acknowledge(ControlRequest, frozen=True, kw_only=True, tag="acknowledge"):
    """In lockstep with acknowledgements: a client, or each, has dealt with its last message."""

    client: str | None = None


class Stats(ControlRequest, frozen=True, kw_only=True, tag="stats"):
    """Ask how the replay is."""


class Clients(ControlRequest, frozen=True, kw_only=True, tag="clients"):
    """Ask who is there, with the subscriptions of each."""


Control: TypeAlias = Pause | Resume | Step | Seek | Speed | Acknowledge | Stats | Clients


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to one request.

    Attributes:
        id: the request's.
        ok: whether it was done.
        error: why not.
        stats: how the replay is now.
        clients: who is there; asked for by `clients`.
        waited: whether a client was waited for; of `acknowledge`.
    """

    id: int | str | None
    ok: bool
    error: str | None = None
    stats: ReplayStats | None = None
    clients: list[ClientState] | None = None
    waited: bool | None = None
