"""Both doors with a certificate of their own, and what is said of one that can't be used."""

from __future__ import annotations

import ssl
from pathlib import Path

import aiohttp
import msgspec
import pytest

from alloyd.app import App
from alloyd.app import settings as app_settings
from alloyd.config import Config, GrpcConfig, HttpConfig, LiveConfig
from alloyd.errors import AlloydError
from alloyd.process.datadir import DataDir
from tests.app import Served, open_app
from tests.certificates import make_certificate
from tests.grpc_client import GrpcClient


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


async def test_both_doors_speak_tls(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    pair = {"tls_certificate_file": str(certificate[0]), "tls_key_file": str(certificate[1])}
    config = Config(http=HttpConfig(port=0, **pair), grpc=GrpcConfig(port=0, **pair))
    with DataDir(tmp_path / "data") as data_dir:
        data_dir.prepare()
        data_dir.lock("test")
        app = await App.open(config, data_dir)
        try:
            assert app.first_key is not None
            assert app.first_key.issued.raw is not None
            listener = await app.listen_tcp()
            port = await app.listen_grpc()
            assert app.urls == [f"https://127.0.0.1:{listener.port}"]
            context = ssl.create_default_context(cafile=str(certificate[0]))
            url = f"{app.urls[0]}/v1/me"
            headers = {"Authorization": f"Bearer {app.first_key.issued.raw}"}
            async with aiohttp.ClientSession() as session:
                async with session.get(url, ssl=context, headers=headers) as response:
                    over_http = msgspec.json.decode(await response.read())["data"]["principal_id"]
                with pytest.raises(aiohttp.ClientError):
                    await session.get(url.replace("https", "http"))
            client = GrpcClient(f"localhost:{port}", app.first_key.issued.raw, certificate[0].read_bytes())
            await client.load()
            assert (await client.call("IdentityService/GetMe"))["principal_id"] == over_http
        finally:
            await app.close(0)


@pytest.mark.parametrize("group", ["http", "grpc"])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tls_certificate_file": "CERT"}, "tls_key_file: wanted beside"),
        ({"tls_key_file": "KEY"}, "tls_certificate_file: wanted beside"),
        ({"tls_certificate_file": "/nowhere", "tls_key_file": "KEY"}, "No such file"),
        ({"tls_certificate_file": "KEY", "tls_key_file": "CERT"}, "can't be used"),
    ],
)
def test_what_can_not_be_used_is_named(
    certificate: tuple[Path, Path], group: str, given: dict[str, str], told: str
) -> None:
    files = {"CERT": str(certificate[0]), "KEY": str(certificate[1])}
    values = {name: files.get(value, value) for name, value in given.items()}
    config = Config(http=HttpConfig(**values)) if group == "http" else Config(grpc=GrpcConfig(**values))
    read = app_settings.listener_settings if group == "http" else app_settings.grpc_settings
    with pytest.raises(AlloydError, match=told) as raised:
        read(config)
    assert (raised.value.field or "").startswith(f"{group}.tls_")
    assert "/nowhere" not in raised.value.message


async def test_a_port_that_somebody_named_is_kept(tmp_path: Path) -> None:
    async with open_app(tmp_path) as served:
        await _try_ports(served)


async def _try_ports(served: Served) -> None:
    first = await served.app.listen_grpc()
    config = Config(http=HttpConfig(port=0), grpc=GrpcConfig(port=first or 0), sources={"grpc.port": "a test"})
    served.app.live = LiveConfig(config)
    with pytest.raises(AlloydError, match="taken"):
        await served.app.listen_grpc()
    served.app.live = LiveConfig(Config(http=HttpConfig(port=1), grpc=GrpcConfig(port=first or 0)))
    earlier = served.app._grpc
    other = await served.app.listen_grpc()
    assert other not in (None, first)
    assert earlier is not None
    await earlier.stop(0)
    served.app.live = LiveConfig(Config(grpc=GrpcConfig(enabled=False)))
    assert await served.app.listen_grpc() is None
