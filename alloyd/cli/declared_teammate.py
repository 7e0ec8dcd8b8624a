"""`kind: Teammate`: what a document says of one, checked before anything is changed."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from alloyd.cli.documents import Document
from alloyd.cli.errors import refused
from alloyd.domain.teammates.model import NewTeammate, check_new
from alloyd.errors import AlloydError, Code
from alloyd.kit.ids import is_uuid

FIELDS: Final = frozenset(NewTeammate.__struct_fields__)
_AT: Final = re.compile(r" - at `\$\.?(.*)`\Z")


def read_teammate(document: Document) -> dict[str, Any]:
    """All members of the declared teammate, as the daemon shows them. Raises Refused with file, line and field."""
    value = {name: given for name, given in document.value.items() if name != "kind"}
    try:
        wanted = check_new(msgspec.convert(value, NewTeammate))
    except msgspec.ValidationError as error:
        found = _AT.search(str(error))
        path, told = ("", str(error)) if found is None else (found[1], str(error)[: found.start()])
        raise refused(Code.BAD_REQUEST, f"{document.place(path)}: {path or 'a teammate'}: {told}") from None
    except AlloydError as error:
        raise refused(error.code, f"{document.place(error.field or '')}: {error.message}") from None
    shown: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(wanted))
    return shown


def workflows_of(tools: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    """The workflows that ``tools`` name, each behind the place where it is named."""
    named = [(f"tools[{at}].workflow", tool["workflow"]) for at, tool in enumerate(tools) if "workflow" in tool]
    return tuple((place, name) for place, name in named if not is_uuid(name))
