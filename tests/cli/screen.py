"""A terminal: runs a command in one, and tells what is on its screen at the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

from tests.cli.commands import DEADLINE_S, environment

if TYPE_CHECKING:
    from pathlib import Path

ESCAPE = re.compile(r"\x1b\[(\??\d*)([A-Za-z])|\x1b\[[\d;]*m")
CTRL_C = b"\x03"
CONTROLLED = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes the terminal the one whose Ctrl-C is a signal, then becomes the command."""


def on_terminal(
    *words: str | Path, width: int, keys_after: tuple[tuple[str, bytes], ...] = ()
) -> tuple[int, str]:
    """Run a command in a terminal to its end; gives its exit code and all that it wrote.

    Args:
        words: the command's.
        width: columns of the terminal.
        keys_after: what is typed when a text is first seen, in turn.
    """
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 200, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", CONTROLLED, sys.executable, "-m", "kiterec", *map(str, words)],
        stdin=its, stdout=its, stderr=its, start_new_session=True, env=environment(TERM="xterm"),
    )  # fmt: skip
    os.close(its)
    written, waiting, end = "", list(keys_after), time.monotonic() + DEADLINE_S
    try:
        while time.monotonic() < end and (sent := _read(ours)):
            written += sent
            if waiting and waiting[0][0] in written:
                os.write(ours, waiting.pop(0)[1])
        return process.wait(DEADLINE_S), written
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def _read(terminal: int) -> str:
    try:
        return os.read(terminal, 65_536).decode(errors="replace")
    except OSError:  # Linux's way to say that nobody has the other end open
        return ""


def screen(written: str, *, width: int) -> list[str]:
    """Give the lines that a terminal of endless height shows of what was written."""
    lines: list[list[str]] = [[]]
    row = column = place = 0
    while place < len(written):
        if code := ESCAPE.match(written, place):
            place = code.end()
            if code[2] == "A":
                row = max(0, row - int(code[1] or 1))
            elif code[2] == "K":
                lines[row] = []
            continue
        character = written[place]
        place += 1
        if character == "\r":
            column = 0
        elif character == "\n":
            row += 1
        else:
            if column == width:
                row, column = row + 1, 0
            while row >= len(lines):
                lines.append([])
            lines[row] += [" "] * (column + 1 - len(lines[row]))
            lines[row][column] = character
            column += 1
        while row >= len(lines):
            lines.append([])
    return ["".join(line).rstrip() for line in lines]
