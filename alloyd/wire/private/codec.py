"""The private contract's dialect."""

from __future__ import annotations

from collections.abc import Sequence

from alloyd.wire.auth import Authenticator
from alloyd.wire.route import Route
from alloyd.wire.success import SuccessSurface


class PrivateSurface(SuccessSurface):
    """``/api/private``; the web page's own door has another ``prefix``."""

    title = "Storage and triggers"
    key_description = "For paths under /api/private: an API key with the scope `private`"

    def __init__(
        self,
        routes: Sequence[Route],
        authenticator: Authenticator,
        *,
        name: str = "private",
        prefix: str = "/api/private",
        described: bool = True,
    ) -> None:
        super().__init__(routes, authenticator)
        self.name = name
        self.prefix = prefix
        self.described = described
