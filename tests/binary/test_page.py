"""The web page of the executable: its files are packed, and stay once the unpacked ones are gone."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

import pytest

from alloyd.wire.ui.files import FILES

PATIENCE_S = 60
TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def fetch(url: str, data: bytes | None = None, **headers: str):
    request = urllib.request.Request(
        url, data, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return answer.headers, answer.read()


def test_every_file_of_the_page_is_served(start):
    daemon = start()
    assert daemon.unpack_directories() == []  # nothing is read from there any more
    headers, page = fetch(f"{daemon.url}/")
    assert headers["Content-Type"] == TYPES["html"]
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert b'<script type="module" src="/page/js/app.js">' in page
    for name in FILES:
        if name == "index.html":
            continue
        headers, content = fetch(f"{daemon.url}/page/{name}")
        assert headers["Content-Type"] == TYPES[name.rpartition(".")[2]], name
        assert headers["X-Content-Type-Options"] == "nosniff", name
        assert content, name
    with pytest.raises(urllib.error.HTTPError, match="404"):
        fetch(f"{daemon.url}/page/js/nothing.js")
    assert daemon.stop() == 0
    assert "late import" not in daemon.errors()


def test_the_first_user_is_made_and_signed_in(start):
    daemon = start()
    link = daemon.read_until("set-up link")
    token = re.search(r"#/setup/(\S+)", link)[1]
    body = {"token": token, "email": "ada@example.com", "password": "correct horse battery", "display_name": "Ada"}
    own = {"Content_Type": "application/json", "X_Alloyd_Page": "1", "Origin": daemon.url}
    headers, _said = fetch(f"{daemon.url}/ui/setup", json.dumps(body).encode(), **own)
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert cookie.startswith("alloyd_session=")
    _headers, overview = fetch(f"{daemon.url}/ui/v1/overview", Cookie=cookie)
    assert json.loads(overview)["data"]["runs"]
    assert daemon.stop() == 0
    assert "late import" not in daemon.errors()
    assert token not in daemon.errors()
