"""Holding volumes still, for which the SDK has no call, with its errors."""

from __future__ import annotations

from uuid import UUID

from gateway.core import errors, quiesce
from gateway.core.context import Core
from gateway.frontends.openstorage.errors import encode_error

_NAME = "OpenStorageVolume/Quiesce"


class Quiescence:
    """Holds volumes still by the core."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def quiesce(self, volume_id: UUID, *, quiesce_id: str, timeout_s: int) -> None:
        """See `Quiescing`."""
        try:
            await quiesce.quiesce(self._core, volume_id, quiesce_id=quiesce_id, timeout_s=timeout_s)
        except errors.GatewayError as error:
            raise encode_error(error, _NAME) from None

    async def unquiesce(self, volume_id: UUID) -> None:
        """See `Quiescing`."""
        try:
            await quiesce.unquiesce(self._core, volume_id)
        except errors.GatewayError as error:
            raise encode_error(error, _NAME) from None
