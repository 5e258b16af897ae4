"""What recovery tells."""

from __future__ import annotations

import msgspec

from kiterec.store.manifest import Status


class RecoverReport(msgspec.Struct, kw_only=True):
    """What recovery did, or would do.

    Attributes:
        path: the recording.
        status_before: the status that was found; None: the manifest could not be read.
        status: the status now, or as it would be.
        changed: something was, or would be, written; False: the recording was final already.
        sealed: journals that became parts, by their path in the recording.
        listed: parts that were there and not in the manifest.
        deleted: files that were not needed any more.
        kept: files set aside because something in them does not check.
        rows: rows in the parts that were sealed or listed.
        torn_bytes: bytes of unfinished batches at the ends of journals.
        problems: sentences about what does not check.
    """

    path: str
    status_before: Status | None = None
    status: Status = Status.RECOVERED
    changed: bool = False
    sealed: list[str] = []
    listed: list[str] = []
    deleted: list[str] = []
    kept: list[str] = []
    rows: int = 0
    torn_bytes: int = 0
    problems: list[str] = []
