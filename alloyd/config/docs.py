"""Makes config.example.yaml and alloyd/docs/config.md from the declared settings: ``python -m alloyd.config.docs``."""

from __future__ import annotations

import inspect
import json
import textwrap
from pathlib import Path
from typing import Final

from alloyd.config.fields import Field, fields_of, fields_of_entry, maps_of
from alloyd.config.model import Config

ROOT: Final = Path(__file__).resolve().parents[2]
EXAMPLE_FILE: Final = ROOT / "config.example.yaml"
DOCS_FILE: Final = ROOT / "alloyd" / "docs" / "config.md"

_WIDTH: Final = 100
_BINARY_UNITS: Final = (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))

_ORDER: Final = """\
Order: defaults, then this file, then systemd credentials, then the environment, then flags; later ones win. \
The variable of a setting is `ALLOYD_<GROUP>__<KEY>`, with two underscores between: `ALLOYD_HTTP__PORT=8080`. \
A list is written there as in YAML: `ALLOYD_EGRESS__ALLOW='[10.0.0.0/8]'`. \
A secret may also be in a file, named by `<key>_file`, or in a systemd credential named `<group>.<key>`. \
`alloyd config check` tells every fault with its place, `alloyd config show` what is in force."""


def render_example() -> str:
    """The text of config.example.yaml: every setting with its default, unit and meaning."""
    lines = ["# All settings of alloyd, each with its default. Keep what you change, delete the rest.", "#"]
    lines += _comment(_ORDER, "")
    for group, names in fields_of(Config).items():
        lines += ["", f"# {_group_meaning(group)}", f"{group}:"]
        for field in names.values():
            lines += _comment(f"{field.meaning}{_aside(field)}", "  ")
            lines.append(f"  {field.name}: {json.dumps(field.default)}")
    for group, struct in maps_of(Config).items():
        fields = fields_of_entry(f"{group}.<name>", struct)
        lines += ["", f"# {inspect.getdoc(struct)} See alloyd/docs/{group}.md.", f"# {group}:", "#   <name>:"]
        for field in fields.values():
            lines += _comment(f"{field.meaning}{_aside(field)}", "#     ")
            lines.append(f"#     {field.name}: {json.dumps(field.default)}")
    return "\n".join(lines) + "\n"


def render_config_docs() -> str:
    """The text of alloyd/docs/config.md: a table of settings for each group."""
    order = _ORDER.replace("this file", "the file that `--config` names")
    lines = [
        "# Configuration",
        "",
        "<!-- Made by `python -m alloyd.config.docs`; a test compares it with the code. -->",
        "",
        *textwrap.wrap(order, 110),
        "",
        "“Live” settings are taken over at SIGHUP; the others need a restart.",
    ]
    for group, names in fields_of(Config).items():
        lines += [
            "",
            f"## `{group}`",
            "",
            _group_meaning(group),
            "",
            "| Key | Type | Default | Unit | Live | Meaning |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(field) for field in names.values()]
    for group, struct in maps_of(Config).items():
        fields = fields_of_entry(f"{group}.<name>", struct)
        lines += ["", f"## `{group}.<name>`", "", f"{inspect.getdoc(struct)} See [{group}.md]({group}.md).", ""]
        lines += ["| Key | Type | Default | Unit | Live | Meaning |", "|---|---|---|---|---|---|"]
        lines += [_row(field) for field in fields.values()]
    return "\n".join(lines) + "\n"


def write_files() -> None:
    """Writes both files to their places in the source tree."""
    EXAMPLE_FILE.write_text(render_example(), encoding="utf-8")
    DOCS_FILE.parent.mkdir(exist_ok=True)
    DOCS_FILE.write_text(render_config_docs(), encoding="utf-8")


def _row(field: Field) -> str:
    default = f"`{json.dumps(field.default)}`"
    readable = _readable_bytes(field)
    cells = (
        f"`{field.name}`",
        _type_words(field),
        f"{default} ({readable})" if readable else default,
        field.unit,
        "yes" if field.live else "",
        field.meaning,
    )
    return f"| {' | '.join(cells)} |"


def _type_words(field: Field) -> str:
    if field.bounds is not None:
        return f"{field.bounds[0]}–{field.bounds[1]}"
    if field.choices:
        return " \\| ".join(f"`{word}`" for word in field.choices)
    if field.shape:
        return "list of mappings"
    if field.is_list:
        return "list of texts"
    return "secret" if field.secret else "text"


def _aside(field: Field) -> str:
    """Unit, bounds and words to choose from, in brackets behind the meaning."""
    if field.choices:
        return f" [{' | '.join(field.choices)}]"
    if field.secret:
        return f" [secret; or {field.name}_file]"
    if field.bounds is None:
        return ""
    bounds = f"{field.bounds[0]} to {field.bounds[1]}"
    parts = [part for part in (field.unit, _readable_bytes(field), bounds) if part]
    return f" [{'; '.join(parts)}]"


def _readable_bytes(field: Field) -> str:
    if field.unit == "bytes":
        for name, size in _BINARY_UNITS:
            if field.default >= size and field.default % size == 0:
                return f"{field.default // size} {name}"
    return ""


def _group_meaning(group: str) -> str:
    return inspect.getdoc(type(getattr(Config(), group))) or ""


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


if __name__ == "__main__":
    write_files()
