"""Every command and snippet that the README and docs/ show is run as written.

A page is one story, run top to bottom in an empty folder. A fence's language says what it is: `console`
commands for bash, `python` snippets that share one namespace, and `toml` files. A comment above it says more:

- `<!-- not run: why -->` shows something that cannot run here; the reason is part of the page.
- `<!-- until: text -->` a server: started, awaited until it says the text, stopped at the end of the page.
- `<!-- exit: 3 -->` the exit code expected.
- `<!-- file: NAME -->` the fence is the content of a file that later commands use.

Snippets of a page run in one Python process, which lives as long as the page.

Ports shown are replaced by free ones, so that pages can run beside each other.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted(p.relative_to(ROOT).as_posix() for p in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
RUN = {"console", "python", "toml"}
FENCE = re.compile(
    r"(?P<notes>(?:<!--[^\n]*-->\n)*)```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
NOTE = re.compile(r"<!--\s*(not run|until|exit|file)\s*:\s*(.*?)\s*-->")
PORT = re.compile(r"(?<=--port )\d{4,5}|(?<=127\.0\.0\.1:)\d{4,5}|(?<=localhost:)\d{4,5}")
DEADLINE_S = 180

SNIPPETS = """
import json, os, sys

def run(story):
    sys.stdin = open(os.devnull)
    for line in story:
        page, first, text = json.loads(line)
        code = compile("\\n" * (first - 1) + text, page, "exec", dont_inherit=True)
        exec(code, sys.modules["__main__"].__dict__)
        os.write(int(sys.argv[1]), b".")

run(sys.stdin)
"""
"""Runs snippets as if they stood on their lines of one file; says with a dot that one has ended."""


@dataclass
class Fence:
    line: int
    language: str
    text: str
    notes: dict[str, str] = field(default_factory=dict)


def fences(page: str) -> list[Fence]:
    source = (ROOT / page).read_text()
    found = [
        Fence(
            line=source.count("\n", 0, match.start("language")) + 1,
            language=match["language"],
            text=match["text"],
            notes=dict(NOTE.findall(match["notes"])),
        )
        for match in FENCE.finditer(source)
    ]
    return [fence for fence in found if fence.language in RUN and "not run" not in fence.notes]


class Snippets:
    """A Python process that runs the snippets of a page, one after the other."""

    def __init__(self, page: Path, folder: Path, environment: dict[str, str]) -> None:
        self.page = page
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115 -- closed by `close`
        self.ended, ends = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SNIPPETS, str(ends)],
            cwd=folder, env=environment, text=True, pass_fds=[ends],
            stdin=subprocess.PIPE, stdout=self.output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        os.close(ends)

    def run(self, fence: Fence, text: str) -> None:
        print(json.dumps([str(self.page), fence.line + 1, text]), file=self.process.stdin, flush=True)
        there, _, _ = select.select([self.ended], [], [], DEADLINE_S)
        assert there, f"line {fence.line} took longer than {DEADLINE_S} s: {self.said()}"
        assert os.read(self.ended, 1) == b".", f"line {fence.line}: {self.said()}"

    def end(self) -> None:
        self.process.stdin.close()
        assert self.process.wait(DEADLINE_S) == 0, self.said()

    def close(self) -> None:
        self.process.kill()
        self.process.stdin.close()
        self.process.wait()
        self.output.close()
        os.close(self.ended)

    def said(self) -> str:
        self.output.seek(0)
        return self.output.read()[-3000:]


class Page:
    """One page's folder, environment, ports, snippets and servers."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = path
        self.folder = folder
        self.snippets: Snippets | None = None
        self.ports: dict[str, str] = {}
        self.servers: list[subprocess.Popen[str]] = []
        home = folder / "home"
        home.mkdir()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("KITE_")}
        self.environment = kept | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "COLUMNS": "100",
        }

    def with_free_ports(self, text: str) -> str:
        return PORT.sub(lambda match: self.ports.setdefault(match[0], free_port()), text)

    def start(self, command: str, *, until: str) -> None:
        server = subprocess.Popen(
            ["bash", "-c", f"exec {command.strip()}"],
            cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.servers.append(server)
        said: list[str] = []
        ready = threading.Event()

        def read() -> None:
            for line in server.stderr or ():
                said.append(line)
                if until in line:
                    ready.set()
            ready.set()

        threading.Thread(target=read, daemon=True).start()
        ready.wait(DEADLINE_S)
        assert any(until in line for line in said), f"{command} never said {until!r}: {''.join(said)}"

    def run(self, arguments: list[str], *, expected: int = 0) -> None:
        done = subprocess.run(
            arguments, cwd=self.folder, env=self.environment, text=True, stdin=subprocess.DEVNULL,
            capture_output=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        assert done.returncode == expected, (
            f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        )

    def run_snippet(self, fence: Fence, text: str) -> None:
        if self.snippets is None:
            self.snippets = Snippets(self.path, self.folder, self.environment)
        self.snippets.run(fence, text)

    def end(self) -> None:
        if self.snippets is not None:
            self.snippets.end()

    def close(self) -> None:
        if self.snippets is not None:
            self.snippets.close()
        for server in self.servers:
            os.killpg(server.pid, signal.SIGTERM)
        for server in self.servers:
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait(30)
            if server.stderr:
                server.stderr.close()


def free_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return str(taken.getsockname()[1])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", PAGES)
def test_everything_that_a_page_shows_runs_as_written(name: str, tmp_path: Path) -> None:
    page = Page(ROOT / name, tmp_path)
    try:
        for fence in fences(name):
            text = page.with_free_ports(fence.text)
            if file := fence.notes.get("file"):
                (tmp_path / file).write_text(text)
            elif until := fence.notes.get("until"):
                page.start(text, until=page.with_free_ports(until))
            elif fence.language == "console":
                page.run(["bash", "-euo", "pipefail", "-c", text], expected=int(fence.notes.get("exit", "0")))
            elif fence.language == "python":
                page.run_snippet(fence, text)
        page.end()
    finally:
        page.close()


def test_the_pages_do_show_commands() -> None:
    assert len(fences("README.md")) >= 5


def test_every_test_that_a_page_names_exists() -> None:
    defined = {
        (path.name, name)
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.MULTILINE)
    }
    for name in PAGES:
        named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / name).read_text()))
        assert named <= defined, f"{name}: {named - defined}"
        if name in {"docs/feed.md", "docs/replay.md", "docs/faults.md"}:
            assert len(named) >= 15


def test_a_tested_program_with_its_tests_and_its_workflow_is_thirty_lines() -> None:
    page = (ROOT / "docs" / "testing.md").read_text().partition("## What the fixtures give")[0]
    files = [
        match for match in FENCE.finditer(page) if match["language"] == "yaml" or "file:" in match["notes"]
    ]
    assert len(files) == 3
    assert sum(1 for match in files for line in match["text"].splitlines() if line.strip()) <= 30


@pytest.mark.parametrize("name", [*PAGES, "benchmarks/README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_to_a_file_leads_to_one(name: str) -> None:
    page = ROOT / name
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []
