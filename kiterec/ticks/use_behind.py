"""Items are used by another thread while the next one is made."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from kiterec.ticks.crew import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future

    Item = TypeVar("Item")


def use_behind(items: Iterable[Item], use: Callable[[Item], Any]) -> None:
    """Use items in their order; two are in memory. With one core, by the caller's own thread.

    What is used should take long in calls that need no turn of the interpreter, such as compressing.
    """
    if cores() == 1:
        for item in items:
            use(item)
        return
    with ThreadPoolExecutor(1, "kiterec-ticks-behind") as pool:
        used: Future[Any] | None = None
        for item in items:
            if used is not None:
                used.result()
            used = pool.submit(use, item)
        if used is not None:
            used.result()
