"""The manifest: saved in one step, checked when it is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kiterec.errors import ManifestError
from kiterec.store.manifest import (
    MANIFEST_NAME,
    Manifest,
    PartEntry,
    decode_manifest,
    encode_manifest,
    load_manifest,
    save_manifest,
)
from kiterec.store.packet_count import Counts, Gap
from tests.store.recordings import CrashError, CrashingFiles, crash_points

HERE = Path("recording.json")


def a_manifest() -> Manifest:
    manifest = Manifest(label="ü", accounts=["main"], details={"url": "ws://x", "n": [1, None]})
    gap = Gap(from_ns=1, to_ns=2, reason="lost")
    for connection, number in (("b", 0), ("a", 1), ("a", 0)):
        manifest.set_part(
            PartEntry(
                connection=connection,
                number=number,
                first_seq=0,
                last_seq=1,
                begin_ns=5,
                end_ns=6,
                bytes=7,
                sha256="0" * 64,
                counts=Counts(rows=2, gaps=[gap]),
            )
        )
    return manifest


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    save_manifest(tmp_path, a_manifest())
    assert load_manifest(tmp_path) == a_manifest()
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST_NAME]
    assert json.loads((tmp_path / MANIFEST_NAME).read_text())["status"] == "recording"


def test_parts_are_kept_in_order_and_listed_once() -> None:
    manifest = a_manifest()
    assert [(part.connection, part.number) for part in manifest.parts] == [("a", 0), ("a", 1), ("b", 0)]
    manifest.set_part(manifest.parts[1])
    assert len(manifest.parts) == 3
    assert manifest.part("a", 1) is manifest.parts[1]
    assert manifest.part("c", 0) is None
    assert manifest.connections == ["b", "a"]


def test_every_altered_byte_is_refused() -> None:
    content = encode_manifest(a_manifest())
    for at in range(len(content)):
        altered = bytearray(content)
        altered[at] ^= 1 << (at % 8)
        with pytest.raises(ManifestError, match=r"recording\.json"):
            decode_manifest(bytes(altered), where=HERE)


def test_every_cut_is_refused() -> None:
    content = encode_manifest(a_manifest())
    for size in range(len(content)):
        with pytest.raises(ManifestError):
            decode_manifest(content[:size], where=HERE)


def test_a_newer_format_says_to_upgrade() -> None:
    content = encode_manifest(a_manifest()).replace(b'"format": 1', b'"format": 2')
    with pytest.raises(ManifestError, match=r"format 2.*upgrade"):
        decode_manifest(content, where=HERE)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode) | st.just(b"[" * 100_000))
def test_garbage_is_refused_and_never_crashes(content: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_manifest(content, where=HERE)


def test_a_crash_while_saving_leaves_the_old_or_the_new_one(tmp_path: Path) -> None:
    for crash_at in crash_points():
        old, new = a_manifest(), a_manifest()
        new.label = "new"
        save_manifest(tmp_path, old)
        try:
            save_manifest(tmp_path, new, files=CrashingFiles(crash_at))
        except CrashError:
            assert load_manifest(tmp_path) in (old, new)
        else:
            break
    assert crash_at == 5
    assert load_manifest(tmp_path) == new


def test_a_missing_manifest_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"is no recording: it has no recording\.json"):
        load_manifest(tmp_path)
    (tmp_path / MANIFEST_NAME).mkdir()
    with pytest.raises(ManifestError, match="cannot read"):
        load_manifest(tmp_path)
