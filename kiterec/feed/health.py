"""How the feed is, in one word and the reasons for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from kiterec.feed.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kiterec.feed.stats import ConnectionStats


class HealthStatus(StrEnum):
    """Healthy: all is as wanted; degraded: some of it is not; critical: nothing comes."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the feed is.

    Attributes:
        status: the word.
        reasons: a plain sentence for each thing that is not as it should be; empty when healthy.
    """

    status: HealthStatus
    reasons: tuple[str, ...] = ()


def judge(
    connections: Mapping[str, ConnectionStats],
    *,
    silence_limit_s: float,
    why: Mapping[str, str],
    held: bool,
    dropped: int = 0,
) -> Health:
    """Judge the feed from what its connections are now; a connection that came back leaves no reason behind.

    Args:
        connections: by name.
        silence_limit_s: half of it without a message is worth a word.
        why: what last went wrong on each connection that is not open.
        held: reading stands still on purpose, on one connection at least.
        dropped: items that consumers have lost since the last look.
    """
    reasons = _not_open(connections, why)
    working = 0
    for name, stats in connections.items():
        if stats.state != State.OPEN:
            continue
        working += 1
        age = stats.last_heard_age_s
        if age is not None and not held and age > silence_limit_s / 2:
            reasons.append(f"{name} has said nothing for {age:.1f} s, the limit is {silence_limit_s:g} s")
        if stats.counters.unwritten:
            reasons.append(f"{name} has {stats.counters.unwritten:,} rows that could not be written")
        if stats.pending:
            reasons.append(f"{name} has {stats.pending:,} instruments still to be told")
    if held:
        reasons.append("reading stands still: the recording or a blocking consumer cannot keep up")
    if dropped:
        reasons.append(f"consumers that were too slow lost {dropped:,} items")
    if not working:
        return Health(status=HealthStatus.CRITICAL, reasons=tuple(reasons) or ("there is no connection",))
    status = HealthStatus.DEGRADED if reasons else HealthStatus.HEALTHY
    return Health(status=status, reasons=tuple(reasons))


def _not_open(connections: Mapping[str, ConnectionStats], why: Mapping[str, str]) -> list[str]:
    """Give a sentence for each cause, however many connections have it."""
    having: dict[str, list[str]] = {}
    for name, stats in connections.items():
        if stats.state != State.OPEN:
            having.setdefault(why.get(name, ""), []).append(name)
    sentences = []
    for cause, names in having.items():
        states = " or ".join(dict.fromkeys(connections[name].state for name in names))
        who = f"{', '.join(names[:-1])} and {names[-1]} are" if len(names) > 1 else f"{names[0]} is"
        sentences.append(f"{who} {states}{': ' if cause else ''}{cause}")
    return sentences
