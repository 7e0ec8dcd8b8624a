"""The list of operations, what is told of it, and its manual."""

from __future__ import annotations

from pathlib import Path

import jsonschema_rs
import msgspec
import pytest

from alloyd.domain.operations import manual
from alloyd.domain.operations.catalogue import OPERATIONS, describe, find_operation, get_operation
from alloyd.errors import AlloydError, Code

PURE = {
    "workflow.noop", "workflow.branch", "workflow.fan_out", "workflow.fan_in", "workflow.finish",
    "workflow.merge_context", "workflow.validate_context", "transform", "text.transform_basic", "event.emit",
}  # fmt: skip
WITH_EFFECTS = {
    "teammate.message", "ai.generate", "ai.embed", "ai.execute", "workflow.delay", "workflow.call", "workflow.foreach",
    "workflow.wait_event", "http.request", "connector.action", "webhook.send", "email.send",
    "storage.read", "storage.write", "storage.list", "storage.delete", "storage.put_object",
}  # fmt: skip


def test_which_operations_there_are() -> None:
    assert len(OPERATIONS) == len(PURE | WITH_EFFECTS)
    assert {operation.name for operation in OPERATIONS if operation.pure} == PURE
    assert {operation.name for operation in OPERATIONS if not operation.pure} == WITH_EFFECTS


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_each_is_whole(operation: manual.Operation) -> None:
    assert (operation.compute is None) != (operation.execute is None)
    assert operation.summary.endswith(".")
    assert operation.expressions <= set(operation.config.__struct_encode_fields__)
    module = operation.config.__module__.rpartition(".")[2]
    home = {"http_config": "http_request", "connector_config": "connector_action"}.get(module, module)
    assert home == operation.name.replace(".", "_")


def test_find_and_get() -> None:
    assert find_operation("workflow.noop") is get_operation("workflow.noop")
    assert find_operation("workflow.nope") is None
    with pytest.raises(AlloydError) as caught:
        get_operation("workflow.nope")
    assert caught.value.code is Code.NOT_FOUND


def test_describe() -> None:
    described = {description.name: description for description in describe()}
    assert list(described) == [operation.name for operation in OPERATIONS]
    branch = described["workflow.branch"]
    assert (branch.pure, branch.ports) == (True, ["then", "else"])
    for description in described.values():
        jsonschema_rs.meta.validate(description.config)
        assert description.config["additionalProperties"] is False
        for name, field in description.config["properties"].items():
            assert field["description"], f"{description.name}: {name} says nothing"
    assert msgspec.json.encode(describe())


def test_the_manual_is_up_to_date() -> None:
    assert manual.DOCS_FILE.read_text(encoding="utf-8") == manual.render_catalogue()


def test_the_manual_names_each_operation_and_setting() -> None:
    text = manual.render_catalogue()
    for operation in OPERATIONS:
        section = text.partition(f"## `{operation.name}`")[2].partition("\n## ")[0]
        assert operation.summary in section
        for name in operation.config.__struct_encode_fields__:
            assert f"| `{name}` |" in section


def test_the_manual_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manual, "DOCS_FILE", tmp_path / "docs" / "catalogue.md")
    manual.write_file()
    assert (tmp_path / "docs" / "catalogue.md").read_text(encoding="utf-8") == manual.render_catalogue()
