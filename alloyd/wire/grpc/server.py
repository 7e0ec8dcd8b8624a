"""Serves the control plane over gRPC: each method performs the route that it stands for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import grpc
import msgspec
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from yarl import URL

from alloyd.errors import AlloydError, Code, conflict
from alloyd.log import get_logger
from alloyd.wire.grpc import codec
from alloyd.wire.grpc.methods import PAGES, SERVICES, STREAMS, Method
from alloyd.wire.grpc.request import GrpcRequest
from alloyd.wire.route import STATUS, Call
from alloyd.wire.server import RouteStats, Server, request_id_of, to_alloyd_error, trace_id_of
from alloyd.wire.surface import BoundRoute

log = get_logger("alloyd.wire.grpc")

PACKAGE: Final = "alloyd.v1"
COMPILED: Final = "alloyd.binpb"
_IMPORTS: Final = frozenset({"google/protobuf/struct.proto"})

Metadata = tuple[tuple[str, str], ...]
Context = grpc.aio.ServicerContext[Any, Any]

_CODES: Final = {
    Code.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    Code.UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    Code.FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.METHOD_NOT_ALLOWED: grpc.StatusCode.UNIMPLEMENTED,
    Code.CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    Code.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.UNPROCESSABLE: grpc.StatusCode.INVALID_ARGUMENT,
    Code.RATE_LIMITED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Code.INTERNAL: grpc.StatusCode.INTERNAL,
    Code.UPSTREAM_FAILED: grpc.StatusCode.UNAVAILABLE,
    Code.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """The configuration's group ``grpc``; sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = 3002
    message_bytes_max: int = 4 * 1024 * 1024
    calls_max: int = 1000
    certificate: bytes | None = None
    private_key: bytes | None = None


class Descriptors:
    """The compiled .proto that is shipped: the messages' classes and the services' names."""

    def __init__(self) -> None:
        data = (resources.files("alloyd.wire.grpc") / COMPILED).read_bytes()
        files = descriptor_pb2.FileDescriptorSet.FromString(data)
        self.pool = descriptor_pool.Default()
        assert struct_pb2.DESCRIPTOR.name in _IMPORTS  # importing it has put it into the pool
        for file in files.file:
            self.pool.AddSerializedFile(file.SerializeToString())

    def message_class(self, name: str) -> type[Message]:
        """The class of a message of the package."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))

    def types_of(self, service: str, method: str) -> tuple[type[Message], type[Message]]:
        """A method's request and response."""
        found = self.pool.FindServiceByName(f"{PACKAGE}.{service}").methods_by_name[method]
        return (
            message_factory.GetMessageClass(found.input_type),
            message_factory.GetMessageClass(found.output_type),
        )


class MessageSink:
    """Where a streaming route puts what it would otherwise write as server-sent events."""

    def __init__(self, context: Context, response: type[Message]) -> None:
        self._context = context
        self._response = response

    async def open(self) -> None:
        """The stream is subscribed: the client may know."""
        await self._context.send_initial_metadata(())

    async def send(self, values: dict[str, Any]) -> None:
        """One message, once the client has room for it."""
        message = self._response()
        codec.fill(message, values)
        await self._context.write(message)


