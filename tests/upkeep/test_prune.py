"""prune plans first, and never deletes what is unfinished, damaged or changed."""

from __future__ import annotations

import shutil
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from kiterec.clock import NS_PER_S
from kiterec.errors import SetupError
from kiterec.simulate.market import VIRTUAL_START
from kiterec.store.lock import FolderLock
from kiterec.store.manifest import MANIFEST_NAME, Status, load_manifest, save_manifest
from kiterec.upkeep import carry_out, cut, plan_prune
from tests.store.recordings import journal_folder
from tests.upkeep.market_recordings import HostClock, instant

if TYPE_CHECKING:
    from pathlib import Path

DAY = timedelta(days=1)


class LaterClock(HostClock):
    """Ten days and ten seconds after the market's beginning."""

    def now_ns(self) -> int:
        return VIRTUAL_START + (10 * 86_400 + 10) * NS_PER_S


CLOCK = LaterClock()


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    """Give a folder with an older and a newer recording."""
    root = tmp_path / "recordings"
    cut(whole, root / "date=2026-01-05" / "recording=1-old", end=instant(4))
    cut(whole, root / "date=2026-01-06" / "recording=2-new", begin=instant(6))
    return root


def names(root: Path) -> set[str]:
    return {path.name for path in root.rglob("recording=*")}


def test_what_is_older_than_the_age_goes_and_nothing_before_it_is_asked(root: Path) -> None:
    plan = plan_prune(root, older_than=10 * DAY + timedelta(seconds=3), clock=CLOCK)
    assert [removal.path for removal in plan.remove] == [str(root / "date=2026-01-05" / "recording=1-old")]
    assert "its last row is 10.0 days old" in plan.remove[0].reason
    assert plan.keep == []
    assert names(root) == {"recording=1-old", "recording=2-new"}
    report = carry_out(plan)
    assert report.removed == [plan.remove[0].path]
    assert report.freed_bytes == plan.freed_bytes > 0
    assert [str(path.relative_to(root)) for path in sorted(root.rglob("recording=*"))] == [
        "date=2026-01-06/recording=2-new"
    ]
    assert not (root / "date=2026-01-05").exists()


def test_the_oldest_go_until_the_others_fit(root: Path) -> None:
    whole = plan_prune(root, max_bytes=0, clock=CLOCK)
    assert len(whole.remove) == 2
    assert plan_prune(root, max_bytes=whole.bytes, clock=CLOCK).remove == []
    plan = plan_prune(root, max_bytes=whole.bytes - 1, clock=CLOCK)
    assert [removal.path[-3:] for removal in plan.remove] == ["old"]


def test_sizes_in_a_reason_are_for_people(root: Path) -> None:
    plan = plan_prune(root, max_bytes=2_000)
    assert plan.remove[0].reason.endswith("kB, which are more than 2 kB"), plan.remove[0].reason


def damage(path: Path) -> None:
    part = next(path.glob("connection=*/part-*.parquet"))
    content = bytearray(part.read_bytes())
    content[200] ^= 1
    part.write_bytes(content)


def unfinish(path: Path) -> None:
    manifest = load_manifest(path)
    manifest.status = Status.RECORDING
    save_manifest(path, manifest)


def quarantine(path: Path) -> None:
    manifest = load_manifest(path)
    manifest.status = Status.QUARANTINED
    save_manifest(path, manifest)


def lose_the_manifest_s_checksum(path: Path) -> None:
    content = (path / MANIFEST_NAME).read_text()
    (path / MANIFEST_NAME).write_text(content.replace('"label": "test"', '"label": "best"'))


@pytest.mark.parametrize(
    ("hurt", "reason"),
    [
        (damage, "it does not verify: connection=main-"),
        (unfinish, "it is not finished; run kiterec recover"),
        (quarantine, "it is quarantined"),
        (lose_the_manifest_s_checksum, "was altered"),
    ],
)
def test_what_is_not_whole_stays_with_the_reason(root: Path, hurt: object, reason: str) -> None:
    old = root / "date=2026-01-05" / "recording=1-old"
    hurt(old)  # type: ignore[operator]
    plan = plan_prune(root, max_bytes=0, clock=CLOCK)
    assert [removal.path[-3:] for removal in plan.remove] == ["new"]
    (kept,) = plan.keep
    assert kept.path == str(old)
    assert reason in kept.reason
    carry_out(plan)
    assert names(root) == {"recording=1-old"}


def test_a_recording_with_journals_stays(tmp_path: Path) -> None:
    journal_folder(tmp_path / "killed")
    plan = plan_prune(tmp_path, max_bytes=0, clock=CLOCK)
    assert plan.remove == []
    assert "not finished" in plan.keep[0].reason


def test_what_changed_after_the_plan_stays(root: Path) -> None:
    plan = plan_prune(root, max_bytes=0, clock=CLOCK)
    old = root / "date=2026-01-05" / "recording=1-old"
    manifest = load_manifest(old)
    manifest.notes.append("looked at again")
    save_manifest(old, manifest)
    report = carry_out(plan)
    assert len(report.removed) == 1
    assert "has changed since it was verified" in report.keep[0].reason
    assert names(root) == {"recording=1-old"}


def test_what_somebody_uses_or_has_deleted_meanwhile_is_left_alone(root: Path) -> None:
    plan = plan_prune(root, max_bytes=0, clock=CLOCK)
    shutil.rmtree(root / "date=2026-01-06")
    with FolderLock(root / "date=2026-01-05" / "recording=1-old"):
        report = carry_out(plan)
    assert report.removed == []
    assert len(report.keep) == 2
    assert names(root) == {"recording=1-old"}


def test_without_a_limit_or_a_folder_nothing_is_planned(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="needs a limit"):
        plan_prune(tmp_path)
    with pytest.raises(SetupError, match="is no folder"):
        plan_prune(tmp_path / "nowhere", max_bytes=1)
