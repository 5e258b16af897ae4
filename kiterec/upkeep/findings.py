"""What `verify` finds: errors and warnings, each with its place and the next step."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from kiterec.store.manifest import Status  # noqa: TC001 -- msgspec reads the annotations when it runs
from kiterec.store.recover import RecoverReport  # noqa: TC001 -- msgspec reads the annotations when it runs

if TYPE_CHECKING:
    from pathlib import Path

MAX_LISTED: Final = 200
"""Findings of each severity that are listed; the others are counted."""


class Severity(StrEnum):
    """An `error` is something that is lost or altered; a `warning` is worth knowing and costs no row."""

    ERROR = "error"
    WARNING = "warning"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be.

    Attributes:
        severity: how bad it is.
        file: which file, relative to the recording; "." for the recording as a whole.
        what: what was found and what was expected.
        next_step: what to do about it.
        offset: first byte concerned, in the file or, for a frame, in the frame; None where that says nothing.
        first_seq: `seq` of the first row concerned; None where it is not known.
        last_seq: `seq` of the last row concerned, included.
    """

    severity: Severity
    file: str
    what: str
    next_step: str
    offset: int | None = None
    first_seq: int | None = None
    last_seq: int | None = None


class Findings(msgspec.Struct, kw_only=True):
    """Everything that `verify` has to say of a recording.

    Attributes:
        path: the recording.
        status: what its manifest says it is; None when the manifest cannot be read.
        is_being_written: a recorder was writing it meanwhile, so that the end was left out.
        errors: what is lost or altered, `MAX_LISTED` at most.
        warnings: what is worth knowing, `MAX_LISTED` at most.
        error_count: all errors, the unlisted ones too.
        warning_count: all warnings.
        parts: sealed parts that were read.
        journals: journals that were read.
        rows: rows that were read.
        frames: binary messages among them, heartbeats not included.
        packets: whole packets of known length in them.
        bad_frames: frames that hold anything else.
        bytes: bytes of the files that were read.
        recover: what `kiterec recover` would do; None: nothing.
    """

    path: str
    status: Status | None = None
    is_being_written: bool = False
    errors: list[Finding] = []
    warnings: list[Finding] = []
    error_count: int = 0
    warning_count: int = 0
    parts: int = 0
    journals: int = 0
    rows: int = 0
    frames: int = 0
    packets: int = 0
    bad_frames: int = 0
    bytes: int = 0
    recover: RecoverReport | None = None

    @property
    def is_clean(self) -> bool:
        """There is no error."""
        return self.error_count == 0

    def add(self, finding: Finding) -> None:
        """Take a finding; past the limit it is only counted."""
        if finding.severity is Severity.ERROR:
            self.error_count += 1
            listed = self.errors
        else:
            self.warning_count += 1
            listed = self.warnings
        if len(listed) < MAX_LISTED:
            listed.append(finding)


class FileNotes:
    """Takes findings about one file of a recording.

    Attributes:
        name: the file, relative to the recording.
    """

    def __init__(self, findings: Findings, root: Path, path: Path) -> None:
        self.findings = findings
        self.name = str(path.relative_to(root))
        self.errors = 0

    def error(self, what: str, next_step: str, **place: int | None) -> None:
        """Note what is lost or altered."""
        self.errors += 1
        self._add(Severity.ERROR, what, next_step, place)

    def warn(self, what: str, next_step: str, **place: int | None) -> None:
        """Note what is worth knowing."""
        self._add(Severity.WARNING, what, next_step, place)

    def _add(self, severity: Severity, what: str, next_step: str, place: dict[str, int | None]) -> None:
        sentence = " ".join(what.split())
        self.findings.add(
            Finding(severity=severity, file=self.name, what=sentence, next_step=next_step, **place)
        )
