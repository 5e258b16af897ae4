"""Care for recordings: verify, list, cut, merge, prune, export.

A side road of the journey: it reads and makes recordings, and never touches one that is being written.
"""

from __future__ import annotations

from kiterec.upkeep.verify import verify

__all__ = ["verify"]
