"""The recipes of docs/webhooks.md, taken from the page and run against what alloyd signs."""

from __future__ import annotations

import re
import shutil
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from alloyd.kit.signatures import sign, signature_header, verify

PAGE = (Path(__file__).parents[2] / "alloyd" / "docs" / "webhooks.md").read_text(encoding="utf-8")
SECRET, OTHER = "whsec_0123456789abcdef", "whsec_fedcba9876543210"
BODY = b'{"order": 7}'


def test_python_recipe() -> None:
    code = re.search(r"^    import hashlib, hmac, time\n.*?\n\n(?=[A-Z])", PAGE, re.DOTALL | re.MULTILINE)
    assert code is not None
    known: dict[str, Any] = {}
    exec(compile(textwrap.dedent(code[0]), "webhooks.md", "exec"), known)  # the page is ours
    check, now = known["is_from_alloyd"], int(time.time())
    header = signature_header((SECRET, OTHER), now, BODY)
    assert check(header, BODY, SECRET)
    assert check(header, BODY, OTHER)
    assert not check(header, BODY + b" ", SECRET)
    assert not check(header, BODY, "whsec_another_secret")
    assert not check(signature_header((SECRET,), now - 400, BODY), BODY, SECRET)
    assert not check("", BODY, SECRET)
    assert not check("t=x,v1=", BODY, SECRET)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_shell_recipes(tmp_path: Path) -> None:
    (tmp_path / "body.json").write_bytes(BODY)
    (line,) = re.findall(r"^    (printf '%s\.' .*openssl.*)$", PAGE, re.MULTILINE)
    said = _run(line, tmp_path, T="1700000000", SECRET=SECRET)
    assert said.split()[-1] == sign(SECRET, 1_700_000_000, BODY)
    begin = PAGE.index("    body='{\"order\": 7}'")
    script = textwrap.dedent(PAGE[begin : PAGE.index("    curl", begin)]) + '\nprintf "t=%s,v1=%s" "$t" "$v1"'
    header = _run(script, tmp_path, SECRET=SECRET)
    assert verify("alloyd", SECRET, {"x-alloyd-signature": header}, BODY, int(time.time() * 1000))


def _run(script: str, folder: Path, **variables: str) -> str:
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", **variables}
    return subprocess.run(
        ["sh", "-ec", script], cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()
