"""What went wrong in a bucket, in words for a caller and in words for the operator; pure."""

from __future__ import annotations

from typing import Final

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from alloyd.errors import AlloydError, Code

FAULTS: Final = (BaseError, OSError)

_LOG_CHARS_MAX: Final = 1000
_NO_BUCKET: Final = "NoSuchBucket"
_UNREACHABLE: Final = ("error sending request", "HTTP error", "timed out", "dns error", "connect error")


def store_failed(what: str, error: BaseException) -> AlloydError:
    """What a caller is told of a failing bucket; the log has the store's own words, which may name the endpoint."""
    message = f"{what}: {reason_of(error)}"
    return AlloydError(Code.UNAVAILABLE, message, log=repr(error)[:_LOG_CHARS_MAX], retry_after_s=5)


def reason_of(error: BaseException) -> str:
    """Which of the things that an operator can mend it is, without the store's own words."""
    told = str(error)
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        return "the object store refuses its access key, or what the key may do"
    if _NO_BUCKET in told:
        return "the object store has no such bucket"
    if any(sign in told for sign in _UNREACHABLE):
        return "the object store can't be reached"
    return "the object store failed"


def is_missing(error: BaseException) -> bool:
    """Whether just that object is not there. A bucket that is not there says nothing about its objects."""
    return isinstance(error, FileNotFoundError) and _NO_BUCKET not in str(error)
