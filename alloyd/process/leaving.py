"""The end of the process, also when what only tidies up does not come to an end."""

from __future__ import annotations

import os
import threading
from typing import Final

# After the last commit and the last answer nothing is left to do but closing the event loop.
LEAVE_WITHIN_S: Final = 5.0


def leave_within(seconds: float, status: int) -> None:
    """End the process with ``status`` after ``seconds`` if it has not ended by itself.

    For when everything is closed and durable: closing a uvloop loop has been seen to block for ever.
    """
    timer = threading.Timer(seconds, os._exit, (status,))
    timer.daemon = True
    timer.start()
