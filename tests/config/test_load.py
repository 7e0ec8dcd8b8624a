"""Reading a configuration: which source wins, and every kind of fault with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alloyd.config import Config, ConfigFaults, Fault, load_config
from alloyd.config.layers import SECRET_BYTES_MAX
from alloyd.config.yamltext import DEPTH_MAX, FILE_BYTES_MAX

CANARY = "canary-of-a-secret"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


def faults_of(
    file: Path | None, text: str | bytes = "", env: dict[str, str] | None = None, flags: dict[str, Any] | None = None
) -> list[str]:
    """Each fault as its line, without the directory of the file."""
    if file is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigFaults) as caught:
        load_config(file, env or {}, flags or {})
    assert str(caught.value).splitlines() == [str(fault) for fault in caught.value.faults]
    return [str(fault).replace(f"{file}:", "F:") for fault in caught.value.faults]


def test_later_sources_win_and_the_source_is_told(file: Path, tmp_path: Path) -> None:
    file.write_text("http:\n  port: 1\n  host: a\n  keepalive_timeout_s: 9\nmetrics: {token: from-file}\n")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "metrics.token").write_text("from-credential\n")
    env = {
        "ALLOYD_HTTP__PORT": "2",
        "ALLOYD_HTTP__HOST": "b",
        "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
    }
    config = load_config(file, env, {"http.port": 3})
    assert (config.http.port, config.http.host, config.http.keepalive_timeout_s) == (3, "b", 9)
    assert config.http.read_timeout_s == Config().http.read_timeout_s
    assert config.metrics.token == "from-credential"
    assert config.sources == {
        "http.port": "flag http.port",
        "http.host": "environment ALLOYD_HTTP__HOST",
        "http.keepalive_timeout_s": f"{file}:4",
        "metrics.token": "credential metrics.token",
    }


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "---\n", "http:\n", "http: {}\ndata: null\n", "\ufeffhttp: {}\n", "null\n"]
)
def test_nothing_in_the_file_gives_the_defaults(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    assert load_config(file, {}, {}) == Config()


@pytest.mark.parametrize(
    ("name", "raw", "key", "value"),
    [
        ("ALLOYD_HTTP__PORT", "8080", "http.port", 8080),
        ("ALLOYD_ENGINE__RUN_DEADLINE_MS", "31_536_000_000", "engine.run_deadline_ms", 31_536_000_000),
        ("ALLOYD_HTTP__TRUSTED_PROXIES", "[10.0.0.0/8, '::1']", "http.trusted_proxies", ("10.0.0.0/8", "::1")),
        ("ALLOYD_EGRESS__ALLOW", "- nas.lan:9000\n- 10.1.2.3", "egress.allow", ("nas.lan:9000", "10.1.2.3")),
        ("ALLOYD_EGRESS__ALLOW", "[]", "egress.allow", ()),
        ("ALLOYD_DATA__DIR", "123", "data.dir", "123"),
        ("ALLOYD_LOG__LEVEL", "debug", "log.level", "debug"),
        ("ALLOYD_METRICS__TOKEN", "no: [yaml", "metrics.token", "no: [yaml"),
        ("ALLOYD_METRICS__TOKEN", "", "metrics.token", None),
    ],
)
def test_a_variable_is_read_by_the_type_of_its_setting(name: str, raw: str, key: str, value: object) -> None:
    config = load_config(None, {name: raw}, {})
    group, _, field = key.partition(".")
    assert getattr(getattr(config, group), field) == value


def test_other_variables_are_left_alone() -> None:
    env = {"ALLOYD_CONFIG": "x", "ALLOYD_DATA_DIR": "y", "ALLOYD_TEST_DAEMON": "1", "HTTP__PORT": "no", "PATH": "/bin"}
    assert load_config(None, env, {}) == Config()


def test_flags_take_paths_and_tuples_and_skip_none(tmp_path: Path) -> None:
    config = load_config(None, {}, {"data.dir": tmp_path, "egress.allow": ("a.lan",), "http.port": None})
    assert config.data.dir == str(tmp_path)
    assert config.egress.allow == ("a.lan",)
    assert config.http.port == Config().http.port


NO_ALIASES = "write the value out; anchors (&name) and aliases (*name) are not taken"
PORT = "wanted a whole number from 0 to 65535"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http:\n  prot: 1\n", ["F:2: http.prot: no such setting; did you mean port?"]),
        ("retention: {level: x}", ["F:1: retention.level: no such setting; did you mean log.level?"]),
        (
            "metrics:\n  zzz: 1",
            ["F:2: metrics.zzz: no such setting; metrics has token"],
        ),
        ("htp:\n  port: 1", ["F:1: htp: no such group of settings; did you mean http?"]),
        ("\nport: 3", ["F:2: port: no such group of settings; did you mean http.port?"]),
        ("htp: {}", ["F:1: htp: no such group of settings; did you mean http?"]),
        ("http:\n  port_file: /etc/passwd", ["F:2: http.port_file: no such setting; did you mean port?"]),
        ("http:\n  port: abc", [f'F:2: http.port: {PORT}, got "abc"']),
        ("http:\n  port: '80'", [f'F:2: http.port: {PORT}, got "80" (take the quotes off)']),
        ("http:\n  port: 65536", [f"F:2: http.port: {PORT}, got 65536"]),
        ("http:\n  port: -1", [f"F:2: http.port: {PORT}, got -1"]),
        ("http:\n  port: true", [f"F:2: http.port: {PORT}, got true"]),
        ("http:\n  port: 1.5", [f"F:2: http.port: {PORT}, got 1.5"]),
        ("http:\n  port:", [f"F:2: http.port: {PORT}, got nothing"]),
        ("http:\n  port: [1]", [f"F:2: http.port: {PORT}, got a list with something else in it"]),
        ("http:\n  port: []", [f"F:2: http.port: {PORT}, got an empty list"]),
        ("http:\n  port: {a: 1}", [f"F:2: http.port: {PORT}, got a mapping"]),
        ("http:\n  port: 0755", [f'F:2: http.port: {PORT}, got "0755"']),
        ("http:\n  port: 0x10", [f'F:2: http.port: {PORT}, got "0x10"']),
        ("http:\n  port: 1:30", [f'F:2: http.port: {PORT}, got "1:30"']),
        ("http:\n  port: 2001-01-01", [f'F:2: http.port: {PORT}, got "2001-01-01"']),
        (f"http:\n  port: {'9' * 5000}", [f'F:2: http.port: {PORT}, got "{"9" * 59}…']),
        ("http:\n  host: ''", ['F:2: http.host: wanted text of at least one character, got ""']),
        ("http:\n  host: 12", ["F:2: http.host: wanted text of at least one character, got 12"]),
        (
            "log:\n  level: loud",
            ['F:2: log.level: wanted one of debug, info, warning, error, got "loud"'],
        ),
        (
            "retention:\n  idempotency_hours: 23",
            ["F:2: retention.idempotency_hours: wanted a whole number of hours from 24 to 8760, got 23"],
        ),
        (
            "http:\n  allowed_hosts: a.b",
            ['F:2: http.allowed_hosts: wanted a list of at most 1000 texts, such as [first, second], got "a.b"'],
        ),
        (
            "http:\n  allowed_hosts: [//a]",
            ['F:2: http.allowed_hosts: wanted a host name or address, with no scheme, port or path, got "//a"'],
        ),
        ("http:\n  port: 1\n  port: 2", ["F:3: http.port: given twice, first in line 2; keep one"]),
        ("http: {}\nhttp: {port: 2}", ["F:2: http: given twice, first in line 1; keep one"]),
        ("http: 3", ["F:1: http: wanted `key: value` lines"]),
        ("- http", ["F:1: wanted groups of settings, such as `http:`"]),
        ("text", ["F:1: wanted groups of settings, such as `http:`"]),
        ("? [a]\n: 1", ["F:1: a key has to be plain text"]),
        ("http:\n  ? [a]\n  : 1", ["F:2: http: a key has to be plain text"]),
        ("http:\n  port: {[a]: 1}", ["F:2: http.port: a key has to be plain text"]),
        ("http:\n  port: {a: 1, a: 2}", ["F:2: http.port: a key is given twice; keep one"]),
        ('http:\n  "a\\nb\\e[31m": 1', None),
        ("http:\n  host: !!python/object/apply:os.system [id]", None),
        ("http:\n  port: !secret 1", ["F:2: http.port: tags (!name) are not taken"]),
        ("http:\n  <<: {port: 1}", None),
        ("http: {\nport: 1", None),
        ("http:\n\tport: 1", None),
        ("a: 1\n---\nb: 1", None),
        ("http: {}\nlog: *l", None),
        ("http: &h {}\nlog: *h", None),
        ("a" + "\x07", ["F:1: not YAML: a control character"]),
        (b"http: {}\n\xff\xfe: 1", ["F:2: not UTF-8 text"]),
        ("http:\n  port: 1\n" + "#" * FILE_BYTES_MAX, [f"F: larger than {FILE_BYTES_MAX} bytes"]),
        ("[" * 10_000, [f"F:1: nested deeper than {DEPTH_MAX} levels"]),
    ],
)
def test_a_fault_in_the_file_is_told_with_its_line(file: Path, text: str | bytes, expected: list[str] | None) -> None:
    found = faults_of(file, text)
    found = [line.replace(str(file), "F") for line in found]
    if expected is None:
        assert len(found) == 1
        assert found[0].startswith(("F:1: ", "F:2: ", "F:3: "))
        assert "\x1b" not in found[0]
    else:
        assert found == expected


def test_aliases_are_refused_before_they_multiply(file: Path) -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(50))
    assert faults_of(file, bomb) == [f"F:1: {NO_ALIASES}"]


def test_every_fault_of_every_source_is_told_at_once(file: Path) -> None:
    found = faults_of(
        file,
        "http:\n  port: x\n  nope: 1\nlog: {level: loud}\n",
        {"ALLOYD_HTTP__PORT": "y", "ALLOYD_LOG__NOPE": "1", "ALLOYD_HTTP_HOST": "h", "ALLOYD_EGRESS__ALLOW": "[a"},
        {"http.port": 70_000, "no.such": 1},
    )
    assert [line.split(": ")[0] for line in found] == [
        "F:2",
        "F:3",
        "F:4",
        "environment ALLOYD_EGRESS__ALLOW",
        "environment ALLOYD_HTTP_HOST",
        "environment ALLOYD_HTTP__PORT",
        "environment ALLOYD_LOG__NOPE",
        "flag http.port",
        "flag no.such",
    ]


@pytest.mark.parametrize(
    ("name", "raw", "expected"),
    [
        ("ALLOYD_HTTP__PORT", "x", f'http.port: {PORT}, got "x"'),
        ("ALLOYD_HTTP__PORT", "", f"http.port: {PORT}, got nothing"),
        ("ALLOYD_HTTP__PRT", "1", "http.prt: no such setting; did you mean port?"),
        ("ALLOYD_HTPP__PORT", "1", "htpp.port: no such group of settings; did you mean http?"),
        ("ALLOYD_HTTP_PORT", "1", "did you mean ALLOYD_HTTP__PORT, with two underscores?"),
        ("ALLOYD_EGRESS__ALLOW", "*a", f"egress.allow: {NO_ALIASES}"),
        ("ALLOYD_LOG__LEVEL", "INFO", 'log.level: wanted one of debug, info, warning, error, got "INFO"'),
    ],
)  # fmt: skip
def test_a_fault_in_the_environment_names_the_variable(name: str, raw: str, expected: str) -> None:
    assert faults_of(None, env={name: raw}) == [f"environment {name}: {expected}"]


@pytest.mark.parametrize(
    ("low", "low_value", "high", "high_value"),
    [
        ("limits.list_limit_default", 50, "limits.list_limit_max", 10),
        ("engine.payload_bytes_max", 8_000_000, "engine.context_bytes_max", 7_999_999),
        ("engine.step_output_bytes_max", 5_000_000, "engine.context_bytes_max", 4_194_304),
    ],
)
def test_settings_that_contradict_each_other_are_refused(low: str, low_value: int, high: str, high_value: int) -> None:
    flags = {low: low_value, high: high_value}
    wanted = f"wanted {low} ({low_value}) to be at most {high} ({high_value})"
    assert faults_of(None, flags=flags) == [f"flag {low}: {low}: {wanted}"]


def test_a_contradiction_with_a_default_is_told_where_the_other_was_given(file: Path) -> None:
    found = faults_of(file, "limits:\n  list_limit_max: 10\n")
    key = "limits.list_limit_max"
    assert found == [f"F:2: {key}: wanted limits.list_limit_default (50) to be at most {key} (10)"]


def test_a_value_with_a_fault_is_not_held_against_another(file: Path) -> None:
    assert len(faults_of(file, "limits:\n  list_limit_max: 10\n  list_limit_default: x\n")) == 1


def test_a_file_that_is_named_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigFaults) as caught:
        load_config(tmp_path / "none.yaml", {}, {})
    place = str(tmp_path / "none.yaml")
    assert caught.value.faults == (Fault(place, None, "", "cannot be read: No such file or directory"),)


class TestSecrets:
    def test_a_secret_comes_from_a_file(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "token").write_text(f"{CANARY}\n")
        file.write_text(f"metrics:\n  token_file: {tmp_path / 'token'}\n")
        config = load_config(file, {}, {})
        assert config.metrics.token is not None
        assert config.metrics.token.reveal() == CANARY
        assert config.sources == {"metrics.token": f"{file}:2"}

    def test_a_variable_may_name_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text(CANARY)
        config = load_config(None, {"ALLOYD_METRICS__TOKEN_FILE": str(tmp_path / "token")}, {})
        assert config.metrics.token == CANARY

    def test_both_ways_at_once_are_refused(self, file: Path, tmp_path: Path) -> None:
        (tmp_path / "token").write_text(CANARY)
        found = faults_of(file, f"metrics:\n  token: x\n  token_file: {tmp_path / 'token'}\n")
        assert found == ["F:3: metrics.token_file: give either token or token_file, not both"]

    @pytest.mark.parametrize(
        ("content", "wanted"),
        [
            (None, "cannot read {}: No such file or directory"),
            (b"", "{} is empty"),
            (b"\n", "{} is empty"),
            (b"\xff", "{} is not UTF-8 text"),
            (b"x" * (SECRET_BYTES_MAX + 1), "{} is larger than 65536 bytes"),
        ],
    )
    def test_a_file_or_credential_that_holds_no_secret_is_a_fault(
        self, tmp_path: Path, content: bytes | None, wanted: str
    ) -> None:
        path = tmp_path / "metrics.token"
        if content is not None:
            path.write_bytes(content)
        else:
            path.symlink_to("nowhere")
        wanted = wanted.format(path)
        env = {"ALLOYD_METRICS__TOKEN_FILE": str(path), "CREDENTIALS_DIRECTORY": str(tmp_path)}
        assert faults_of(None, env=env) == [
            f"credential metrics.token: {wanted}",
            f"environment ALLOYD_METRICS__TOKEN_FILE: metrics.token_file: {wanted}",
        ]

    @pytest.mark.parametrize("value", ["[a]", "''", "null"])
    def test_the_path_of_the_file_has_to_be_text(self, file: Path, value: str) -> None:
        found = faults_of(file, f"metrics: {{token_file: {value}}}")
        assert found == ["F:1: metrics.token_file: wanted the path of a file"]

    def test_credentials_of_other_programs_and_of_plain_settings_are_ignored(self, tmp_path: Path) -> None:
        (tmp_path / "http.port").write_text("nonsense")
        (tmp_path / "tls.key").write_text("nonsense")
        assert load_config(None, {"CREDENTIALS_DIRECTORY": str(tmp_path)}, {}) == Config()

    @pytest.mark.parametrize(
        "text",
        [
            f"metrics:\n  token: [{CANARY}]",
            f"metrics:\n  token: {{a: {CANARY}}}",
            f"metrics:\n  token: {CANARY}: x",
            f"metrics:\n  token: '{CANARY}",
            f"metrics:\n  token: !x {CANARY}",
        ],
    )
    def test_a_fault_never_tells_a_secret(self, file: Path, text: str) -> None:
        assert CANARY not in "".join(faults_of(file, text))
