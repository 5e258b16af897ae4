"""Accounts and their secrets: who connects, and with which access token right now."""

from __future__ import annotations

import asyncio
import hmac
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from kiterec.errors import FeedError, SetupError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_COMMAND_TIMEOUT_S: Final = 30.0


class Secret:
    """A text that shows itself only when asked: no repr, format, log line or pickle has it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Give the text; to be used at the socket and nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('…')"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> str:
        raise TypeError("a Secret cannot be pickled")


TokenSource = Callable[[], "str | Secret | Awaitable[str | Secret]"]
"""Asked at each connect for the access token of now."""


@dataclass(frozen=True, slots=True)
class TokenCommand:
    """A command that prints the access token on its first line of output; run at each connect.

    Attributes:
        words: the program and its arguments; no shell is involved.
        timeout_s: after so long the command is stopped and the connect counts as failed.
    """

    words: tuple[str, ...] = field(repr=False)  # somebody may write a secret into the command itself
    timeout_s: float = _COMMAND_TIMEOUT_S

    async def __call__(self) -> Secret:
        """Run the command.

        Raises:
            FeedError: it cannot be run, fails, prints nothing or takes too long. Its output is not repeated.
        """
        if not self.words:
            raise FeedError("the access token command is empty; give a program and its arguments")
        program = self.words[0]
        try:
            process = await asyncio.create_subprocess_exec(
                *self.words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise FeedError(f"the access token command {program} cannot be run: {error.strerror}") from None
        try:
            async with asyncio.timeout(self.timeout_s):
                output, _ = await process.communicate()
        except TimeoutError:
            raise FeedError(
                f"the access token command {program} did not end within {self.timeout_s:g} s"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode != 0:
            raise FeedError(f"the access token command {program} ended with exit code {process.returncode}")
        token = output.decode(errors="replace").strip().partition("\n")[0].strip()
        if not token:
            raise FeedError(f"the access token command {program} printed nothing")
        return Secret(token)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One api_key with its access token, under a name that is not secret.

    Attributes:
        name: shown in logs, events and recordings; letters, digits, `_`, `.` and `-`.
        api_key: of the app.
        access_token: of today, or a callable (async too, or a `TokenCommand`), asked at each connect.

    Raises:
        SetupError: the name cannot be used, or a secret is empty.
    """

    name: str
    api_key: Secret
    access_token: Secret | TokenSource

    def __post_init__(self) -> None:
        """Wrap plain texts, so that they cannot be shown by accident."""
        if not _NAME.fullmatch(self.name):
            raise SetupError(
                f"account name {self.name!r} cannot be used, expected up to 64 letters, digits and _ . -"
            )
        for name in ("api_key", "access_token"):
            value = getattr(self, name)
            if isinstance(value, str):
                value = Secret(value)
                object.__setattr__(self, name, value)
            if isinstance(value, Secret) and not value:
                raise SetupError(f"account {self.name}: the {name} is empty; set it before the start")
            if not isinstance(value, Secret) and not (name == "access_token" and callable(value)):
                raise TypeError(f"account {self.name}: the {name} is no text, Secret or callable")


class Credentials:
    """What the connections of one account share: its access token of now, and which one was refused.

    Attributes:
        renewable: a source is asked for the token, so waiting for another one makes sense.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self.api_key = account.api_key
        self._source: Secret | TokenSource = account.access_token
        self._refused: Secret | None = None

    @property
    def renewable(self) -> bool:
        """Tell whether the access token can change without `replace`."""
        return not isinstance(self._source, Secret)

    async def token(self) -> Secret:
        """Give the access token of now.

        Raises:
            FeedError: the source of the token failed. Its own words are left out, for they may hold a secret.
        """
        if isinstance(self._source, Secret):
            return self._source
        try:
            found = self._source()
            if inspect.isawaitable(found):
                found = await found
        except FeedError:
            raise
        except Exception as error:  # noqa: BLE001 -- a stranger's code may raise anything
            raise FeedError(
                f"account {self.account.name}: the access token could not be had ({type(error).__name__})"
            ) from None
        token = found if isinstance(found, Secret) else Secret(found)
        if not token:
            raise FeedError(f"account {self.account.name}: the source of the access token gave an empty one")
        return token

    def replace(self, source: str | Secret | TokenSource) -> None:
        """Use another access token, or source of it, from the next connect on."""
        self._source = Secret(source) if isinstance(source, str) else source
        self._refused = None

    def refuse(self, token: Secret) -> None:
        """Remember that the server refused this token: trying it again never helps."""
        self._refused = token

    def is_refused(self, token: Secret) -> bool:
        """Tell whether the server has refused this token already."""
        return self._refused is not None and self._refused == token
