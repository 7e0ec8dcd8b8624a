"""`alloyd teammate`: AI teammates, and talking to them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from alloyd.cli.client import Client, segment
from alloyd.cli.errors import refused
from alloyd.cli.live.run import read_input
from alloyd.cli.offline import live
from alloyd.cli.options import Group, json_option, org_option
from alloyd.cli.output import (
    clean,
    confirm,
    format_time,
    hint,
    print_fields,
    print_json,
    print_table,
    say,
    say_raw,
)
from alloyd.errors import Code
from alloyd.kit.ids import is_uuid

F = TypeVar("F", bound=Callable[..., Any])

STEM: Final = "/v1/teammates"
PATIENCE_S: Final = 3600.0  # the most that teammates.reply_wait_s can be
TEXT_BYTES_MAX: Final = 4 * 1024 * 1024
_ID: Final = "0197c2a0-5b1e-7c3a-9d2e-6f1f0a4b8c11"
_CHANNELS: Final = ("none", "webchat", "api")

group = Group("teammate", help="AI teammates.", example="alloyd teammate message Ada 'How many orders came in today?'")

_teammate = click.argument("teammate")


def _settings(command: F) -> F:
    """The options of what a teammate is made of."""
    for option in reversed(
        (
            click.option("--role", help="What it is, in a line."),
            click.option("--instructions", help="What it is told before every message; @FILE or - reads them."),
            click.option("--provider", help="Who answers; else the gateway chooses. Empty takes it away."),
            click.option("--model", help="Which model; empty takes it away."),
            click.option("--tier", help="The cheapest model of this tier; empty takes it away."),
            click.option("--temperature", type=click.FloatRange(0, 2), help="How freely it answers."),
            click.option(
                "--tool",
                "tools",
                multiple=True,
                metavar="TOOL",
                help="workflow:NAME, or connector:NAME/ACTION[@CREDENTIAL]; may be repeated, and replaces all.",
            ),
            click.option("--read", multiple=True, metavar="FOLDER", help="It may read there; may be repeated."),
            click.option("--write", multiple=True, metavar="FOLDER", help="It may write there; may be repeated."),
            click.option("--channel", type=click.Choice(_CHANNELS), help="Where others may talk to it from."),
            click.option("--max-turns", type=click.IntRange(1, 50), help="Turns of the model for one message."),
        )
    ):
        command = option(command)
    return command


@group.command(
    "create", example="alloyd teammate create Ada --role Bookkeeper --tool workflow:order-sync --read /invoices"
)
@click.argument("name")
@_settings
@org_option
@json_option
@live()
async def create_teammate(client: Client, name: str, as_json: bool, **given: Any) -> None:
    """Make a teammate, with the workflow that answers."""
    _tell(await client.post(STEM, {"name": name, **_body(given)}), as_json)


@group.command("list", example="alloyd teammate list --org acme")
@org_option
@json_option
@live()
async def list_teammates(client: Client, as_json: bool) -> None:
    """List teammates, newest first."""
    found = await client.list_pages(STEM)
    if as_json:
        print_json(found)
        return
    rows = [
        (one["id"], one["name"], one["role"], one["channel"], _answers(one), len(one["tools"]), one["max_turns"])
        for one in found
    ]
    print_table(("ID", "NAME", "ROLE", "CHANNEL", "MODEL", "TOOLS", "TURNS"), rows)


@group.command("show", example="alloyd teammate show Ada")
@_teammate
@org_option
@json_option
@live()
async def show_teammate(client: Client, teammate: str, as_json: bool) -> None:
    """Show one teammate, by name or id."""
    found = await client.get(await _path_of(client, teammate))
    if as_json:
        print_json(found)
        return
    shown = {name: found[name] for name in found if name not in ("tools", "storage")}
    shown |= {"tools": ", ".join(_tool_text(tool) for tool in found["tools"])}
    print_fields({**shown, **{f"may {word}": ", ".join(found["storage"][word]) for word in ("read", "write")}})


@group.command("update", example="alloyd teammate update Ada --channel api --tool workflow:order-sync")
@_teammate
@click.option("--name", help="Another name.")
@_settings
@click.option("--no-tools", is_flag=True, help="Take all tools away.")
@click.option("--no-folders", is_flag=True, help="Take all folders away.")
@org_option
@json_option
@live()
async def update_teammate(
    client: Client, teammate: str, no_tools: bool, no_folders: bool, as_json: bool, **given: Any
) -> None:
    """Change a teammate; what is not named stays. Tools and folders are replaced whole."""
    if (no_tools and given["tools"]) or (no_folders and (given["read"] or given["write"])):
        raise click.UsageError("tools and folders: either name them or take them away")
    body = _body(given)
    if given["name"] is not None:
        body["name"] = given["name"]
    if no_tools:
        body["tools"] = []
    if no_folders:
        body["storage"] = {}
    if not body:
        raise click.UsageError("nothing to change: name at least one option")
    _tell(await client.patch(await _path_of(client, teammate), body), as_json)


@group.command("delete", example="alloyd teammate delete Ada --yes")
@_teammate
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def delete_teammate(client: Client, teammate: str, yes: bool, as_json: bool) -> None:
    """Delete a teammate, its conversations, its workflow and its keys."""
    confirm(f"Delete the teammate {teammate}, with its conversations?", yes=yes)
    gone = await client.delete(await _path_of(client, teammate))
    if as_json:
        print_json(gone)
    else:
        say(f"{teammate} is deleted")


@group.command("message", example="alloyd teammate message Ada 'How many orders came in today?'")
@_teammate
@click.argument("text")
@click.option("--conversation", metavar="ID", help="Go on with this conversation; else a new one begins.")
@click.option("--context", metavar="JSON", help="JSON that it is shown beside the text; @FILE or - reads it.")
@org_option
@json_option
@live(works=lambda _options: True)
async def message_teammate(
    client: Client, teammate: str, text: str, conversation: str | None, context: str | None, as_json: bool
) -> None:
    """Say something to a teammate; TEXT may be @FILE, or - for stdin. The reply comes as it is written."""
    body: dict[str, Any] = {"message": _read_text(text, "TEXT"), "conversation_id": conversation}
    if context is not None:
        body["context"] = msgspec.Raw(read_input(context, "--context"))
    path = f"{await _path_of(client, teammate)}/messages"
    if as_json:
        print_json(await client.post(path, body, patience_s=PATIENCE_S))
        return
    async with client.pieces(path, body, patience_s=PATIENCE_S) as (headers, pieces):
        async for name, told in pieces:
            if name == "delta":
                say_raw(_lines(told["text"]))
            elif name == "error":
                say()
                raise refused(Code(told["code"]), told["message"])
    say()
    hint(f"conversation {headers.get('X-Alloyd-Conversation-Id')}; --conversation goes on with it")


@group.command("conversations", example="alloyd teammate conversations Ada")
@_teammate
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many at most.")
@org_option
@json_option
@live()
async def list_conversations(client: Client, teammate: str, limit: int, as_json: bool) -> None:
    """List a teammate's conversations, newest first."""
    found = await client.list_pages(f"{await _path_of(client, teammate)}/conversations", None, limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["id"],
            one["messages_count"],
            one["created_by"],
            format_time(one["created_at"]),
            format_time(one["updated_at"]),
        )
        for one in found
    ]
    print_table(("ID", "MESSAGES", "BEGUN BY", "CREATED", "LAST USED"), rows)


