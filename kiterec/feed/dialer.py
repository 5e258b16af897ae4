"""Opens the socket of a connection with the access token of the moment."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from kiterec.errors import FeedError
from kiterec.feed.connection import describe_failure, open_socket
from kiterec.feed.failure import Failure, FailureKind, of_network, of_status

if TYPE_CHECKING:
    from kiterec.feed.account import Credentials, Secret
    from kiterec.feed.config import FeedConfig
    from kiterec.feed.connection import ClientConnection

logger = logging.getLogger(__name__)


class Dialer:
    """Connects, as often as it is asked, for one connection of an account.

    Args:
        name: of the connection.
        config: where to connect to, and how long to try.
        credentials: of the account; a refused access token is noted there, for all its connections.
    """

    def __init__(self, name: str, config: FeedConfig, credentials: Credentials) -> None:
        self._name = name
        self._config = config
        self._credentials = credentials

    async def dial(self) -> ClientConnection | Failure:
        """Give an open socket, or say why there is none."""
        token: Secret | None = None
        try:
            token = await self._credentials.token()
            if self._credentials.is_refused(token):
                failure = of_status(HTTPStatus.FORBIDDEN)
                return Failure(
                    kind=FailureKind.SAME_CREDENTIALS, reason=failure.reason, status=failure.status
                )
            return await open_socket(self._config, api_key=self._credentials.api_key, access_token=token)
        except FeedError as error:
            return of_network(str(error))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the connection has to come back
            logger.debug("connection=%s connect failed: %s", self._name, type(error).__name__)
            failure = describe_failure(error, self._config.url)
            if failure.kind is FailureKind.CREDENTIALS and token is not None:
                self._credentials.refuse(token)
            return failure
