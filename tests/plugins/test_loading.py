from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kiterec.errors import PluginError
from kiterec.plugins import PluginHost, describe_plugins
from kiterec.plugins.file_plugins import options_of
from kiterec.plugins.loading import load_plugin

if TYPE_CHECKING:
    from pathlib import Path

HERE = "tests.plugins.example_plugin"


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PluginError, match=r"no plugin is called 'last_price'; known are .*last_prices"):
        load_plugin("last_price")


def test_a_plugin_is_loaded_by_module_and_attribute() -> None:
    manager = load_plugin(f"{HERE}:diary")
    assert len(manager.hook.kiterec_frames.get_hookimpls()) == 1


def test_a_plugin_is_loaded_from_a_file_as_a_module_or_an_attribute_of_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from kiterec.plugins import hookimpl\n"
        "@hookimpl\ndef kiterec_frames(batch): pass\n"
        "class Inner:\n    @hookimpl\n    def kiterec_event(self, row): pass\n"
    )
    assert load_plugin(str(path)).hook.kiterec_frames.get_hookimpls()
    assert load_plugin(f"{path}:Inner").hook.kiterec_event.get_hookimpls()
    with pytest.raises(PluginError, match="has no attribute 'Outer'"):
        load_plugin(f"{path}:Outer")


def test_options_reach_a_class_and_strange_ones_are_refused_with_the_known_ones() -> None:
    assert load_plugin(f"{HERE}:Failing", {"error": KeyError}).get_plugins().pop().error is KeyError
    with pytest.raises(PluginError, match=r"does not take these options: .*'colour'; it takes error"):
        load_plugin(f"{HERE}:Failing", {"colour": "red"})
    with pytest.raises(PluginError, match="takes no options, colour was given"):
        load_plugin(f"{HERE}:diary", {"colour": "red"})


@pytest.mark.parametrize(
    ("attribute", "sentence"),
    [
        ("WrongArguments", r"(?s)does not fit the hooks: .*frames"),
        ("UnknownHook", "does not fit the hooks: unknown hook 'kiterec_dance'"),
        ("NoHook", "implements no hook; mark one of kiterec_recording_started, kiterec_frames"),
        ("BadSetup", "cannot be set up: RuntimeError: no weather today"),
        ("Missing", "cannot be loaded: AttributeError"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_refused_before_anything_starts(
    attribute: str, sentence: str
) -> None:
    with pytest.raises(PluginError, match=sentence):
        load_plugin(f"{HERE}:{attribute}")


ONE = """
from kiterec.plugins import PluginHost, hookimpl

class Alert:
    def __init__(self, *, limit=1):
        self.limit = limit

    @hookimpl
    def kiterec_frames(self, batch): pass
"""


def test_the_only_class_with_hooks_of_a_file_is_the_plugin(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(ONE)
    assert type(load_plugin(str(path), {"limit": 5}).get_plugins().pop()).__name__ == "Alert"
    path.write_text(ONE + ONE.replace("Alert", "Other"))
    with pytest.raises(PluginError, match=r"2 classes with hooks; name .*mine\.py:Alert or .*mine\.py:Other"):
        load_plugin(str(path))
    path.write_text("limit = 5\n")
    with pytest.raises(PluginError, match="implements no hook"):
        load_plugin(str(path))


@pytest.mark.parametrize(
    ("used", "table", "fits"),
    [
        ("mine.py:Alert", "mine.py:Alert", True),
        ("mine.py:Alert", "mine.py", True),
        ("mine.py", "mine.py:Alert", True),
        ("./mine.py", "mine.py", True),
        ("mine.py:Alert", "mine.py:Other", False),
        ("mine.py", "other.py", False),
    ],
)
def test_options_of_a_file_are_found_under_each_of_its_names(used: str, table: str, fits: bool) -> None:
    assert options_of(used, {table: {"limit": 5}}) == ({"limit": 5} if fits else {})


def test_options_that_are_given_twice_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(ONE)
    options = {f"{path}:Alert": {"limit": 5}, f"{path}:Other": {}}
    with pytest.raises(PluginError, match=r"has options under .*:Alert and .*:Other; keep one"):
        PluginHost([str(path)], options)
    with pytest.raises(PluginError, match=r"does not take these options: .*'colour'; it takes limit"):
        PluginHost([f"{path}:Alert"], {str(path): {"colour": "red"}})


def test_a_module_or_file_that_is_not_there_is_told() -> None:
    with pytest.raises(PluginError, match="no_such_module:x cannot be loaded: ModuleNotFoundError"):
        load_plugin("no_such_module:x")
    with pytest.raises(PluginError, match=r"plugin file nowhere/x\.py does not exist"):
        load_plugin("nowhere/x.py")


def test_a_file_that_does_not_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 +")
    with pytest.raises(PluginError, match="cannot be loaded: SyntaxError"):
        load_plugin(str(tmp_path / "broken.py"))


def test_the_list_describes_the_built_in_plugin() -> None:
    (info,) = [info for info in describe_plugins() if info.name == "last_prices"]
    assert info.built_in
    assert info.problem is None
    assert info.summary == "Logs the last prices of some instruments at an interval."
    assert info.hooks == ("kiterec_recording_started", "kiterec_frames", "kiterec_recording_stopped")
