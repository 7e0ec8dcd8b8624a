"""Templates: JSON with expressions in its strings."""

from __future__ import annotations

from typing import Any

import pytest

from alloyd.errors import AlloydError, Code
from alloyd.kit.expressions import ExpressionError, TemplateFaults, compile_expression, compile_template

NAMES: dict[str, Any] = {
    "trigger": {"id": 7, "name": "Ada", "list": [1, {"a": None}], "none": None, "yes": True, "f": 1.0},
    "steps": {"fetch": {"output": 5}},
}


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        ("{{ trigger.id }}", 7),
        ("{{trigger.id}}", 7),
        (" {{ trigger.id }}", " 7"),
        ("{{ trigger.list }}", [1, {"a": None}]),
        ("{{ trigger.none }}", None),
        ("id {{ trigger.id }}, {{ trigger.name }}!", "id 7, Ada!"),
        ("{{ trigger.id }}{{ trigger.id }}", "77"),
        ("<{{ trigger.none }}|{{ trigger.yes }}|{{ trigger.f }}|{{ trigger.list }}>", '<|true|1.0|[1,{"a":null}]>'),
        ("{{ '}}' }}", "}}"),
        ('{{ "a}}b" }}-{{ {"x": {"y": 1}} }}', 'a}}b-{"x":{"y":1}}'),
        ("{{ {'a': {}}}}", {"a": {}}),
        ("no expression } }} {", "no expression } }} {"),
        ("", ""),
        ("{{{{ trigger.id }}", "{{ trigger.id }}"),
        ("{{{{}}{{ trigger.id }}", "{{}}7"),
        ("{{{{{{ trigger.id }}", "{{7"),
        (5, 5),
        (None, None),
        ({"a": ["{{ trigger.id }}", 2, {"b": "{{ 1 + 1 }}"}], "c": "x"}, {"a": [7, 2, {"b": 2}], "c": "x"}),
        ({"{{ trigger.id }}": 1}, {"{{ trigger.id }}": 1}),
        ({"z": 1, "a": "{{ 2 }}", "m": 3}, {"z": 1, "a": 2, "m": 3}),
    ],
)
def test_rendered(value: Any, rendered: Any) -> None:
    template = compile_template(value, "config")
    for _ in range(2):
        result = template.render(NAMES)
        assert result == rendered
        assert type(result) is type(rendered)
        if isinstance(result, dict):
            assert list(result) == list(rendered)


@pytest.mark.parametrize(
    ("value", "constant", "names", "steps", "all_steps", "pure"),
    [
        ("plain", True, set(), set(), False, True),
        ("{{{{ a }}", True, set(), set(), False, True),
        ({"a": [1, "b"]}, True, set(), set(), False, True),
        ("{{ 1 }}", False, set(), set(), False, True),
        ("{{ trigger.a + now }}", False, {"trigger", "now"}, set(), False, True),
        (
            {"a": "{{ steps.fetch.output }}", "b": ["x{{ steps['other-one'].output.y ?? item }}"]},
            False,
            {"steps", "item"},
            {"fetch", "other-one"},
            False,
            True,
        ),
        ("{{ steps[item].output }}", False, {"steps", "item"}, set(), True, True),
        ("{{ keys(steps) }}", False, {"steps"}, set(), True, True),
        (
            "{{ [steps.a for trigger in context] + [trigger.x for trigger in [1]] }}",
            False,
            {"steps", "context"},
            {"a"},
            False,
            True,
        ),
        ("{{ [steps.x for steps in [1]] }}", False, set(), set(), False, True),
        ("{{ default(steps.a.b, uuid()) }}", False, {"steps"}, {"a"}, False, False),
        (["{{ 1 }}", "{{ uuid() }}"], False, set(), set(), False, False),
    ],
)
def test_what_is_known_of_it(
    value: Any, constant: bool, names: set[str], steps: set[str], all_steps: bool, pure: bool
) -> None:
    template = compile_template(value)
    assert (template.constant, template.names, template.steps) == (constant, names, steps)
    assert (template.all_steps, template.pure) == (all_steps, pure)


