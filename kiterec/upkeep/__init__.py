"""Care for recordings: verify, list, cut, merge, prune, export.

A side road of the journey: it reads recordings and makes new ones, and never changes one that is there.
"""

from __future__ import annotations

from kiterec.upkeep.cut import cut
from kiterec.upkeep.export import ExportReport, Format, export
from kiterec.upkeep.filled_gaps import FilledGap, Filling
from kiterec.upkeep.findings import Finding, Findings, Severity
from kiterec.upkeep.listing import Listing, list_recordings
from kiterec.upkeep.merge import MergeReport, merge
from kiterec.upkeep.merging import MergedInput
from kiterec.upkeep.progress import Progress
from kiterec.upkeep.prune import Kept, PrunePlan, PruneReport, Removal, carry_out, plan_prune
from kiterec.upkeep.verify import verify

__all__ = [
    "ExportReport",
    "FilledGap",
    "Filling",
    "Finding",
    "Findings",
    "Format",
    "Kept",
    "Listing",
    "MergeReport",
    "MergedInput",
    "Progress",
    "PrunePlan",
    "PruneReport",
    "Removal",
    "Severity",
    "carry_out",
    "cut",
    "export",
    "list_recordings",
    "merge",
    "plan_prune",
    "verify",
]
