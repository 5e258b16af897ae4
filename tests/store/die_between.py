"""Starts writers that exit without a word before their k-th file operation.

Run `python -m tests.store.die_between OUT [STEP]`. Each writer is a fork of this process, which has no
threads, and makes OUT/k; the first that is not killed ends the row.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from kiterec.store.files import Files
from tests.store.recordings import make_rows, new_writer

ROWS = make_rows(24, size=900)


class DyingFiles(Files):
    """Ends the process before the operation of this number."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.lock = threading.Lock()

    def before(self, operation: str, path: Path) -> None:
        with self.lock:
            self.left -= 1
            if self.left < 0:
                os._exit(9)


def write(out: Path, at: int) -> None:
    """Record `ROWS` on two connections, flushing after each few."""
    writer = new_writer(
        out, files=DyingFiles(at), part_bytes=3000, fsync_interval_s=0, flush_interval_s=0.001
    )
    for number, row in enumerate(ROWS):
        writer.append(f"main-{number % 2}", row)
        if number % 4 == 3:
            while writer.stats().unwritten_bytes:
                threading.Event().wait(0.0005)
    writer.close()


def main() -> None:
    """Fork one writer for each k."""
    out = Path(sys.argv[1])
    for at in range(0, 10_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1):
        child = os.fork()
        if not child:
            write(out / str(at), at)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return


if __name__ == "__main__":
    main()