def test_of_an_expression_the_same_is_known() -> None:
    expression = compile_expression("steps.a.output > 1 and uuid() != now", "when")
    assert expression.names == {"steps", "now"}
    assert (expression.steps, expression.all_steps, expression.pure) == ({"a"}, False, False)


def test_every_fault_is_told_with_its_place() -> None:
    config = {
        "url": "https://x/{{ trigger. }}/{{ nope() }}/{{ trigger.id }}",
        "values": {"cents": "{{ 1 + }}", "fine": "{{ 1 }}"},
        "list": [1, "{{ 'open", {"deep": "{{ unknown }}"}],
    }
    with pytest.raises(TemplateFaults) as caught:
        compile_template(config, "config", known=frozenset({"trigger"}))
    assert caught.value.details == [
        {"place": "config.url", "column": 23, "message": 'the expression ends too early, expected a key (or ["…"])'},
        {"place": "config.url", "column": 29, "message": "nope(): no such function"},
        {"place": "config.values.cents", "column": 8, "message": "the expression ends too early"},
        {"place": "config.list[1]", "column": 4, "message": "this string has no end"},
        {"place": "config.list[2].deep", "column": 4, "message": "unknown: no such name"},
    ]
    assert len(caught.value.faults) == 5
    assert caught.value.message.endswith("(and 4 more)")
    assert (caught.value.code, caught.value.field) == (Code.UNPROCESSABLE, "config.url")


def test_faults_without_a_path() -> None:
    with pytest.raises(TemplateFaults) as caught:
        compile_template({"a": ["{{ }}"]})
    assert caught.value.faults[0].place == "a[0]"
    assert caught.value.message == "a[0], column 3: the expression is empty"


def test_not_more_faults_are_told_than_can_be_read() -> None:
    with pytest.raises(TemplateFaults) as caught:
        compile_template({"a": "{{ ; }}" * 100_000, "b": "{{ ; }}"})
    assert len(caught.value.faults) == 100


def test_too_deep_a_config() -> None:
    value: Any = "{{ 1 }}"
    for _ in range(5_000):
        value = [value]
    with pytest.raises(TemplateFaults, match="nested more than 100 deep"):
        compile_template(value)


def test_a_fault_of_rendering_names_the_config_string() -> None:
    template = compile_template(
        {"values": {"cents": "{{ trigger.order.amount }}", "b": "a {{ 1 / trigger.zero }}"}}, "config"
    )
    with pytest.raises(AlloydError) as caught:
        template.render({"trigger": {"order": {}}})
    error = caught.value
    assert isinstance(error, ExpressionError)
    assert (error.code, error.field, error.message) == (
        Code.UNPROCESSABLE,
        "config.values.cents",
        "trigger.order.amount: no such key",
    )
    with pytest.raises(ExpressionError) as other:
        template.render({"trigger": {"order": {"amount": 1}, "zero": 0}})
    assert str(other.value) == "config.values.b, column 8: division by zero"


def test_rendering_leaves_template_and_names_as_they_were() -> None:
    template = compile_template({"a": [1, "{{ trigger.list }}"], "b": {"c": [2]}})
    first = template.render(NAMES)
    first["a"].append("mine")
    first["new"] = 1
    assert template.render(NAMES) == {"a": [1, [1, {"a": None}]], "b": {"c": [2]}}


def test_one_template_in_several_threads_keeps_its_loops_apart() -> None:
    # Loop variables live in the frame of one rendering: an inner rendering must not touch the outer one's.
    template = compile_template("{{ [x for x in trigger] }}")

    class Names(dict[str, Any]):
        def __getitem__(self, key: str) -> Any:
            if key == "trigger" and not self.get("busy"):
                self["busy"] = True
                assert template.render({"trigger": ["inner"]}) == ["inner"]
            return super().__getitem__(key)

    assert template.render(Names(trigger=["outer"])) == ["outer"]
