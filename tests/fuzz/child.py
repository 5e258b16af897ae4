"""One target in a process of its own: `python -m tests.fuzz.child TARGET ENGINE SECONDS SEED ARTIFACT`.

The input that is being tried is in the file ARTIFACT, so that it is known whatever ends the process.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fuzz.artifact import MAX_INPUT, Artifact
from tests.fuzz.memory import Peak

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY_BYTES = 200 << 20
INPUT_SECONDS = 20
EXAMPLES = 400


class Guard:
    """Runs a target on one input and refuses what takes too much memory or time.

    Memory is that of all inputs together, so that a leak shows. Where `each` is set it is that of one input:
    atheris keeps something of every array that it sees compared.
    """

    def __init__(
        self, target: Callable[[bytes], None], artifact: Artifact, good: list[bytes], *, each: bool
    ) -> None:
        self._inputs = self._grown = 0
        self._target = target
        self._artifact = artifact
        self._each = each
        for data in good:
            target(data)
        self._peak = Peak()

    def __call__(self, data: bytes) -> None:
        data = data[:MAX_INPUT]
        self._artifact.show(self._inputs, self._grown, data)
        began = time.monotonic()
        self._target(data)
        self._inputs += 1
        if (took := time.monotonic() - began) > INPUT_SECONDS:
            raise TimeoutError(f"one input took {took:.0f} s, {INPUT_SECONDS} are allowed")
        self._measure(data)

    def _measure(self, data: bytes) -> None:
        grown = self._peak.grown_bytes()
        if self._each and grown > MEMORY_BYTES // 2:
            self._peak = Peak()
            self._target(data)
            grown = self._peak.grown_bytes()
        self._grown = max(self._grown, grown)
        if grown > MEMORY_BYTES:
            raise MemoryError(f"{grown >> 20} MB were taken, {MEMORY_BYTES >> 20} are allowed")


def with_hypothesis(guard: Guard, good: list[bytes], *, seconds: float, seed: int) -> None:
    import hypothesis

    from tests.fuzz.mutations import inputs

    end = time.monotonic() + seconds
    round_seed = seed
    while time.monotonic() < end:

        @hypothesis.seed(round_seed)
        @hypothesis.settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(inputs(good))
        def search(data: bytes) -> None:
            if time.monotonic() < end:
                guard(data)

        search()
        round_seed += 1


def with_atheris(guard: Guard, corpus: Path, *, seconds: float, seed: int) -> None:
    import atheris

    words = [
        sys.argv[0], f"-max_total_time={max(1, round(seconds))}", f"-seed={seed or 1}",
        f"-timeout={INPUT_SECONDS}", "-rss_limit_mb=0", f"-max_len={MAX_INPUT}", "-verbosity=0",
        f"-artifact_prefix={corpus}.", str(corpus),
    ]  # fmt: skip
    atheris.Setup(words, guard)
    atheris.Fuzz()


def load(name: str, engine: str) -> tuple[Callable[[bytes], None], list[bytes]]:
    """Give a target and its good inputs; for atheris, with every branch of kiterec instrumented."""
    if engine == "atheris":
        import atheris

        with atheris.instrument_imports(include=["kiterec"], enable_loader_override=False):
            from tests.fuzz.targets import TARGETS
    else:
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.seeds import seeds

    return TARGETS[name], seeds()[name]


def main() -> None:
    name, engine, seconds, seed, place = sys.argv[1:]
    target, good = load(name, engine)
    guard = Guard(target, Artifact(Path(place)), good, each=engine == "atheris")
    if engine == "hypothesis":
        with_hypothesis(guard, good, seconds=float(seconds), seed=int(seed))
        return
    corpus = Path(place).with_suffix(".corpus")
    corpus.mkdir()
    for number, data in enumerate(good):
        (corpus / f"good-{number}").write_bytes(data)
    with_atheris(guard, corpus, seconds=float(seconds), seed=int(seed))


if __name__ == "__main__":
    main()
