"""What the standard library and the libraries import only when they need it, loaded beforehand in the executable."""

from __future__ import annotations

import asyncio.sslproto
import codecs
import concurrent.futures.thread
import ssl
from types import ModuleType

import aiohttp.client_proto

# Named once, so that a reader sees that importing them is all that is wanted.
MODULES: tuple[ModuleType, ...] = (asyncio.sslproto, concurrent.futures.thread, aiohttp.client_proto)

CODECS = (
    "ascii",
    "cp1252",
    "cp437",
    "hex",
    "idna",
    "iso8859-15",
    "latin-1",
    "punycode",
    "utf-16",
    "utf-8",
    "utf-8-sig",
)


def load() -> None:
    """Load codecs, which Python looks up by name, and what an encrypted connection and a thread need."""
    for name in CODECS:
        codecs.lookup(name)
    ssl.create_default_context()
