"""``ai.generate``: lets a language model write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from alloyd.domain.operations.ai_call import ModelConfig, ask, told_source
from alloyd.domain.operations.model import Done, Fault, Operation, OperationError, StepContext
from alloyd.domain.operations.schema_cost import SchemaRefusedError
from alloyd.domain.operations.user_schema import check_schema, faults_in
from alloyd.domain.providers.model import TEXT
from alloyd.kit.documents import DocumentError, read_json


class GenerateConfig(ModelConfig, frozen=True, kw_only=True):
    """What is asked: `prompt` or `messages`."""

    prompt: Annotated[str | None, Meta(description="What the user says.")] = None
    messages: Annotated[list[dict[str, Any]] | None, Meta(description="A whole conversation: `[{role, content}]`.")] = (
        None
    )
    system: Annotated[str | None, Meta(description="What the model is told before.")] = None
    schema: Annotated[
        dict[str, Any] | None,
        Meta(description="A JSON Schema that the answer has to fit; the output then has `json`, the answer read."),
    ] = None


async def execute(ctx: StepContext, config: GenerateConfig) -> Done:
    """``{text, finish_reason, tool_calls?, json?, model, provider_id, usage}``.

    To repeat: the model is asked, and billed, again; an attempt that failed in mid-answer is recorded as usage too.
    """
    given: dict[str, Any] = {"system": config.system} if config.system else {}
    given |= {"prompt": config.prompt} if config.messages is None else {"messages": config.messages}
    params = dict(config.params)
    if config.schema is not None:
        params["response_format"] = {"type": "json_schema", "schema": config.schema}
    executed = await ask(ctx, config, TEXT, given, params)
    output = {"tool_calls": [], **executed.output, **told_source(executed)}
    if config.schema is not None:
        output["json"] = _read(config.schema, output["text"], output["finish_reason"])
    return Done(output)


def _read(schema: dict[str, Any], text: str, finish_reason: str) -> Any:
    """The answer as JSON. A model that wrote something else may do better when asked again."""
    try:
        value = read_json(text)
    except (msgspec.MsgspecError, DocumentError):
        told = f"the answer is not JSON (it ended with {finish_reason})"
        raise OperationError("bad_answer", told, path="schema", retryable=True) from None
    try:
        faults = faults_in(schema, value)
    except SchemaRefusedError as error:
        raise OperationError("bad_schema", str(error), path="schema") from None
    if faults:
        details = [{"path": fault.path, "message": fault.message} for fault in faults]
        raise OperationError(
            "bad_answer", "the answer does not fit the schema", path="schema", retryable=True, details=details
        )
    return value


def check(config: Mapping[str, Any]) -> list[Fault]:
    """Exactly one of prompt and messages, and a schema that is one."""
    faults = []
    if (config.get("prompt") is None) == (config.get("messages") is None):
        faults.append(Fault("prompt", "exactly one of prompt and messages is wanted"))
    schema = config.get("schema")
    if isinstance(schema, dict) and b"{{" not in msgspec.json.encode(schema):
        try:
            check_schema(schema)
        except SchemaRefusedError as error:
            faults.append(Fault(f"schema.{error.place}" if error.place else "schema", str(error)))
    params = config.get("params")
    if isinstance(schema, dict) and isinstance(params, Mapping) and "response_format" in params:
        faults.append(Fault("params.response_format", "schema stands for it already"))
    return faults


OPERATION = Operation(
    name="ai.generate",
    config=GenerateConfig,
    summary="Asks a language model. Output: {text, finish_reason, tool_calls, json, model, provider_id, usage}.",
    execute=execute,
    check=check,
)
