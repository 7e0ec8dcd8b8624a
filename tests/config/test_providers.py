"""Providers by name: from file, environment and credentials; every fault with its place; secrets masked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alloyd.config import (
    Config,
    ConfigFaults,
    LiveConfig,
    ModelConfig,
    PriceConfig,
    Secret,
    diff_reload,
    effective,
    load_config,
    masked,
)

CANARY = "sk-canary-of-a-key"
FILE = f"""\
http:
  port: 1
providers:
  openai:
    api_key: {CANARY}
    models:
      - {{id: gpt-4o-mini, tier: fast, price: {{input: 0.15, output: 0.6}}}}
      - {{id: mine, modalities: [text, embedding], max_output_tokens: 100}}
  local-llm:
    base_url: http://127.0.0.1:11434/v1
    free: true
  off:
    enabled: false
  empty:
"""


def write(directory: Path, text: str) -> Path:
    file = directory / "config.yaml"
    file.write_text(text)
    return file


def faults(file: Path | None, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigFaults) as caught:
        load_config(file, env or {}, {})
    assert CANARY not in str(caught.value)
    return [str(fault).removeprefix(f"{file}:") for fault in caught.value.faults]


def test_a_file_names_any_number(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, FILE), {}, {})
    assert list(config.providers) == ["empty", "local-llm", "off", "openai"]
    openai = config.providers["openai"]
    assert openai.api_key == Secret(CANARY)
    assert openai.models == (
        ModelConfig("gpt-4o-mini", "fast", price=PriceConfig(0.15, 0.6)),
        ModelConfig("mine", None, ("text", "embedding"), max_output_tokens=100),
    )
    assert (config.providers["local-llm"].base_url, config.providers["local-llm"].free) == (
        "http://127.0.0.1:11434/v1",
        True,
    )
    assert config.providers["off"].enabled is False
    assert config.providers["empty"] == Config().providers.get("empty", type(openai)())


def test_each_layer_wins_over_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "providers.openai.api_key").write_text("from a credential")
    env = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "ALLOYD_PROVIDERS__OPENAI__TIMEOUT_S": "7",
        "ALLOYD_PROVIDERS__LM_STUDIO__BASE_URL": "http://127.0.0.1:1234/v1",
        "ALLOYD_PROVIDERS__LM_STUDIO__FREE": "true",
    }
    config = load_config(write(tmp_path, FILE), env, {"providers.openai.first_byte_timeout_s": 3})
    openai = config.providers["openai"]
    assert (openai.api_key, openai.timeout_s, openai.first_byte_timeout_s) == ("from a credential", 7, 3)
    assert config.providers["lm_studio"].free is True
    assert config.sources["providers.openai.timeout_s"] == "environment ALLOYD_PROVIDERS__OPENAI__TIMEOUT_S"
    assert config.sources["providers.openai.models"].endswith("config.yaml:6")


def test_a_key_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("in a file\n")
    config = load_config(write(tmp_path, f"providers: {{a: {{api_key_file: {tmp_path}/key}}}}"), {}, {})
    assert config.providers["a"].api_key == "in a file"


@pytest.mark.parametrize(
    ("env", "given"),
    [
        ({}, {}),
        ({"OPENAI_API_KEY": "k"}, {"openai": ("k", None, False)}),
        ({"OPENAI_API_KEY": ""}, {}),
        ({"OPENAI_BASE_URL": "http://x.test/v1"}, {}),
        (
            {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://x.test/v1", "ANTHROPIC_API_KEY": "a"},
            {"openai": ("k", "http://x.test/v1", False), "anthropic": ("a", None, False)},
        ),
        ({"OLLAMA_HOST": "0.0.0.0"}, {"ollama": (None, "http://127.0.0.1:11434/v1", True)}),
        ({"OLLAMA_HOST": "box:99"}, {"ollama": (None, "http://box:99/v1", True)}),
        ({"OLLAMA_HOST": "https://box.test/"}, {"ollama": (None, "https://box.test:443/v1", True)}),
    ],
)
def test_the_usual_variables_make_providers(env: dict[str, str], given: dict[str, Any]) -> None:
    config = load_config(None, env, {})
    found = {
        name: (one.api_key.reveal() if one.api_key else None, one.base_url, one.free)
        for name, one in config.providers.items()
    }
    assert found == given


def test_the_usual_variables_say_nothing_where_providers_are_configured(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "providers: {mine: {}}"), {"OPENAI_API_KEY": "k"}, {})
    assert list(config.providers) == ["mine"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("providers:\n  Open AI:\n    free: true", "2: providers.Open AI: wanted a name of at most 32 characters"),
        ("providers:\n  echo: {free: true}", "2: providers.echo: wanted another name"),
        ("providers:\n  a__b: {}", "2: providers.a__b: wanted a name"),
        ("providers:\n  a: 1", "2: providers.a: wanted `key: value` lines"),
        ("providers: 1", "1: providers: wanted names with settings below"),
        ("providers:\n  a:\n    kinds: x", "3: providers.a.kinds: no such setting"),
        ("providers:\n  a:\n    kind: x", '3: providers.a.kind: wanted one of auto, openai, anthropic, got "x"'),
        ("providers:\n  a:\n    base_url: ftp://x", "3: providers.a.base_url: wanted an address such as"),
        ("providers:\n  a:\n    base_url: https://u:p@x/", "3: providers.a.base_url: wanted an address such as"),
        ("providers:\n  a:\n    base_url: https://x/v1?k=1", "3: providers.a.base_url: wanted an address such as"),
        ("providers:\n  a:\n    free: 1", "3: providers.a.free: wanted true or false"),
        ("providers:\n  a:\n    api_key: [1]", "3: providers.a.api_key: wanted text, or null"),
        (
            "providers:\n  a:\n    models:\n      - {id: x, tire: y}",
            "output: 0}}]; models[0]: object contains unknown field `tire`",
        ),
        ("providers:\n  a:\n    models: [{id: x, price: {input: -1}}]", "models[0].price.input: expected `float` >= 0"),
        ("providers:\n  a:\n    models: [{tier: x}]", "models[0]: object missing required field `id`"),
    ],
)
def test_every_fault_has_its_place(tmp_path: Path, text: str, told: str) -> None:
    (fault,) = faults(write(tmp_path, text))
    assert told in fault


def test_a_fault_in_the_environment_names_the_variable() -> None:
    name = "ALLOYD_PROVIDERS__A__TIMEOUT_S"
    assert faults(None, {name: "0"})[0].startswith(f"environment {name}: providers.a.timeout_s: wanted a whole number")


def test_what_is_shown_hides_keys(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, FILE), {}, {})
    shown = masked(config)["providers.openai"]
    assert shown["api_key"] == "***"
    assert shown["models"][0] == {"id": "gpt-4o-mini", "tier": "fast", "price": {"input": 0.15, "output": 0.6}}
    assert masked(config)["providers.off"]["enabled"] is False
    assert effective(config)["providers.openai"]["api_key"]["source"].endswith("config.yaml:5")
    assert CANARY not in json.dumps(effective(config)) + repr(config)


def test_providers_change_at_a_restart(tmp_path: Path) -> None:
    old = load_config(write(tmp_path, FILE), {}, {})
    new = load_config(write(tmp_path, "providers: {openai: {timeout_s: 9}, other: {}}"), {}, {"http.port": 1})
    live = LiveConfig(old)
    assert diff_reload(old, new)[1] == [
        "providers.empty",
        "providers.local-llm",
        "providers.off",
        "providers.openai.api_key",
        "providers.openai.models",
        "providers.openai.timeout_s",
        "providers.other",
    ]
    live.reload(load_config(write(tmp_path, "log: {level: error}"), {}, {}))
    assert (live.current.log.level, live.current.providers) == ("error", old.providers)
