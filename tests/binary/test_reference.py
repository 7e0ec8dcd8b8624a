"""The API reference of the executable: its files are packed, and stay once the unpacked ones are gone."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.request

import pytest

PATIENCE_S = 60


def fetch(url: str, **headers: str):
    request = urllib.request.Request(url, headers={name.replace("_", "-"): value for name, value in headers.items()})
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.headers, answer.read()


def test_the_reference_is_served(start):
    daemon = start()
    assert daemon.unpack_directories() == []  # nothing is read from there any more
    _headers, page = fetch(f"{daemon.url}/docs")
    assert b"/docs/swagger-ui-bundle.js" in page
    headers, plain = fetch(f"{daemon.url}/docs/swagger-ui-bundle.js")
    assert headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert b"SwaggerUIBundle" in plain
    headers, packed = fetch(f"{daemon.url}/docs/swagger-ui-bundle.js", Accept_Encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain
    assert b".swagger-ui" in fetch(f"{daemon.url}/docs/swagger-ui.css")[1]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(f"{daemon.url}/docs/LICENSE")
    assert daemon.stop() == 0
    assert "late import" not in daemon.errors()
