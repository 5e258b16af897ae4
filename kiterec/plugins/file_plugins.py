"""Plugins that are a file: `watch.py`, or `watch.py:Watch` for something in it."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kiterec.errors import PluginError
from kiterec.plugins.hookspecs import HOOKS, PROJECT

if TYPE_CHECKING:
    from collections.abc import Mapping


class FileName(NamedTuple):
    """The name of a plugin that is a file; `attribute` is empty for the file itself."""

    path: Path
    attribute: str


def read_file_name(name: str) -> FileName | None:
    """Give the file and the attribute of a plugin's name; None when it names no file."""
    if name.endswith(".py"):
        return FileName(Path(name), "")
    path, found, attribute = name.partition(".py:")
    return FileName(Path(path + ".py"), attribute) if found else None


def load_file(file: FileName) -> object:
    """Load the attribute of a file; without one the module, or its only class with hooks.

    Raises:
        PluginError: there is no such file, or it has several classes with hooks.
    """
    module = _module(file.path)
    if not file.attribute:
        return _the_plugin(module, file.path)
    found = module
    for part in file.attribute.split("."):
        found = getattr(found, part)
    return found


def implemented_hooks(plugin: object) -> tuple[str, ...]:
    """Give the hooks that are marked in a module, a class or an object."""
    return tuple(name for name in HOOKS if hasattr(getattr(plugin, name, None), f"{PROJECT}_impl"))


def options_of(name: str, options: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Give the options of a plugin: those under its name, or under its file with or without an attribute.

    Raises:
        PluginError: several tables could be meant.
    """
    file = read_file_name(name)
    if name in options or file is None:
        return options.get(name, {})
    fitting = [known for known in options if _same(file, read_file_name(known))]
    if len(fitting) > 1:
        raise PluginError(
            f"plugin {name} has options under {' and '.join(fitting)}; keep one of these tables"
        )
    return options[fitting[0]] if fitting else {}


def _same(one: FileName, other: FileName | None) -> bool:
    if other is None or one.path.resolve() != other.path.resolve():
        return False
    return one.attribute == other.attribute or not one.attribute or not other.attribute


def _module(path: Path) -> Any:
    if not path.is_file():
        raise PluginError(f"plugin file {path} does not exist")
    spec = importlib.util.spec_from_file_location(f"kiterec_plugin_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise PluginError(f"plugin file {path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickles look their module up by name.
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def _the_plugin(module: Any, path: Path) -> object:
    if implemented_hooks(module):
        return module
    classes = [
        found
        for found in vars(module).values()
        if inspect.isclass(found) and found.__module__ == module.__name__ and implemented_hooks(found)
    ]
    if len(classes) > 1:
        names = " or ".join(f"{path}:{found.__name__}" for found in classes)
        raise PluginError(f"plugin file {path} has {len(classes)} classes with hooks; name {names}")
    return classes[0] if classes else module
