"""An HTTP request as the REST twin sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

from kiterec.replay.rest.body_reader import FORM_HEADER, METHOD_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.datastructures import Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request. Query, form and header may hold secrets, so they are not shown.

    Attributes:
        method: such as `GET`.
        path: without the query.
        query: what follows the question mark.
        form: the body, as a browser sends a form.
        authorization: the header; `token API_KEY:ACCESS_TOKEN`.
    """

    method: str
    path: str
    query: str = field(default="", repr=False)
    form: str = field(default="", repr=False)
    authorization: str = field(default="", repr=False)

    @classmethod
    def over_http(cls, target: str, headers: Headers) -> Asked:
        """Read a request as `BodyReader` leaves it.

        Args:
            target: path and query.
            headers: of the request.
        """

        def header(name: str, default: str = "") -> str:
            return next(iter(headers.get_all(name)), default)

        path, _, query = target.partition("?")
        return cls(
            method=header(METHOD_HEADER, "GET"),
            path=path,
            query=query,
            form=unquote(header(FORM_HEADER)),
            authorization=header("Authorization"),
        )

    def values(self, name: str) -> list[str]:
        """Give the values of a field of the query or the form, in their order."""
        return [*self._fields(self.query).get(name, []), *self._fields(self.form).get(name, [])]

    def value(self, name: str) -> str:
        """Give the last value of a field; empty without one."""
        return next(reversed(self.values(name)), "")

    def credentials(self) -> tuple[str, str]:
        """Give api_key and access_token of the header; empty without one."""
        scheme, _, pair = self.authorization.partition(" ")
        api_key, _, access_token = pair.partition(":")
        return (api_key, access_token) if scheme.lower() == "token" else ("", "")

    @staticmethod
    def _fields(text: str) -> Mapping[str, list[str]]:
        try:
            return parse_qs(text, keep_blank_values=True, max_num_fields=5_000)
        except ValueError:
            return {}
