"""How a recording is written: intervals, sizes and limits."""

from __future__ import annotations

from dataclasses import dataclass

from kiterec.errors import SetupError


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """The writer's options.

    Attributes:
        flush_interval_s: rows reach the operating system at least this often.
        fsync_interval_s: and the disk this often; 0: with every flush; None: when the system likes.
        part_bytes: a part ends when its journal has this much payload …
        part_duration_s: … or is this old; also at midnight IST.
        memory_budget: bytes of rows that may wait to be written; more is back-pressure.
        sealing_threads: parts that are sealed at a time.
        warn_free_bytes: with less space left on the disk than this, warn and seal early.
        min_free_bytes: with less than this, stop as on a full disk, while there is room to seal.

    Raises:
        SetupError: a value that cannot work.
    """

    flush_interval_s: float = 0.1
    fsync_interval_s: float | None = 1.0
    part_bytes: int = 256 << 20
    part_duration_s: float = 900.0
    memory_budget: int = 256 << 20
    sealing_threads: int = 1
    warn_free_bytes: int = 2 << 30
    min_free_bytes: int = 128 << 20

    def __post_init__(self) -> None:
        for name in ("flush_interval_s", "part_bytes", "part_duration_s", "memory_budget", "sealing_threads"):
            if not getattr(self, name) > 0:
                raise SetupError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("fsync_interval_s", "warn_free_bytes", "min_free_bytes"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise SetupError(f"{name} is {value}; it must not be below 0")

    def limits(self) -> dict[str, float | int | None]:
        """Give the options as the manifest keeps them."""
        return {name: getattr(self, name) for name in self.__slots__}
