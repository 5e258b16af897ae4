"""Threads that share the work of one call: one a core that the process may use, none where that is one."""

from __future__ import annotations

import os
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from kiterec.store.handing_over import handed_over

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    From = TypeVar("From")
    To = TypeVar("To")


def cores() -> int:
    """Give how many threads may be busy: by the process's affinity, and by `POLARS_MAX_THREADS`."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, pl.thread_pool_size()))


def checked_threads(threads: int | None) -> int:
    """Give how many threads to use when a caller asks for so many; `cores()` for None.

    Raises:
        ValueError: fewer than one.
    """
    if threads is None:
        return cores()
    if threads < 1:
        raise ValueError(f"{threads} threads cannot work; give 1 or more, or None for one a core")
    return threads


@contextmanager
def crew(threads: int) -> Iterator[Crew]:
    """Give threads for the length of a block; with one, everything is done by the caller's own."""
    if threads == 1:
        yield Crew(None, 1)
        return
    members: set[int] = set()

    def enter() -> None:
        members.add(threading.get_ident())

    pool = ThreadPoolExecutor(threads, "kiterec-ticks", enter)
    decoder = ThreadPoolExecutor(1, "kiterec-ticks-decoder", enter)
    try:
        yield Crew(pool, threads, decoder)
    finally:
        # Polars drops a scan that it has enough of in whichever thread calls it next; it may be one of these.
        for some in (decoder, pool):
            some.shutdown(wait=threading.get_ident() not in members)


class Crew:
    """Some threads; results come in the order of the work, whoever did it."""

    def __init__(
        self, pool: ThreadPoolExecutor | None, size: int, decoder: ThreadPoolExecutor | None = None
    ) -> None:
        """Use `crew`."""
        self._pool = pool
        self._decoder = decoder
        self.size = size

    def each(self, work: Callable[[From], To], parts: Sequence[From]) -> list[To]:
        """Do all parts at once, the first in the caller's thread, and give what came of them."""
        if self._pool is None or len(parts) < 2:
            return [work(part) for part in parts]
        others = [self._pool.submit(work, part) for part in parts[1:]]
        return [work(parts[0]), *(other.result() for other in others)]

    def ahead(
        self,
        source: Iterator[From],
        split: Callable[[From], Iterable[To]],
        work: Callable[[To], Any],
        *,
        frees_interpreter: bool,
    ) -> Generator[Any]:
        """Read from a source, split what it gives and work on the pieces, ahead of who asks.

        Args:
            source: read by one thread at a time.
            split: gives the pieces of what was read.
            work: done on each of them.
            frees_interpreter: the work hardly needs it, and is done where the piece was read. Other work is
                done by one thread for all sources: numpy's many short calls in two threads wait for each
                other's turn more than they do.
        """
        if self._pool is None or self._decoder is None:
            return _in_turn(source, split, work)
        return self._ahead(self._pool, source, split, work, None if frees_interpreter else self._decoder)

    def _ahead(
        self,
        pool: ThreadPoolExecutor,
        source: Iterator[From],
        split: Callable[[From], Iterable[To]],
        work: Callable[[To], Any],
        worker: ThreadPoolExecutor | None,
    ) -> Generator[Any]:
        reader = 0

        def read() -> list[Any] | None:
            nonlocal reader
            reader = threading.get_ident()
            if (some := next(source, None)) is None:
                return None
            return [work(piece) if worker is None else worker.submit(work, piece) for piece in split(some)]

        reading = pool.submit(read)
        done: list[Any] | None = []
        try:
            while (done := reading.result()) is not None:
                reading = pool.submit(read)
                for piece in done:
                    yield piece if worker is None else piece.result()
        finally:
            # The thread that reads may be the one that drops this; it would wait for itself.
            if not reading.cancel() and reader != threading.get_ident():
                reading.exception()
            for piece in done or () if worker is not None else ():
                piece.cancel()

    def one_ahead(self, items: Iterator[From], work: Callable[[From], To]) -> Generator[To]:
        """Work on what comes in one thread, one item ahead of who asks.

        Raises:
            Exception: whatever the items raise, after what came of those before.
        """
        if self._decoder is None:
            yield from map(work, items)
            return
        made: deque[Future[To]] = deque()
        failure: Exception | None = None
        try:
            while True:
                try:
                    item = next(items)
                except StopIteration:
                    break
                except Exception as error:  # noqa: BLE001 -- it is raised behind what came before it
                    failure = error
                    break
                made.append(self._decoder.submit(work, item))
                del item  # it may be large
                if len(made) > 1:
                    yield made.popleft().result()
            while made:
                yield made.popleft().result()
            if failure is not None:
                raise failure
        finally:
            for future in made:
                future.cancel()


def _in_turn(
    source: Iterator[From], split: Callable[[From], Iterable[To]], work: Callable[[To], Any]
) -> Generator[Any]:
    """Do as `Crew.ahead` in the caller's thread; what was read is dropped before anything is given."""
    while (read := next(source, None)) is not None:
        done = [work(piece) for piece in split(read)]
        del read
        yield from handed_over(done)
