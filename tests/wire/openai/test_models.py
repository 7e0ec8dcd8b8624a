"""Models and embeddings by OpenAI's own client."""

from __future__ import annotations

from typing import Any

import msgspec
import openai
import pytest

from alloyd.config import ModelConfig, PriceConfig, ProviderConfig
from tests.app import open_app
from tests.vendor import says
from tests.wire.openai.conftest import Scene

VECTORS = {
    "model": "vec-2026",
    "data": [{"index": 1, "embedding": [0.5, -1.0]}, {"index": 0, "embedding": [0.25, 2]}],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}


async def test_the_list(scene: Scene) -> None:
    client = await scene.client()
    found = [model async for model in client.models.list()]
    assert [(model.id, model.owned_by) for model in found] == [
        ("m", "main"),
        ("vec", "main"),
        ("echo", "echo"),
        ("main/m", "main"),
        ("main/vec", "main"),
        ("echo/echo", "echo"),
        ("tier/fast", "alloyd"),
        ("tier/standard", "alloyd"),
    ]
    assert {model.object for model in found} == {"model"}
    for model in found:
        assert await client.models.retrieve(model.id) == model


async def test_a_name_with_a_slash_comes_escaped_or_not(scene: Scene) -> None:
    for path in ("/models/main/m", "/models/main%2Fm", "/models/main/m/"):
        status, answer, _headers = await scene.ask("GET", path)
        assert (status, answer["id"]) == (200, "main/m"), path


async def test_pictures_are_not_listed_and_open_providers_serve_what_is_named(tmp_path: Any) -> None:
    paints = ProviderConfig(
        base_url="http://127.0.0.1:9/v1",
        models=(ModelConfig("paint", "fast", modalities=("image",), price=PriceConfig(0.0, 0.0)),),
    )
    opens = ProviderConfig(base_url="http://127.0.0.1:9/v1")
    async with open_app(tmp_path, providers={"easel": paints, "local": opens}) as served:
        scene = Scene(served, None)  # type: ignore[arg-type]  # nobody is asked
        _status, answer, _headers = await scene.ask("GET", "/models")
        assert [model["id"] for model in answer["data"]] == ["echo", "echo/echo", "tier/standard"]
        for path, status in (("local/llama3:8b", 200), ("local/a/b", 200), ("local/", 404), ("easel/x", 404)):
            got, answer, _headers = await scene.ask("GET", f"/models/{path}")
            assert got == status, answer


@pytest.mark.parametrize("asked", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
async def test_embeddings(scene: Scene, asked: dict[str, Any]) -> None:
    scene.vendor.replies = [says(VECTORS)]
    client = await scene.client()
    found = await client.embeddings.create(model="vec", input=["a", "b"], dimensions=2, **asked)
    if asked.get("encoding_format") == "base64":
        assert [one.embedding for one in found.data] == ["AACAPgAAAEA=", "AAAAPwAAgL8="]
    else:  # the client asks for base64 by itself, and reads it
        assert [one.embedding for one in found.data] == [[0.25, 2.0], [0.5, -1.0]]
    assert [one.index for one in found.data] == [0, 1]
    assert (found.model, found.usage.prompt_tokens, found.usage.total_tokens) == ("vec-2026", 4, 4)
    ((path, _headers, sent),) = scene.vendor.seen
    assert (path, sent["input"], sent["dimensions"]) == ("/v1/embeddings", ["a", "b"], 2)
    assert await scene.records() == [("main", "ok", 4, 0, 4)]


@pytest.mark.parametrize(
    ("more", "status", "param"),
    [
        ({"input": [1, 2]}, 400, "input[0]"),
        ({"input": []}, 400, "input"),
        ({"dimensions": 0}, 400, "dimensions"),
        ({"encoding_format": "int8"}, 400, "encoding_format"),
        ({"model": "m"}, 404, "model"),
        ({"model": "echo", "dimensions": 65_536, "input": ["a", "b"]}, 400, "dimensions"),
    ],
)
async def test_what_is_wrong_with_embeddings_is_named(
    scene: Scene, more: dict[str, Any], status: int, param: str
) -> None:
    got, answer, _headers = await scene.ask("POST", "/embeddings", {"model": "vec", "input": "a"} | more)
    assert (got, answer["error"]["param"]) == (status, param)


async def test_a_vector_too_large_for_its_form(scene: Scene) -> None:
    scene.vendor.replies = [says(msgspec.json.encode(VECTORS | {"data": [{"embedding": [1e300]}]}))]
    client = await scene.client()
    with pytest.raises(openai.InternalServerError, match="32-bit"):
        await client.embeddings.create(model="vec", input="a")
    found = await client.embeddings.create(model="vec", input="a", encoding_format="float")
    assert found.data[0].embedding == [1e300]
