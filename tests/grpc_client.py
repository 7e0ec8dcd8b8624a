"""A gRPC client that has no stubs: it learns everything by reflection, as grpcurl does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PACKAGE = "alloyd.v1"


@dataclass
class GrpcClient:
    """Calls methods by name with JSON. ``key`` is the credential, None for none."""

    target: str
    key: str | None = None
    certificate: bytes | None = None
    trailing: dict[str, str] = field(default_factory=dict)  # of the last call
    _pool: DescriptorPool | None = None

    async def services(self) -> Sequence[str]:
        """The names that reflection tells."""
        return await asyncio.to_thread(self._with_database, lambda database: sorted(database.get_services()))

    async def load(self) -> None:
        """Learn the messages: the pool asks the server for what it does not know, so all is asked for here."""

        def learn(database: ProtoReflectionDescriptorDatabase) -> DescriptorPool:
            pool = DescriptorPool(database)
            for name in database.get_services():
                pool.FindServiceByName(name)
            return pool

        self._pool = await asyncio.to_thread(self._with_database, learn)

    def _with_database(self, ask: Callable[[ProtoReflectionDescriptorDatabase], Any]) -> Any:
        with self._open(grpc) as channel:
            return ask(ProtoReflectionDescriptorDatabase(channel))

    def _open(self, module: Any) -> Any:
        if self.certificate is None:
            return module.insecure_channel(self.target)
        return module.secure_channel(self.target, grpc.ssl_channel_credentials(self.certificate))

    def _method(self, name: str) -> tuple[str, Any, Any]:
        service, _, method = name.partition("/")
        assert self._pool is not None
        found = self._pool.FindServiceByName(f"{PACKAGE}.{service}").methods_by_name[method]
        classes = [message_factory.GetMessageClass(each) for each in (found.input_type, found.output_type)]
        return f"/{PACKAGE}.{service}/{method}", *classes

    def metadata(self, **more: str) -> tuple[tuple[str, str], ...]:
        """The call's metadata, with the credential."""
        own = () if self.key is None else (("authorization", f"Bearer {self.key}"),)
        return own + tuple((name.replace("_", "-"), value) for name, value in more.items())

    async def call(self, name: str, body: Any = None, **metadata: str) -> Any:
        """``call("ApiKeys/ListApiKeys", {"limit": 1})``; the answer as JSON. Raises ``grpc.aio.AioRpcError``."""
        path, request, response = self._method(name)
        async with self._open(grpc.aio) as channel:
            ask = channel.unary_unary(path, request.SerializeToString, response.FromString)
            message = json_format.ParseDict(body or {}, request())
            under_way = ask(message, metadata=self.metadata(**metadata))
            answer = await under_way
            self.trailing = dict(await under_way.trailing_metadata() or ())
        return json_format.MessageToDict(answer, preserving_proto_field_name=True)

    async def refused(self, name: str, body: Any = None, **metadata: str) -> tuple[str, str]:
        """The status and the words of a call that must fail."""
        try:
            answer = await self.call(name, body, **metadata)
        except grpc.aio.AioRpcError as error:
            self.trailing = dict(error.trailing_metadata() or ())
            return error.code().name, error.details() or ""
        raise AssertionError(f"{name} was answered: {answer}")

    async def stream(self, name: str, body: Any = None, **metadata: str) -> AsyncIterator[Any]:
        """The messages of a stream as JSON; first None, once the stream stands."""
        path, request, response = self._method(name)
        async with self._open(grpc.aio) as channel:
            ask = channel.unary_stream(path, request.SerializeToString, response.FromString)
            under_way = ask(json_format.ParseDict(body or {}, request()), metadata=self.metadata(**metadata))
            await under_way.initial_metadata()
            yield None
            async for message in under_way:
                yield json_format.MessageToDict(message, preserving_proto_field_name=True)
