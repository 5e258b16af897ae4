"""Beside the journey: plugins get a recording live; they can be slow or fail without costing a frame."""

from __future__ import annotations

from kiterec.plugins.hookspecs import hookimpl
from kiterec.plugins.host import PluginHost
from kiterec.plugins.loading import PluginInfo, describe_plugins
from kiterec.plugins.names import InstrumentNames
from kiterec.plugins.runner import PluginStats

__all__ = ["InstrumentNames", "PluginHost", "PluginInfo", "PluginStats", "describe_plugins", "hookimpl"]
