"""Flips random bytes of a recording's files and checks that `verify` names the file of each.

Run `python -m tests.damage --flips 1000 [--seed S]`: so many single flips of a journal, a part, the manifest.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from kiterec.errors import KiterecError, StorageError
from kiterec.store.folder import JOURNAL, PART, RecordingFolder
from kiterec.store.manifest import MANIFEST_NAME
from kiterec.store.recover import recover
from kiterec.store.transcript import read_transcript
from kiterec.upkeep import verify
from tests.store.recordings import journal_folder, make_rows, write_journal

KINDS = ("journal", "part", "manifest")


def make_recording(path: Path, seed: int) -> RecordingFolder:
    """Make a recording with a sealed part and, as if its writer had died, a journal."""
    folder = journal_folder(path, batches=6, rows=10, seed=seed)
    recover(path)
    rows = make_rows(40, seed=seed + 1)
    write_journal(folder.file("main-0", 1, JOURNAL), [rows[:15], rows[15:30], rows[30:]], first_seq=60)
    return folder


def target(folder: RecordingFolder, kind: str) -> Path:
    """Give the file of this kind."""
    if kind == "manifest":
        return folder.path / MANIFEST_NAME
    return folder.file("main-0", 0, PART) if kind == "part" else folder.file("main-0", 1, JOURNAL)


def find(folder: RecordingFolder) -> set[tuple[str, str]]:
    """Give what `verify` finds: file and sentence of each error and warning."""
    found = verify(folder.path)
    return {(Path(each.file).name, each.what) for each in (*found.errors, *found.warnings)}


def flip(kind: str, flips: int, seed: int, place: Path) -> list[str]:
    """Flip so many bytes of a file, one at a time; give what was not as it should be."""
    folder = make_recording(place / kind, seed)
    path = target(folder, kind)
    whole = path.read_bytes()
    before = find(folder)  # a journal: its recorder died
    wrong: list[str] = []
    chance = random.Random(seed)
    for number in range(flips):
        at, bit = chance.randrange(len(whole)), chance.randrange(8)
        altered = bytearray(whole)
        altered[at] ^= 1 << bit
        path.write_bytes(altered)
        found = find(folder) - before
        where = f"{kind}: seed {seed}, flip {number}, bit {bit} of byte {at} of {len(whole)}"
        if path.name not in {name for name, _ in found}:
            wrong.append(f"{where}: not noticed ({found!r})")
        if (trouble := read_anyway(folder)) is not None:
            wrong.append(f"{where}: reading raised {trouble!r}")
    path.write_bytes(whole)
    return wrong


def read_anyway(folder: RecordingFolder) -> Exception | None:
    """Read as much as there is: damage may end that, but only with an error of ours."""
    try:
        for _ in read_transcript(folder):
            pass
    except KiterecError as error:
        return None if isinstance(error, StorageError) else error
    except Exception as error:
        return error
    return None


def run(flips: int, seed: int) -> list[str]:
    """Flip bytes of each kind of file; give all that was wrong."""
    place = Path(tempfile.mkdtemp(prefix="kiterec-damage-"))
    try:
        return [trouble for kind in KINDS for trouble in flip(kind, flips, seed, place)]
    finally:
        shutil.rmtree(place)


def main() -> int:
    """Run it and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    seed = arguments.seed if arguments.seed is not None else int.from_bytes(os.urandom(4), "big")
    wrong = run(arguments.flips, seed)
    print(f"flips={arguments.flips} files={len(KINDS)} seed={seed} missed={len(wrong)}")
    for trouble in wrong:
        print(trouble, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
