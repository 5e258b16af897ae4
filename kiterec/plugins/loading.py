"""Finding plugins: built-in ones and strangers' alike are entry points; modules and files work too."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Final

import pluggy

from kiterec.errors import PluginError
from kiterec.plugins.file_plugins import implemented_hooks, load_file, read_file_name
from kiterec.plugins.hookspecs import HOOKS, PROJECT, HookSpecs

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT_INS: Final = (EntryPoint("last_prices", "kiterec.plugins.last_prices:LastPrices", PROJECT),)
"""Loaded exactly as if a stranger's package had declared them."""

Options = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """A plugin that can be named.

    Attributes:
        name: how to ask for it.
        source: its `module:attribute`.
        package: the distribution that brought it; None for one without.
        built_in: it is part of kiterec.
        summary: the first line of its documentation.
        hooks: the hooks that it implements.
        problem: why it cannot be loaded; None when it can.
    """

    name: str
    source: str
    package: str | None
    built_in: bool
    summary: str
    hooks: tuple[str, ...]
    problem: str | None = None


def known_plugins() -> dict[str, EntryPoint]:
    """Give the entry points by name; a built-in one cannot be replaced by a stranger's of the same name."""
    found = {point.name: point for point in entry_points(group=PROJECT)}
    return {**found, **{point.name: point for point in BUILT_INS}}


def describe_plugins() -> list[PluginInfo]:
    """Describe every plugin that can be named, by name; one that cannot be loaded says why."""
    return [_describe(point) for _, point in sorted(known_plugins().items())]


def load_plugin(name: str, options: Mapping[str, Any] | None = None) -> pluggy.PluginManager:
    """Load one plugin and check its hooks.

    Args:
        name: of an entry point, or `package.module:attribute`, or a file as `path.py` or `path.py:attribute`.
            The attribute may be dotted; without one the module itself is the plugin, or the only class with
            hooks in a file that has none itself.
        options: keyword arguments for a plugin that is a class.

    Returns:
        A manager with this plugin alone, to call its hooks.

    Raises:
        PluginError: nothing has this name, it cannot be imported, does not take the options, or its hooks
            do not match; the sentence says which.
    """
    return _registered(name, _instance(name, _load(name), dict(options or {})))


def _load(name: str) -> object:
    known = known_plugins()
    try:
        if name in known:
            return known[name].load()
        if (file := read_file_name(name)) is not None:
            return load_file(file)
        if ":" in name:
            return EntryPoint(name, name, PROJECT).load()
    except PluginError:
        raise
    except Exception as error:
        raise PluginError(f"plugin {name} cannot be loaded: {type(error).__name__}: {error}") from error
    raise PluginError(
        f"no plugin is called {name!r}; known are {', '.join(sorted(known))}; "
        "a plugin can also be named as package.module:attribute or as a file, such as my_plugin.py"
    )


def _instance(name: str, found: object, options: Options) -> object:
    """Give a class's instance with these options; anything else is the plugin itself and takes none."""
    if inspect.isclass(found):
        try:
            inspect.signature(found).bind(**options)
        except TypeError as error:
            raise PluginError(
                f"plugin {name} does not take these options: {error}; it takes {_taken(found)}"
            ) from None
        try:
            return found(**options)
        except Exception as error:
            raise PluginError(f"plugin {name} cannot be set up: {type(error).__name__}: {error}") from error
    if options:
        raise PluginError(f"plugin {name} takes no options, {', '.join(sorted(options))} was given")
    return found


def _taken(found: type) -> str:
    return ", ".join(inspect.signature(found).parameters) or "none"


def _registered(name: str, plugin: object) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(HookSpecs)
    try:
        manager.register(plugin, name)
        manager.check_pending()
    except (pluggy.PluginValidationError, ValueError) as error:
        raise PluginError(f"plugin {name} does not fit the hooks: {error}") from error
    if not manager.get_hookcallers(plugin):
        raise PluginError(
            f"plugin {name} implements no hook; mark one of {', '.join(HOOKS)} with kiterec.plugins.hookimpl"
        )
    return manager


def _describe(point: EntryPoint) -> PluginInfo:
    summary, problem = "", None
    hooks: tuple[str, ...] = ()
    try:
        loaded = _load(point.name)
        summary = (inspect.getdoc(loaded) or "").partition("\n")[0]
        hooks = implemented_hooks(loaded)
    except PluginError as error:
        problem = str(error)
    return PluginInfo(
        name=point.name,
        source=point.value,
        package=point.dist.name if point.dist is not None else None,
        built_in=point in BUILT_INS,
        summary=summary,
        hooks=hooks,
        problem=problem,
    )
