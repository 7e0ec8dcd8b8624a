"""`alloyd setup-link`: a link from the daemon, while there is no user."""

from __future__ import annotations

import re


def test_the_daemon_gives_a_link_until_there_is_a_user(start, run, tmp_path):
    daemon = start(tmp_path / "data")
    here = ("--data-dir", str(daemon.data_dir))
    link = run(*here, "setup-link").out.strip()
    assert re.fullmatch(f"{daemon.url}/#/setup/[A-Za-z0-9_-]{{43}}", link)
    told = run(*here, "setup-link", "--json").json
    assert told["link"] != link
    assert told["expires_in"] == 86400
    create = ("user", "create", "--email", "ada@example.com", "--org", "default", "--password-stdin")
    run(*here, *create, stdin=b"correct horse battery staple\n")
    refused = run(*here, "setup-link", code=1)
    assert refused.out == ""
    assert "there is a user already" in refused.err


def test_without_a_daemon_there_is_no_link(run, tmp_path):
    run("init", "--data-dir", str(tmp_path / "data"))
    refused = run("--data-dir", str(tmp_path / "data"), "setup-link", code=3)
    assert "no daemon runs" in refused.err
