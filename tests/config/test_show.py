"""What is told of a configuration, and what a reload takes over."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from alloyd.config import (
    Config,
    LiveConfig,
    Secret,
    diff_reload,
    effective,
    load_config,
    masked,
    merge_live,
    reloadable,
)

CANARY = "canary-of-a-secret"


def with_token() -> Config:
    return load_config(None, {"ALLOYD_METRICS__TOKEN": CANARY}, {"http.port": 0})


def test_masked_has_every_value_and_no_secret() -> None:
    shown = masked(with_token())
    assert shown["metrics"] == {"token": "***"}
    assert shown["http"]["port"] == 0
    assert shown["http"]["trusted_proxies"] == []
    assert CANARY not in json.dumps(shown)
    assert masked(Config())["metrics"] == {"token": None}


def test_effective_tells_sources() -> None:
    shown = effective(with_token())
    assert shown["http"]["port"] == {"value": 0, "source": "flag http.port"}
    assert shown["metrics"]["token"] == {"value": "***", "source": "environment ALLOYD_METRICS__TOKEN"}
    assert shown["log"]["level"] == {"value": "info", "source": "default"}


def test_a_secret_does_not_show_unless_asked() -> None:
    config = with_token()
    secret = Secret(CANARY)
    texts = [repr(config), str(config), repr(secret), str(secret), f"{secret:>40}", "%s" % secret, f"{secret!r}"]  # noqa: UP031
    assert not any(CANARY in text for text in texts)
    assert secret.reveal() == CANARY


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_is_not_copied(way) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        way(Secret(CANARY))


def test_secrets_compare_by_text() -> None:
    assert Secret("a") == Secret("a") == "a"
    assert Secret("a") != Secret("b")
    assert Secret("ä") != "a"
    assert Secret("1") != 1
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_a_reload_tells_what_changed_and_what_has_to_wait() -> None:
    old = load_config(None, {}, {"http.port": 1, "log.level": "info"})
    new = load_config(None, {}, {"http.port": 2, "log.level": "debug", "retention.runs_days": 7})
    assert diff_reload(old, new) == (["retention.runs_days", "log.level"], ["http.port"])
    assert diff_reload(old, old) == ([], [])


def test_a_changed_secret_is_noticed() -> None:
    assert diff_reload(with_token(), load_config(None, {}, {"http.port": 0})) == (["metrics.token"], [])


def test_only_live_settings_are_taken_over() -> None:
    old = load_config(None, {}, {"http.port": 1, "engine.running_max": 2})
    new = load_config(None, {"ALLOYD_LOG__LEVEL": "debug"}, {"http.port": 2})
    merged = merge_live(old, new)
    assert (merged.http.port, merged.engine.running_max, merged.log.level) == (1, 256, "debug")
    assert merged.sources == {"http.port": "flag http.port", "log.level": "environment ALLOYD_LOG__LEVEL"}


def test_reloadable_names_live_settings_only() -> None:
    assert {"log.level", "retention.runs_days"} <= reloadable()
    assert not {"http.port", "data.dir", "log.format"} & reloadable()


def test_those_who_registered_hear_of_a_reload_that_changes_something() -> None:
    live = LiveConfig(Config())
    heard: list[str] = []
    live.on_change(lambda config: heard.append(config.log.level))
    assert live.reload(load_config(None, {}, {"http.port": 9})) == ([], ["http.port"])
    assert (heard, live.current) == ([], Config())
    assert live.reload(load_config(None, {}, {"log.level": "error"})) == (["log.level"], [])
    assert (heard, live.current.log.level) == (["error"], "error")
