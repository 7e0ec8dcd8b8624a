"""Changing the key that seals: all is sealed anew, all stays readable, and a lost key is told at the start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from alloyd.app import App
from alloyd.config import Config, HttpConfig
from alloyd.errors import AlloydError
from alloyd.kit.clock import ManualClock
from alloyd.principal import system_principal
from alloyd.process.datadir import DataDir
from tests.app import Served, open_app

SECRET = "whsec_0123456789abcdef"
NODE = {"key": "a", "operation": "webhook.send", "config": {"url": "https://a.example", "secret": SECRET}}


async def sealed_texts(served: Served) -> list[str]:
    """Every sealed text in the database."""

    def read(conn: Any) -> list[str]:
        found: list[str] = []
        for table, column in (
            ("credentials", "data"),
            ("oauth_clients", "data"),
            ("webhooks", "secret"),
            ("workflow_versions", "definition"),
        ):
            for (text,) in conn.execute(f"SELECT {column} FROM {table}"):  # names of this test
                found.extend(re.findall(r"s[12]:[0-9A-Za-z:_=-]{30,}", text))
        return found

    return await served.app.database.read(read)


async def fill(served: Served) -> str:
    body = {"connector": "stripe", "kind": "bearer", "data": {"token": "sk_test_123"}}
    made = await served.data("POST", "/credentials", body, 201)
    await served.data("POST", "/webhooks", {"url": "https://a.example/", "events": ["*"], "secret": SECRET}, 201)
    await served.publish(NODE)
    client = {"connector": "github", "client_id": "c", "client_secret": "s", "redirect_uri": "https://a.example/"}
    await served.data("POST", "/credentials/oauth/start", client)
    return str(made["id"])


async def open_token(served: Served, credential_id: str) -> Any:
    principal = system_principal(served.orgs["acme"])
    return served.app.credentials.open(await served.app.credentials.get(principal, credential_id))


async def test_everything_is_sealed_anew(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        made = await fill(served)
        before = await sealed_texts(served)
        assert len(before) == 4
        assert all(text.startswith("s1:") for text in before)
        rotated = await served.app.key_rotation.rotate()
        assert (rotated.key_id, rotated.credentials) == ("2", 2)
        assert all(text.startswith("s2:2:") for text in await sealed_texts(served))
        assert await open_token(served, made) == {"token": "sk_test_123"}
        (webhook,) = await served.data("GET", "/webhooks")
        principal = system_principal(served.orgs["acme"])
        assert (await served.app.webhooks.get_destination(principal, webhook["id"])).secrets == (SECRET,)
        saved = await served.publish(NODE)  # the same content is the same version
        assert (await served.data("GET", f"/workflow-definitions/{saved}"))["version"] == 1
        rotated = await served.app.key_rotation.rotate()
        assert all(text.startswith("s2:3:") for text in await sealed_texts(served))
        keys = served.app.data_dir.keys
        assert sorted(path.name for path in keys.iterdir()) == ["master.key", "sealing-2.key", "sealing-3.key"]


async def test_a_change_of_the_key_outlives_a_start_and_a_lost_key_is_told(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        made, org = await fill(served), served.orgs["acme"]
        await served.app.key_rotation.rotate()
        await served.app.key_rotation.rotate()
    with DataDir(tmp_path / "data") as data_dir:
        data_dir.lock("test")
        app = await App.open(Config(http=HttpConfig(port=0)), data_dir, ManualClock())
        try:
            assert (
                app.credentials.open(await app.credentials.get(system_principal(org), made))["token"] == "sk_test_123"
            )
            assert sorted(path.name for path in data_dir.keys.iterdir()) == ["master.key", "sealing-3.key"]
        finally:
            await app.close(0)
        whole = (data_dir.keys / "sealing-3.key").read_bytes()
        for content, words in ((None, "is missing"), (b"A" * 43 + b"=\n", "is not the key"), (b"x", "is damaged")):
            (data_dir.keys / "sealing-3.key").unlink(missing_ok=True)
            if content is not None:
                (data_dir.keys / "sealing-3.key").write_bytes(content)
            with pytest.raises(AlloydError, match=words):
                await App.open(Config(http=HttpConfig(port=0)), data_dir, ManualClock())
        (data_dir.keys / "sealing-3.key").write_bytes(whole)
        (data_dir.keys / "sealing-4.key.new").write_bytes(b"cut off")
        await (await App.open(Config(http=HttpConfig(port=0)), data_dir, ManualClock())).close(0)
        assert sorted(path.name for path in data_dir.keys.iterdir()) == ["master.key", "sealing-3.key"]


async def test_a_change_that_was_cut_off_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_app(tmp_path) as served:
        made = await fill(served)

        def fail(_tx: Any) -> int:
            raise RuntimeError("cut off")

        with monkeypatch.context() as patch:
            patch.setattr(served.app.key_rotation, "_reseal_some", fail)
            with pytest.raises(RuntimeError):
                await served.app.key_rotation.rotate()
        assert await open_token(served, made) == {"token": "sk_test_123"}
        await served.app.key_rotation.rotate()
        assert all(text.startswith("s2:3:") for text in await sealed_texts(served))
