"""The .proto and its compiled form are files in the package, made from the routes: a change shows in review.

``make openapi`` writes both anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

from alloyd.app import App
from alloyd.config import Config
from alloyd.process.datadir import DataDir
from alloyd.wire.grpc.methods import LEFT_OUT, SERVICES
from alloyd.wire.grpc.proto import ProtoFile
from alloyd.wire.route import Route

ROOM = Path(__file__).parents[3] / "alloyd" / "wire" / "grpc"
PROTO, COMPILED = ROOM / "alloyd.proto", ROOM / "alloyd.binpb"
WRITES = bool(os.environ.get("ALLOYD_WRITE_GOLDEN"))


@pytest.fixture
async def routes(tmp_path: Path) -> list[Route]:
    with DataDir(tmp_path / "data") as data_dir:
        data_dir.prepare()
        data_dir.lock("test")
        app = await App.open(Config(), data_dir)
        try:
            return [bound.route for bound in app.server.bound_routes() if bound.surface.name == "control"]
        finally:
            await app.close(0)


def test_the_proto_is_what_the_routes_say(routes: list[Route]) -> None:
    earlier = PROTO.read_text() if PROTO.exists() else ""
    written = ProtoFile(routes).render(earlier)
    if WRITES:
        PROTO.write_text(written)
    assert written == earlier or WRITES, "the API has changed: `make openapi`, and look at the difference"


def test_what_is_served_is_the_compiled_proto(tmp_path: Path) -> None:
    (tmp_path / "alloyd" / "v1").mkdir(parents=True)
    (tmp_path / "alloyd" / "v1" / "alloyd.proto").write_text(PROTO.read_text())
    out = tmp_path / "out"
    include = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{tmp_path}", f"-I{include}", f"--descriptor_set_out={out}", "alloyd/v1/alloyd.proto"]
    assert protoc.main(arguments) == 0
    # By content: another protoc may order bytes differently.
    made = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    if WRITES:
        COMPILED.write_bytes(made.SerializeToString(deterministic=True))
    assert made == descriptor_pb2.FileDescriptorSet.FromString(COMPILED.read_bytes())


def test_every_route_has_a_method_or_a_reason(routes: list[Route]) -> None:
    served = {(method.verb, method.path) for methods in SERVICES.values() for method in methods}
    there = {(route.method, route.path) for route in routes}
    assert there - served == set(LEFT_OUT), "routes without a method, or named in LEFT_OUT for nothing"
    names = [method.name for methods in SERVICES.values() for method in methods]
    assert len(names) == len(set(names))


def test_fields_keep_their_numbers(routes: list[Route]) -> None:
    text = ProtoFile(routes).render("message GetMeRequest {\n  optional string gone = 1;\n}\n"
                                    "message CreateApiKeyRequest {\n  optional string role = 7;\n}\n")  # fmt: skip
    assert "message GetMeRequest {\n  reserved 1;\n}" in text
    inside = text.partition("message CreateApiKeyRequest {\n")[2].partition("}")[0]
    assert " role = 7;" in inside
    numbers = [line.rpartition("= ")[2] for line in inside.splitlines() if "=" in line]
    assert len(numbers) == len(set(numbers)) > 3
