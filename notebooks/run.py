"""Run every notebook from its own folder, and fail at the first cell that does.

`python notebooks/run.py [--save] [NOTEBOOK …]`: `--save` keeps the outputs in the notebooks, which are
otherwise left as they are.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

# The kernel must find the same Python and the same kiterec as this script does.
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent
CELL_TIMEOUT_S = 300


def run(path: Path, *, save: bool) -> None:
    """Run one notebook in a kernel of this Python.

    Raises:
        CellExecutionError: a cell failed; the message has the cell and its traceback.
    """
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    with tempfile.TemporaryDirectory() as sockets:
        # Sockets of files, because others on the machine could connect to TCP ports.
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{sockets}/kernel")
        where = {"metadata": {"path": str(FOLDER)}}
        client = NotebookClient(notebook, km=kernel, timeout=CELL_TIMEOUT_S, resources=where)
        # A kernel that we made is left running otherwise, and says so when this process is gone.
        client.execute(cleanup_kc=True)
    if save:
        nbformat.write(notebook, path)


def main() -> int:
    """Run the notebooks named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", action="store_true", help="keep the outputs in the notebooks")
    parser.add_argument("notebooks", nargs="*", type=Path)
    asked = parser.parse_args()
    for path in asked.notebooks or sorted(FOLDER.glob("*.ipynb")):
        try:
            run(path, save=asked.save)
        except CellExecutionError as failure:
            print(f"{path.name}: {failure}", file=sys.stderr)
            return 1
        print(f"{path.name}: ran")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
