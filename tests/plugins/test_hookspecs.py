"""Each hook is documented with its exact arguments, has a test, and is used by somebody."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from kiterec.plugins.hookspecs import HOOKS, HookSpecs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "plugins.md"


def arguments(hook: str) -> list[str]:
    return list(inspect.signature(getattr(HookSpecs, hook)).parameters)[1:]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_documented_with_its_exact_arguments(hook: str) -> None:
    assert f"### `{hook}({', '.join(arguments(hook))})`" in DOCS.read_text().splitlines()


def test_no_hook_is_documented_that_does_not_exist() -> None:
    assert re.findall(r"^### `(kiterec_\w+)\(", DOCS.read_text(), re.MULTILINE) == list(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_explains_each_of_its_arguments(hook: str) -> None:
    text = inspect.getdoc(getattr(HookSpecs, hook)) or ""
    assert re.findall(r"^    (\w+): ", text, re.MULTILINE) == arguments(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_tested(hook: str) -> None:
    assert f"kiterec hook: {{name}} {hook} " in (ROOT / "tests/plugins/test_host.py").read_text()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_used_by_a_plugin_that_ships(hook: str) -> None:
    ships = [*(ROOT / "kiterec/plugins").glob("*.py"), *(ROOT / "examples").glob("**/*.py"), DOCS]
    assert any(re.search(rf"@hookimpl\s+def {hook}\(", path.read_text()) for path in ships), hook