class GrpcServer:
    """The gRPC door. ``server`` has the routes; ``start`` opens the port and tells it."""

    def __init__(self, server: Server, settings: GrpcSettings) -> None:
        self.port = 0
        self._server = server
        self._settings = settings
        self._descriptors = Descriptors()
        self._health = health.aio.HealthServicer()
        self._grpc: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Open the port. Raises ``conflict`` when it is taken, ``bad_request`` for a certificate that can't be used."""
        settings = self._settings
        self._grpc = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", settings.message_bytes_max),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
                ("grpc.keepalive_time_ms", 60_000),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ],
            maximum_concurrent_rpcs=settings.calls_max,
        )
        self._grpc.add_generic_rpc_handlers(self._handlers())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        names = [f"{PACKAGE}.{service}" for service in SERVICES]
        reflection.enable_server_reflection([*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._grpc)
        address = f"[{settings.host}]:{settings.port}" if ":" in settings.host else f"{settings.host}:{settings.port}"
        try:
            self.port = self._listen(address)
        except RuntimeError as error:
            raise conflict(f"grpc.port: {settings.port} can't be listened on; it is taken or not allowed") from error
        await self._grpc.start()
        for name in ("", *names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def _listen(self, address: str) -> int:
        assert self._grpc is not None
        settings = self._settings
        if settings.certificate is None or settings.private_key is None:
            return self._grpc.add_insecure_port(address)
        credentials = grpc.ssl_server_credentials([(settings.private_key, settings.certificate)])
        return self._grpc.add_secure_port(address, credentials)

    async def stop(self, grace_s: float) -> None:
        """Tell that it ends, take no more calls, let those under way finish within ``grace_s``, then cut them."""
        if self._grpc is not None:
            await self._health.enter_graceful_shutdown()
            await self._grpc.stop(grace_s)

    def _handlers(self) -> list[grpc.GenericRpcHandler]:
        by_place = {
            (bound.route.method, bound.route.path): bound
            for bound in self._server.bound_routes()
            if bound.surface.name == "control"
        }
        return [
            grpc.method_handlers_generic_handler(
                f"{PACKAGE}.{service}",
                {method.name: self._handler(service, method, by_place[method.verb, method.path]) for method in methods},
            )
            for service, methods in SERVICES.items()
        ]

    def _handler(self, service: str, method: Method, bound: BoundRoute) -> grpc.RpcMethodHandler[Any, Any]:
        request, response = self._descriptors.types_of(service, method.name)
        behave = self._behaviour(f"/{PACKAGE}.{service}/{method.name}", bound, response, method.name in STREAMS)
        wrap = grpc.unary_stream_rpc_method_handler if method.name in STREAMS else grpc.unary_unary_rpc_method_handler
        return wrap(
            behave,
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )

    def _behaviour(
        self, name: str, bound: BoundRoute, response: type[Message], streams: bool
    ) -> Callable[[Message, Context], Awaitable[Message | None]]:
        perform = self._server.performer(bound)
        stats = self._server.stats.setdefault(("GRPC", name), RouteStats())

        async def behave(message: Message, context: Context) -> Message | None:
            started = time.perf_counter()
            metadata: Any = context.invocation_metadata() or ()
            request: Any = GrpcRequest(bound.route, codec.to_json(message), metadata, context.peer())
            call = Call(request, bound.route, request_id_of(request.headers.get("X-Request-Id"), True))
            call.trace_id = trace_id_of(request.headers.get("traceparent"))
            told: Metadata = (("x-request-id", call.request_id),)
            status = call.status
            try:
                if streams:
                    call.sink = MessageSink(context, response)
                value = await perform(request, call)
                context.set_trailing_metadata(told)
                return None if streams else _answer(response, value, call)
            except asyncio.CancelledError:
                raise  # the client left
            except Exception as error:
                known = to_alloyd_error(error)
                status = STATUS[known.code]
                self._note(known, error, call, name)
                await self._abort(context, known, call, told)
                raise AssertionError("abort raises") from error
            finally:
                if not streams:
                    stats.seconds += time.perf_counter() - started
                stats.by_status[status] = stats.by_status.get(status, 0) + 1

        return behave

    def _note(self, known: AlloydError, error: Exception, call: Call, name: str) -> None:
        if STATUS[known.code] >= 500:
            log.error(
                "call failed",
                request_id=call.request_id,
                method=name,
                reason=known.log or known.message,
                exc_info=error if known.code is Code.INTERNAL else None,
            )

    async def _abort(self, context: Context, error: AlloydError, call: Call, told: Metadata) -> None:
        code = _CODES[error.code]
        if error.code is Code.CONFLICT and call.route.status == 201:
            code = grpc.StatusCode.ALREADY_EXISTS
        more: Metadata = (("alloyd-code", error.code.value),)
        if error.field is not None and error.field.isascii() and error.field.isprintable():
            more += (("alloyd-field", error.field),)
        if error.retry_after_s is not None:
            more += (("retry-after", str(error.retry_after_s)),)
        await context.abort(code, error.message, told + more)


def _answer(response: type[Message], value: Any, call: Call) -> Message:
    message = response()
    plain = msgspec.to_builtins(value)
    if isinstance(plain, dict):
        codec.fill(message, plain)
    elif isinstance(plain, list | tuple):
        codec.fill(message, {PAGES: plain, "next_cursor": _next_cursor(call)})
    elif plain is not None:
        codec.fill(message, {"value": plain})
    return message


def _next_cursor(call: Call) -> str | None:
    following = (call.links or {}).get("next")
    return None if following is None else URL(following).query.get("cursor")
