"""The config of ``http.request`` and what its schema can't say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.model import Config, Fault
from alloyd.domain.operations.validation import is_template

TIMEOUT_MS_MAX = 3_600_000

Scalar = str | int | float | bool
FilePath = Annotated[str, Meta(min_length=1)]
TimeoutMs = Annotated[int, Meta(ge=1, le=TIMEOUT_MS_MAX)]


class BasicAuth(Config, frozen=True):
    """A name and a password."""

    username: Annotated[str, Meta(description="The name.")]
    password: Annotated[str, Meta(description="The password.")] = ""


class Auth(Config, frozen=True):
    """What is sent as `Authorization`: one of the two."""

    bearer: Annotated[str | UnsetType, Meta(description="Sent as `Bearer …`.")] = UNSET
    basic: Annotated[BasicAuth | UnsetType, Meta(description="Sent as `Basic …`.")] = UNSET


class HttpConfig(Config, frozen=True):
    """The request, and what becomes of the answer."""

    url: Annotated[str, Meta(description="An http or https URL. Addresses inside are refused unless opened.")]
    method: Annotated[
        Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], Meta(description="The method.")
    ] = "GET"
    headers: Annotated[dict[str, Scalar], Meta(description="Headers by name.")] = msgspec.field(default_factory=dict)
    query: Annotated[
        dict[str, Scalar | list[Scalar] | None],
        Meta(description="Parameters added to the URL; a list gives one several times, null none."),
    ] = msgspec.field(default_factory=dict)
    json: Annotated[Any, Meta(description="A body sent as JSON.")] = UNSET
    body: Annotated[str | UnsetType, Meta(description="A body sent as it is, in UTF-8.")] = UNSET
    form: Annotated[
        dict[str, Scalar | list[Scalar] | None] | UnsetType, Meta(description="A body sent as an HTML form is.")
    ] = UNSET
    body_file: Annotated[
        FilePath | UnsetType, Meta(description="The storage path of a file whose content is the body.")
    ] = UNSET
    auth: Annotated[Auth | None, Meta(description="What is sent as `Authorization`.")] = None
    response: Annotated[
        Literal["auto", "json", "text", "base64"],
        Meta(description="How the body becomes a value; auto goes by its type."),
    ] = "auto"
    save_to: Annotated[
        FilePath | UnsetType,
        Meta(description="A storage path: the answer's body is stored there instead of in the output."),
    ] = UNSET
    timeout_ms: Annotated[
        TimeoutMs | UnsetType,
        Meta(description="How long everything may take, in ms; otherwise the limit of outbound requests."),
    ] = UNSET
    follow_redirects: Annotated[bool, Meta(description="Whether redirects are followed, each checked anew.")] = True
    fail_on_status: Annotated[
        bool,
        Meta(description="Whether a status of 400 or more fails the step; 408, 425, 429 and 5xx are tried again."),
    ] = True


_BODIES = ("json", "body", "form", "body_file")


def check(config: Mapping[str, Any]) -> list[Fault]:
    """At most one body, one authorization, and a body only where the method has one."""
    faults = []
    bodies = [name for name in _BODIES if name in config]
    if len(bodies) > 1:
        faults.append(Fault(bodies[1], f"give one body: {bodies[0]} is there already"))
    if bodies and config.get("method", "GET") in ("GET", "HEAD"):
        faults.append(Fault(bodies[0], "GET and HEAD have no body"))
    url = config.get("url")
    if isinstance(url, str) and not is_template(url) and not url.lower().startswith(("http://", "https://")):
        faults.append(Fault("url", "begins with http:// or https://"))
    auth = config.get("auth")
    if isinstance(auth, Mapping):
        if ("bearer" in auth) == ("basic" in auth):
            faults.append(Fault("auth", "give bearer or basic, one of the two"))
        headers = config.get("headers")
        if isinstance(headers, Mapping) and any(str(name).lower() == "authorization" for name in headers):
            faults.append(Fault("auth", "headers has an Authorization already"))
    if "save_to" in config and config.get("response", "auto") != "auto":
        faults.append(Fault("response", "does not go with save_to"))
    return faults
