"""prune: which old recordings can go; a plan first, and nothing that was not verified."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from kiterec.amounts import size
from kiterec.clock import NS_PER_S, SYSTEM_CLOCK, Clock
from kiterec.errors import KiterecError, SetupError, StorageError
from kiterec.store.files import FILES, storage_errors
from kiterec.store.lock import FolderLock
from kiterec.store.manifest import MANIFEST_NAME, Status
from kiterec.store.sealer import sha256_of
from kiterec.upkeep.listing import Listing, list_recordings
from kiterec.upkeep.progress import Progress, tell
from kiterec.upkeep.verify import verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

_DAY_S: Final = 86_400


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that can go.

    Attributes:
        path: its folder.
        bytes: size of its files.
        end_ns: when its last row was received, ns since the epoch.
        reason: why it can go.
        manifest_sha256: of its manifest when it was verified; another one, and it stays.
    """

    path: str
    bytes: int
    end_ns: int
    reason: str
    manifest_sha256: str


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A recording that would go by age or size, and stays."""

    path: str
    bytes: int
    reason: str


class PrunePlan(msgspec.Struct, kw_only=True):
    """What prune would do.

    Attributes:
        root: the folder of recordings.
        bytes: size of all recordings in it.
        remove: what can go, oldest first; each was verified and is whole.
        keep: what should go and stays, with the reason.
    """

    root: str
    bytes: int = 0
    remove: list[Removal] = []
    keep: list[Kept] = []

    @property
    def freed_bytes(self) -> int:
        """What carrying it out frees."""
        return sum(removal.bytes for removal in self.remove)


class PruneReport(msgspec.Struct, kw_only=True):
    """What prune did.

    Attributes:
        removed: recordings that are gone.
        freed_bytes: the room that they took.
        keep: recordings that changed since the plan, or could not be deleted, and stay.
    """

    removed: list[str] = []
    freed_bytes: int = 0
    keep: list[Kept] = []


def plan_prune(
    root: Path | str,
    *,
    older_than: timedelta | None = None,
    max_bytes: int | None = None,
    clock: Clock = SYSTEM_CLOCK,
    progress: Progress | None = None,
) -> PrunePlan:
    """Find the recordings that can go; nothing is deleted.

    Unfinished and quarantined recordings stay, and so does each that does not verify: it may be the only one
    of its time, and a damaged recording needs somebody to look at it.

    Args:
        root: a folder of recordings.
        older_than: those whose last row is older go.
        max_bytes: the oldest go until the others are no more than this.
        clock: tells how old a recording is.
        progress: called with recordings verified and recordings to verify.

    Raises:
        SetupError: neither `older_than` nor `max_bytes`, or there is no such folder.
    """
    if older_than is None and max_bytes is None:
        raise SetupError("prune needs a limit: an age, a size, or both")
    root = Path(root)
    if not root.is_dir():
        raise SetupError(f"{root} is no folder; give the one that holds the recordings")
    found = list_recordings(root)
    plan = PrunePlan(root=str(root), bytes=sum(listing.bytes for listing in found))
    oldest_first = sorted(found, key=lambda listing: (listing.end_ns or 0, listing.path))
    before_ns = None
    if older_than is not None:
        before_ns = clock.now_ns() - round(older_than.total_seconds() * NS_PER_S)
    left = plan.bytes
    for place, listing in enumerate(oldest_first):
        age_reason = _too_old(listing, before_ns, clock)
        if age_reason is None and (max_bytes is None or left <= max_bytes):
            continue
        reason = age_reason or _too_large(left, max_bytes)
        judged = _judge(listing, reason)
        if isinstance(judged, Removal):
            plan.remove.append(judged)
            left -= listing.bytes
        else:
            plan.keep.append(judged)
        tell(progress, place + 1, len(oldest_first))
    return plan


def carry_out(plan: PrunePlan) -> PruneReport:
    """Delete what a plan lists, if it still is what was verified.

    A recording vanishes under its name in one step, so that nobody reads a half of it.
    """
    report = PruneReport()
    for removal in plan.remove:
        try:
            _remove(removal)
        except (KiterecError, OSError) as error:
            report.keep.append(Kept(path=removal.path, bytes=removal.bytes, reason=str(error)))
        else:
            report.removed.append(removal.path)
            report.freed_bytes += removal.bytes
    return report


def _too_old(listing: Listing, before_ns: int | None, clock: Clock) -> str | None:
    if before_ns is None or listing.end_ns is None or listing.end_ns >= before_ns:
        return None
    days = (clock.now_ns() - listing.end_ns) / NS_PER_S / _DAY_S
    return f"its last row is {days:,.1f} days old"


def _too_large(left: int, max_bytes: int | None) -> str:
    return f"it is the oldest of {size(left)}, which are more than {size(max_bytes or 0)}"


def _judge(listing: Listing, reason: str) -> Removal | Kept:
    """Verify a recording that should go."""
    obstacle = next(_obstacles(listing), None)
    if obstacle is not None:
        return Kept(path=listing.path, bytes=listing.bytes, reason=obstacle)
    manifest = Path(listing.path) / MANIFEST_NAME
    try:
        digest = sha256_of(manifest)
    except StorageError as error:
        return Kept(path=listing.path, bytes=listing.bytes, reason=str(error))
    findings = verify(listing.path)
    if not findings.is_clean:
        first = findings.errors[0]
        return Kept(
            path=listing.path, bytes=listing.bytes, reason=f"it does not verify: {first.file}: {first.what}"
        )
    return Removal(
        path=listing.path,
        bytes=listing.bytes,
        end_ns=listing.end_ns or 0,
        reason=reason,
        manifest_sha256=digest,
    )


def _obstacles(listing: Listing) -> Iterator[str]:
    if listing.problem is not None:
        yield listing.problem
    if listing.is_being_written:
        yield "it is being recorded at this moment"
    if listing.status is Status.RECORDING:
        yield "it is not finished; run kiterec recover"
    if listing.status is Status.QUARANTINED:
        yield "it is quarantined: something in it does not check"
    if listing.end_ns is None:
        yield "it has no rows, so that nothing says how old it is"


def _remove(removal: Removal) -> None:
    path = Path(removal.path)
    with FolderLock(path):
        if sha256_of(path / MANIFEST_NAME) != removal.manifest_sha256:
            raise StorageError("it has changed since it was verified; plan again")
        doomed = path.with_name(f".{path.name}.being-deleted")
        FILES.rename(path, doomed)
        # Without its manifest it is no recording any more, whatever interrupts the rest.
        FILES.delete(doomed / MANIFEST_NAME)
        FILES.sync_folder(path.parent)
        with storage_errors("delete", doomed):
            shutil.rmtree(doomed)
    if path.parent.name.startswith("date="):
        with suppress(OSError):  # other recordings of the day are there
            path.parent.rmdir()
