"""The control plane over gRPC, tried by a client without stubs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from alloyd.wire.grpc.methods import SERVICES
from tests.app import Served, open_app
from tests.grpc_client import PACKAGE, GrpcClient

ADD = {"key": "add", "operation": "transform", "config": {"values": {"sum": "{{ trigger.a + 1 }}"}}}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_app(tmp_path) as served:
        yield served


@pytest.fixture
async def client(served: Served) -> GrpcClient:
    """As an owner of acme."""
    port = await served.app.listen_grpc()
    client = GrpcClient(f"127.0.0.1:{port}", await served.key("acme"))
    await client.load()
    return client


async def test_reflection_tells_everything(client: GrpcClient) -> None:
    own = {f"{PACKAGE}.{name}" for name in SERVICES}
    assert own < set(await client.services())
    for service, methods in SERVICES.items():
        for method in methods:
            client._method(f"{service}/{method.name}")


async def test_health(client: GrpcClient, served: Served) -> None:
    async with aio.insecure_channel(client.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", *(f"{PACKAGE}.{service}" for service in SERVICES)):
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(aio.AioRpcError) as raised:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert raised.value.code() is StatusCode.NOT_FOUND


async def test_the_same_answer_as_over_http(client: GrpcClient, served: Served) -> None:
    made = await client.call("ApiKeysService/CreateApiKey", {"name": "ci", "role": "viewer", "scopes": ["control"]})
    assert made["key"].startswith("alloy_")
    told = await served.data("GET", f"/api-keys/{made['id']}")
    found = await client.call("ApiKeysService/GetApiKey", {"id": made["id"]})
    assert found == {name: value for name, value in told.items() if value is not None}
    served.keys["new"] = made["key"]
    me = await served.data("GET", "/me", key="new")
    viewer = GrpcClient(client.target, made["key"], _pool=client._pool)
    assert (await viewer.call("IdentityService/GetMe"))["principal_id"] == me["principal_id"]


async def test_pages_go_on(client: GrpcClient, served: Served) -> None:
    for name in "abc":
        await client.call("ApiKeysService/CreateApiKey", {"name": name})
    names: list[str] = []
    cursor: dict[str, Any] = {}
    while True:
        page = await client.call("ApiKeysService/ListApiKeys", {"limit": 2, **cursor})
        names += [item["name"] for item in page["items"]]
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert names == ["c", "b", "a", "acme"]


async def test_a_workflow_from_definition_to_the_end(client: GrpcClient, served: Served) -> None:
    saved = await client.call("WorkflowsService/SaveWorkflowDefinition", {"body": {"name": "sum", "nodes": [ADD]}})
    context = {"a": 41, "deep": [1, {"b": None}]}
    run = await client.call(
        "WorkflowsService/CreateWorkflowRun", {"workflow_definition_id": saved["id"], "context": context}
    )
    assert run["status"] == "pending"
    await client.call("WorkflowsService/StartWorkflowRun", {"id": run["id"]})
    kinds = [
        event["kind"] async for event in client.stream("WorkflowsService/WatchWorkflowRun", {"id": run["id"]}) if event
    ]
    assert kinds[0] == "workflow.run.created"
    assert kinds[-1] == "workflow.run.completed"
    ended = await client.call("WorkflowsService/GetWorkflowRun", {"id": run["id"]})
    assert (ended["status"], ended["output"]) == ("completed", {"sum": 42})
    assert ended["payload"] == context
    assert await served.count_runs() == 1


async def test_idempotency_key_in_metadata_and_in_the_message(client: GrpcClient) -> None:
    first = await client.call("ApiKeysService/CreateApiKey", {"name": "once"}, idempotency_key="k1")
    again = await client.call("ApiKeysService/CreateApiKey", {"name": "once"}, idempotency_key="k1")
    assert first["id"] == again["id"]
    assert "key" not in again
    other = await client.refused("ApiKeysService/CreateApiKey", {"name": "other", "idempotency_key": "k1"})
    assert other[0] == "ALREADY_EXISTS"


@pytest.mark.parametrize(
    ("key", "method", "body", "status", "words"),
    [
        (None, "IdentityService/GetMe", {}, "UNAUTHENTICATED", "credential"),
        ("wrong", "IdentityService/GetMe", {}, "UNAUTHENTICATED", "credential"),
        ("acme viewer", "ApiKeysService/CreateApiKey", {"name": "x"}, "PERMISSION_DENIED", "api_key.create"),
        ("acme", "ApiKeysService/CreateApiKey", {}, "INVALID_ARGUMENT", "name: required"),
        ("acme", "ApiKeysService/CreateApiKey", {"name": "x", "role": "king"}, "INVALID_ARGUMENT", "role"),
        ("acme", "ApiKeysService/ListApiKeys", {"limit": 0}, "INVALID_ARGUMENT", "limit"),
        ("acme", "ApiKeysService/ListApiKeys", {"cursor": "x"}, "INVALID_ARGUMENT", "cursor"),
        ("acme", "ApiKeysService/GetApiKey", {"id": "none"}, "NOT_FOUND", "api key not found"),
        ("acme", "ApiKeysService/GetApiKey", {}, "NOT_FOUND", "api key not found"),
        ("acme", "WorkflowsService/CreateWorkflowRun", {"workflow_definition_id": "none"}, "NOT_FOUND", "workflow"),
    ],
)
async def test_refusals(
    client: GrpcClient, served: Served, key: str | None, method: str, body: Any, status: str, words: str
) -> None:
    client.key = key if key in (None, "wrong") else await served.key(key)
    got, told = await client.refused(method, body)
    assert got == status
    assert words in told
    assert client.trailing["x-request-id"]
    assert client.trailing["alloyd-code"]


async def test_a_state_that_forbids_it(client: GrpcClient, served: Served) -> None:
    workflow = await served.publish({"key": "a", "operation": "workflow.noop"})
    run = await client.call("WorkflowsService/CreateWorkflowRun", {"workflow_definition_id": workflow})
    await client.call("WorkflowsService/CancelWorkflowRun", {"id": run["id"]})
    assert (await client.refused("WorkflowsService/CancelWorkflowRun", {"id": run["id"]}))[0] == "FAILED_PRECONDITION"


async def test_events_as_they_happen(client: GrpcClient) -> None:
    stream = client.stream("EventsService/StreamEvents", {"kinds": "api_key.*"})
    assert await anext(stream) is None
    made = await client.call("ApiKeysService/CreateApiKey", {"name": "x"})
    event = await anext(stream)
    assert (event["kind"], event["subject"]) == ("api_key.created", made["id"])
    await stream.aclose()


async def test_a_revoked_key_ends_its_stream(client: GrpcClient) -> None:
    made = await client.call("ApiKeysService/CreateApiKey", {"name": "x", "scopes": ["control"]})
    reader = GrpcClient(client.target, made["key"], _pool=client._pool)
    stream = reader.stream("EventsService/StreamEvents")
    assert await anext(stream) is None
    await client.call("ApiKeysService/RevokeApiKey", {"id": made["id"]})
    told = [event["kind"] async for event in stream]
    assert told in ([], ["api_key.revoked"])


async def test_who_leaves_a_stream_is_forgotten(client: GrpcClient, served: Served) -> None:
    stream = client.stream("EventsService/StreamEvents")
    assert await anext(stream) is None
    assert served.app.streams.count == 1
    await stream.aclose()
    while served.app.streams.count:
        await client.call("IdentityService/GetMe")  # the server's loop goes on


async def test_request_ids_are_kept(client: GrpcClient) -> None:
    request_id = "0190b8a5-7c1e-7000-8000-000000000001"
    await client.call("IdentityService/GetMe", x_request_id=request_id)
    assert client.trailing["x-request-id"] == request_id


async def test_a_message_too_large(client: GrpcClient) -> None:
    got, _words = await client.refused("ApiKeysService/CreateApiKey", {"name": "x" * 2_000_000})
    assert got == "RESOURCE_EXHAUSTED"


async def test_an_answer_of_an_ai_provider_in_pieces(client: GrpcClient) -> None:
    asked = {"modality": "text", "input": "hello there", "provider": "echo"}
    whole = await client.call("ProvidersService/Execute", asked)
    chunks = [chunk async for chunk in client.stream("ProvidersService/ExecuteStream", asked) if chunk]
    assert chunks[-1]["kind"] == "done"
    assert chunks[-1]["data"]["usage"]["output_tokens"] == int(whole["usage"]["output_tokens"])
    assert "".join(chunk.get("text", "") for chunk in chunks) == whole["output"]["text"]


async def test_a_stream_that_can_not_begin_says_why(client: GrpcClient) -> None:
    stream = client.stream(
        "ProvidersService/ExecuteStream", {"modality": "text", "input": "x", "model": "nobody-has-it"}
    )
    with pytest.raises(aio.AioRpcError) as raised:
        [chunk async for chunk in stream]
    assert raised.value.code() is StatusCode.NOT_FOUND


async def test_what_changes_and_what_is_refused_is_on_record(client: GrpcClient, served: Served) -> None:
    made = await client.call("ApiKeysService/CreateApiKey", {"name": "x", "role": "viewer"})
    viewer = GrpcClient(client.target, made["key"], _pool=client._pool)
    assert (await viewer.refused("ApiKeysService/CreateApiKey", {"name": "y"}))[0] == "PERMISSION_DENIED"
    await served.app.audit.write_refusals()
    told = await served.data("GET", f"/organizations/{served.orgs['acme']}/audit-logs?action=api_key.create")
    outcomes = [(entry["outcome"], entry["actor"]["id"], entry["ip"]) for entry in told[:2]]
    assert outcomes[0] == ("refused", made["id"], "127.0.0.1")
    assert outcomes[1][0] == "ok"
