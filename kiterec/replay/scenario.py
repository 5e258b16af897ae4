"""What shall go wrong in a replay: faults and a seed, written in TOML or in Python."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import msgspec

from kiterec.errors import SetupError
from kiterec.replay.fault_kinds import AnyFault  # noqa: TC001 -- msgspec reads the annotation

if TYPE_CHECKING:
    from pathlib import Path


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Faults, and the seed of everything that is left to chance.

    Attributes:
        seed: the same seed gives the same faults.
        faults: all are looked at for each frame, in this order. In TOML they are `[[fault]]` tables.
    """

    seed: int = 1
    faults: tuple[AnyFault, ...] = msgspec.field(default=(), name="fault")

    @classmethod
    def load(cls, path: Path) -> Scenario:
        """Read a scenario from TOML.

        Raises:
            SetupError: the file cannot be read, is no TOML, or says something impossible.
        """
        try:
            return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), cls)
        except OSError as reason:
            raise SetupError(f"cannot read the scenario {path}: {reason.strerror or reason}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as reason:
            raise SetupError(f"the scenario {path} is no TOML: {reason}") from None
        except msgspec.ValidationError as reason:
            raise SetupError(f"the scenario {path} is impossible: {reason}; see docs/faults.md") from None