@group.command("conversation", example=f"alloyd teammate conversation Ada {_ID}")
@_teammate
@click.argument("conversation")
@click.option(
    "--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="The newest so many messages."
)
@org_option
@json_option
@live()
async def show_conversation(client: Client, teammate: str, conversation: str, limit: int, as_json: bool) -> None:
    """Show the newest messages of a conversation, in the order in which they were said."""
    path = f"{await _path_of(client, teammate)}/conversations/{segment(conversation)}"
    found = await client.get(path, {"limit": limit})
    if as_json:
        print_json(found)
        return
    for message in reversed(found["messages"]):
        say_raw(f"{message['role']}: {_lines(message['text'])}\n")


@group.command("forget", example=f"alloyd teammate forget Ada {_ID} --yes")
@_teammate
@click.argument("conversation")
@click.option("--yes", is_flag=True, help="Do not ask.")
@org_option
@json_option
@live()
async def forget_conversation(client: Client, teammate: str, conversation: str, yes: bool, as_json: bool) -> None:
    """Forget a conversation for good."""
    confirm(f"Forget the conversation {conversation}?", yes=yes)
    gone = await client.delete(f"{await _path_of(client, teammate)}/conversations/{segment(conversation)}")
    if as_json:
        print_json(gone)
    else:
        say(f"{conversation} is forgotten")


