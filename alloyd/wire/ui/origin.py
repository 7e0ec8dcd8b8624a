"""Whether a request was made by the page itself: what keeps other sites from using a visitor's cookie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aiohttp import web

from alloyd.errors import AlloydError, Code

# A header that no form can send, and no other origin's script without being allowed to.
PAGE_HEADER: Final = "X-Alloyd-Page"
PAGE_HEADER_VALUE: Final = "1"

_SAFE: Final = frozenset({"GET", "HEAD"})


class OriginRule:
    """``public_url()`` is the origin at which a proxy shows the page, None for none."""

    def __init__(self, public_url: Callable[[], str | None]) -> None:
        self._public_url = public_url

    def check(self, request: web.Request) -> None:
        """Raise ``forbidden`` for a request that another site made, or may have made.

        Browsers say in ``Sec-Fetch-Site`` who asks, but only over HTTPS and on loopback; in ``Origin`` they say it
        wherever something may be changed. What changes something has to carry one of them, and the page's own header.
        """
        site = request.headers.get("Sec-Fetch-Site")
        if request.method in _SAFE:
            if site not in (None, "same-origin", "none"):
                raise _refused("the request comes from another site")
            return
        if request.headers.get(PAGE_HEADER) != PAGE_HEADER_VALUE:
            raise _refused(f"{PAGE_HEADER}: only the page itself may call this")
        if site is not None:
            if site != "same-origin":
                raise _refused("the request comes from another site")
        elif not self._is_own(request):
            raise _refused("Origin: not the origin of this page")

    def is_secure(self, request: web.Request) -> bool:
        """Whether the browser reaches the page over HTTPS, so that the cookie may say that it wants that.

        The browser says so itself, as the origin: a proxy may have ended TLS, whether it is configured or not.
        """
        return request.scheme == "https" or request.headers.get("Origin", "").startswith("https:")

    def _is_own(self, request: web.Request) -> bool:
        origin = request.headers.get("Origin", "")
        public_url = self._public_url()
        if public_url is not None and origin == public_url.rstrip("/"):
            return True
        return origin == f"{request.scheme}://{request.headers.get('Host', '')}"


def _refused(message: str) -> AlloydError:
    return AlloydError(Code.FORBIDDEN, message)
