"""How long to wait before the next attempt: exponential, with jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class Backoff:
    """Give the waits between attempts: each doubles the last up to a longest, then chance shortens it.

    The jitter takes away up to half of each wait, so that connections that were lost together do not come
    back together, and no wait is ever near zero.

    Attributes:
        initial_s: the first wait before jitter.
        max_s: the longest wait.
        rng: where the jitter comes from; tests give a seeded one.
        failures: attempts that failed since the last `reset`.

    Source:
        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ ("equal jitter")
    """

    initial_s: float
    max_s: float
    rng: random.Random = field(default_factory=random.Random)
    failures: int = 0

    def next_s(self) -> float:
        """Count a failure and give the wait after it, in seconds."""
        # 2.0 ** 1024 overflows, and 60 doublings are longer than any limit.
        longest = min(self.max_s, self.initial_s * 2.0 ** min(self.failures, 60))
        self.failures += 1
        return longest * (0.5 + 0.5 * self.rng.random())

    def reset(self) -> None:
        """Begin anew: the connection works."""
        self.failures = 0
