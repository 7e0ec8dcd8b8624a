"""`alloyd docs`: the documents that come with the program."""

from __future__ import annotations

from importlib import resources

import click

from alloyd.cli.options import Command
from alloyd.cli.output import print_table, say_raw

# Topic, its file in alloyd/docs, and what it is about.
TOPICS: dict[str, tuple[str, str]] = {
    "api-reference": ("api-reference.md", "the API in the browser, at /docs, and trying it there"),
    "audit": ("audit.md", "the audit trail, and how its chain is checked"),
    "authorization": ("authorization.md", "roles, teams, invitations, grants, and what each action needs"),
    "cli": ("cli.md", "every command with its options"),
    "config": ("config.md", "every setting with its default"),
    "grpc": ("grpc.md", "the control plane over gRPC"),
    "identity": ("identity.md", "users, signing in, tokens, members"),
    "keys": ("keys.md", "API keys"),
    "web-page": ("web-page.md", "the page in the browser: first user, sessions, how it is built"),
    "running": ("operations.md", "running the daemon: signals, health, backups, upgrades"),
    "streams": ("streams.md", "live events over SSE and WebSocket"),
    "workflows": ("workflows.md", "definitions, waiting, loops, modes, retries"),
    "expressions": ("expressions.md", "the language inside {{ }}"),
    "triggers": ("triggers.md", "what starts a workflow: events, files, schedules"),
    "operations": ("operations-catalogue.md", "what the steps of a workflow can do"),
    "jobs": ("jobs.md", "jobs: AI calls in the background, and their events"),
    "usage": ("usage.md", "usage, budgets and assets"),
    "providers": ("providers.md", "AI providers: configuration, routing, streams and money"),
    "openai": ("openai.md", "OpenAI's clients: chat, embeddings, models, and teammates as models"),
    "channel": ("channel.md", "talking to an AI teammate from other systems"),
    "teammates": ("teammates.md", "AI teammates: managing them, and talking to them"),
    "embedded": ("embedded.md", "end users, integrations, releases and installations"),
    "connectors": ("connectors.md", "connectors, credentials, OAuth 2 and the key that seals"),
    "webhooks": ("webhooks.md", "webhooks out and in, their signatures, and e-mail"),
}


@click.command("docs", cls=Command, example="alloyd docs config | less")
@click.argument("topic", required=False, type=click.Choice(list(TOPICS)))
def command(topic: str | None) -> None:
    """Print the document on TOPIC; without one, list the topics."""
    if topic is None:
        print_table(("TOPIC", "ABOUT"), [(name, about) for name, (_file, about) in TOPICS.items()])
        return
    say_raw((resources.files("alloyd") / "docs" / TOPICS[topic][0]).read_text(encoding="utf-8"))