async def find_teammate_id(client: Client, named: str) -> str:
    """The id of the teammate of that name or id. Raises Refused when there is none of that name."""
    if is_uuid(named):
        return named
    for one in await client.list_pages(STEM):
        if one["name"] == named:
            return str(one["id"])
    raise refused(Code.NOT_FOUND, f"there is no teammate {named!r} in this organization")


async def _path_of(client: Client, named: str) -> str:
    return f"{STEM}/{segment(await find_teammate_id(client, named))}"


def _body(given: dict[str, Any]) -> dict[str, Any]:
    """The members of a request for the options that were given; an empty text takes a choice away."""
    body = {name: given[name] for name in ("role", "channel", "temperature", "max_turns") if given[name] is not None}
    body |= {name: given[name] or None for name in ("provider", "model", "tier") if given[name] is not None}
    if given["instructions"] is not None:
        body["instructions"] = _read_text(given["instructions"], "--instructions")
    if given["tools"]:
        body["tools"] = [_tool(text) for text in given["tools"]]
    if given["read"] or given["write"]:
        body["storage"] = {"read": list(given["read"]), "write": list(given["write"])}
    return body


def _tool(text: str) -> dict[str, Any]:
    kind, _, named = text.partition(":")
    if kind == "workflow" and named:
        return {"type": "workflow", "workflow": named}
    connector, slash, action = named.partition("/")
    if kind != "connector" or not (connector and slash and action):
        raise click.BadParameter(
            f"{text!r}: workflow:NAME or connector:NAME/ACTION[@CREDENTIAL] is wanted", param_hint="--tool"
        )
    action, at, credential = action.partition("@")
    return {"type": "connector", "connector": connector, "action": action} | ({"credential": credential} if at else {})


def _tool_text(tool: dict[str, Any]) -> str:
    if tool["type"] == "workflow":
        return f"workflow:{tool['workflow']}"
    at = "" if tool["credential"] is None else f"@{tool['credential']}"
    return f"connector:{tool['connector']}/{tool['action']}{at}"


def _read_text(given: str, option: str) -> str:
    """``given``, or the file that ``@file`` names, or stdin for ``-``."""
    if given != "-" and not given.startswith("@"):
        return given
    try:
        if given == "-":
            content = sys.stdin.buffer.read(TEXT_BYTES_MAX + 1)
        else:
            with Path(given[1:]).open("rb") as file:
                content = file.read(TEXT_BYTES_MAX + 1)
        if len(content) > TEXT_BYTES_MAX:
            raise click.BadParameter(f"larger than {TEXT_BYTES_MAX} bytes", param_hint=option)
        return content.decode()
    except (OSError, UnicodeError) as error:
        raise click.BadParameter(f"cannot be read: {error}", param_hint=option) from None


def _lines(text: str) -> str:
    """``text`` with its lines, and nothing in it that steers a terminal."""
    return "\n".join(clean(part) for part in text.split("\n"))


def _answers(teammate: dict[str, Any]) -> str:
    chosen = [teammate[name] for name in ("provider", "model") if teammate[name]]
    return "/".join(chosen) or teammate["tier"] or "any"


def _tell(teammate: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(teammate)
    else:
        say(f"{teammate['id']} ({teammate['name']}): channel {teammate['channel']}, {_answers(teammate)} answers")
