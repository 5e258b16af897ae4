"""One plugin at work: its backlog, its thread, and what went wrong in it."""

from __future__ import annotations

import logging
import os
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kiterec.plugins.backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pluggy

logger = logging.getLogger(__name__)

TRACE_VARIABLE: Final = "KITEREC_TRACE_HOOKS"
"""Set it to anything to have each hook call printed on standard error."""

LAST_HOOK: Final = "kiterec_recording_stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginStats:
    """How one plugin does.

    Attributes:
        calls: hook calls that were made, failed ones too.
        errors: how many of them raised.
        waiting: entries in its backlog.
        lost_rows: rows it never saw because it was too slow.
        lost_batches: the batches and events that held them.
        last_error: the class of the newest exception; None when there was none.
        abandoned: it did not end before the deadline.
    """

    calls: int
    errors: int
    waiting: int
    lost_rows: int
    lost_batches: int
    last_error: str | None
    abandoned: bool


class Runner:
    """Calls the hooks of one plugin in one thread; whatever they raise ends here."""

    def __init__(self, name: str, manager: pluggy.PluginManager, *, backlog_bytes: int) -> None:
        self.name = name
        self._manager = manager
        self._backlog: Backlog[tuple[str, Mapping[str, Any]]] = Backlog(limit_bytes=backlog_bytes)
        self._thread = threading.Thread(target=self._run, name=f"kiterec-plugin-{name}", daemon=True)
        self._calls = 0
        self._errors = 0
        self._last_error: str | None = None
        self._told: set[tuple[str, type[BaseException]]] = set()
        self._abandoned = False
        self._told_slow = False
        if os.environ.get(TRACE_VARIABLE):
            manager.add_hookcall_monitoring(self._trace, _nothing)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def implements(self, hook: str) -> bool:
        """Tell whether the plugin wants this hook; what it does not want needs no room in its backlog."""
        return bool(getattr(self._manager.hook, hook).get_hookimpls())

    def call(self, hook: str, arguments: Mapping[str, Any], *, rows: int = 0, size: int = 0) -> None:
        """Put one hook call at the end of the backlog; the oldest ones are lost when it is too long."""
        self._backlog.add((hook, arguments), rows=rows, size=size)
        if self._backlog.lost_entries and not self._told_slow:
            self._told_slow = True
            logger.warning(
                "plugin is too slow and loses its oldest batches, the recording does not: plugin=%s",
                self.name,
            )

    def finish(self, summary: object, *, timeout_s: float) -> None:
        """Let the plugin end what waits for it, and say when it does not within this time."""
        self._backlog.add((LAST_HOOK, {"summary": summary}))
        self._thread.join(timeout_s)
        self._abandoned = self._thread.is_alive()
        stats = self.stats()
        if self._abandoned:
            logger.warning(
                "plugin did not end in time and is left behind: plugin=%s waiting=%d",
                self.name,
                stats.waiting,
            )
        if stats.errors or stats.lost_rows:
            logger.warning(
                "plugin had trouble: plugin=%s errors=%d last_error=%s lost_rows=%d lost_batches=%d",
                *(self.name, stats.errors, stats.last_error, stats.lost_rows, stats.lost_batches),
            )

    def stats(self) -> PluginStats:
        """Give the counts of now."""
        return PluginStats(
            calls=self._calls,
            errors=self._errors,
            waiting=len(self._backlog),
            lost_rows=self._backlog.lost_rows,
            lost_batches=self._backlog.lost_entries,
            last_error=self._last_error,
            abandoned=self._abandoned,
        )

    def _run(self) -> None:
        hook = ""
        while hook != LAST_HOOK:
            hook, arguments = self._backlog.take()
            self._calls += 1
            try:
                getattr(self._manager.hook, hook)(**arguments)
            except BaseException as error:  # noqa: BLE001 -- sys.exit() in a plugin must not end its thread either
                self._failed(hook, error)

    def _failed(self, hook: str, error: BaseException) -> None:
        """Count an error; each class of it in each hook is logged once, in full."""
        self._errors += 1
        self._last_error = type(error).__name__
        key = (hook, type(error))
        if key not in self._told:
            self._told.add(key)
            logger.error(
                "plugin raised; the next ones of this class are only counted: plugin=%s hook=%s",
                *(self.name, hook),
                exc_info=error,
            )

    def _trace(self, hook: str, _: object, arguments: Mapping[str, Any]) -> None:
        shown = " ".join(f"{name}={_short(value)}" for name, value in arguments.items())
        sys.stderr.write(f"kiterec hook: {self.name} {hook} {shown}\n")


def _short(value: Any) -> str:
    rows = getattr(value, "num_rows", None)
    if rows is not None:
        return f"<{rows} rows>"
    kind = getattr(value, "kind", None)
    if kind is not None:
        return f"<{kind}>"
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:99]}…"


def _nothing(*_: object) -> None:
    """Ignore what a hook call gave."""
