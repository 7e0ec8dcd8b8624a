"""Makes and checks tokens: JWTs of one algorithm, one key, one kind."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Generic, Protocol, TypeVar

import msgspec
from jwt import PyJWS
from jwt.exceptions import PyJWTError

from alloyd.domain.sessions.model import ISSUER, TOKEN_CHARS_MAX, TOKEN_TYPE, Claims, Use
from alloyd.kit.clock import Clock

ALGORITHM = "HS256"
VERIFIED_MAX = 10_000  # tokens whose signature need not be computed again
CLOCK_LEEWAY_MS = 30_000  # how far this machine's own clock may be set back without its tokens being of the future

_ENCODER = msgspec.json.Encoder()


class Timed(Protocol):
    """What every kind of token says; times are whole seconds since the epoch."""

    @property
    def iat(self) -> int:
        """When it was issued."""

    @property
    def exp(self) -> int:
        """When it ends."""


C = TypeVar("C", bound=Timed)


class SignedTokens(Generic[C]):
    """Signs and verifies ``claims`` of one type with ``secret``, 32 bytes that serve nothing else.

    Nothing in a token chooses how it is checked: its header has to be, word for word, the one that :meth:`sign`
    writes. So no other algorithm, key, ``crit``, ``jku`` or ``b64`` is ever looked at. Times are checked here against
    the program's own clock.
    """

    def __init__(self, secret: bytes, clock: Clock, claims: type[C]) -> None:
        self._secret = secret
        self._clock = clock
        self._decoder = msgspec.json.Decoder(claims)
        self._jws = PyJWS(algorithms=[ALGORITHM])
        self.kid = hashlib.sha256(b"alloyd kid\0" + secret).hexdigest()[:16]
        self._verified: OrderedDict[bytes, C] = OrderedDict()  # by the SHA-256 of the whole token
        self._header = {"alg": ALGORITHM, "kid": self.kid, "typ": "JWT"}

    def sign(self, claims: C) -> str:
        """``claims`` as a signed token."""
        return self._jws.encode(
            _ENCODER.encode(claims), self._secret, algorithm=ALGORITHM, headers={"kid": self.kid, "typ": "JWT"}
        )

    def find_claims(self, token: str) -> C | None:
        """What a valid token says; None for any other text, whatever is wrong with it."""
        if len(token) > TOKEN_CHARS_MAX or not token.isascii():
            return None
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._verified.get(digest)
        if claims is None:
            claims = self._verify(token)
        else:
            self._verified.move_to_end(digest)
        now_ms = self._clock.now_ms()
        if claims is None or now_ms >= claims.exp * 1000:
            return None
        if self._begins_at_s(claims) * 1000 - CLOCK_LEEWAY_MS > now_ms:
            return None
        self._verified[digest] = claims
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return claims

    def _verify(self, token: str) -> C | None:
        """What a token says that was signed here for this use, whatever the time."""
        try:
            whole = self._jws.decode_complete(token, self._secret, algorithms=[ALGORITHM])
            claims = self._decoder.decode(whole["payload"])
        except (PyJWTError, msgspec.MsgspecError, ValueError):
            return None
        return claims if whole["header"] == self._header and self._is_of_this_use(claims) else None

    def _begins_at_s(self, claims: C) -> int:
        """When the token of ``claims`` begins to hold."""
        return claims.iat

    def _is_of_this_use(self, claims: C) -> bool:
        """Whether ``claims`` are for the one use that these tokens have."""
        raise NotImplementedError


class Tokens(SignedTokens[Claims]):
    """The tokens of users who sign in, for one ``use``."""

    def __init__(self, secret: bytes, clock: Clock, use: Use = Use.CONTROL) -> None:
        super().__init__(secret, clock, Claims)
        self._use = use

    def _begins_at_s(self, claims: Claims) -> int:
        return max(claims.nbf, claims.iat)

    def _is_of_this_use(self, claims: Claims) -> bool:
        return (claims.iss, claims.aud, claims.typ) == (ISSUER, self._use, TOKEN_TYPE)
