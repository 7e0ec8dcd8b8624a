"""What the control contract's resources are called in the API reference, by the first segment of their paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from alloyd.wire.surface import Heading

_CONTROL: Final = "Paths under /v1"

HEADINGS: Final[Mapping[str, Heading]] = {
    segment: Heading(name, about)
    for segment, name, about in (
        ("overview", "Overview", "How runs go, in figures"),
        ("me", "Me", "Who the credential is, and what it may do"),
        ("auth", "Signing in", "Users' tokens, and tickets for streams in browsers"),
        ("organizations", "Organizations", "Tenants, with their members, budgets, usage and audit trail"),
        ("teams", "Teams", "Groups of an organization's users"),
        ("invitations", "Invitations", "How users come into an organization"),
        ("grants", "Grants", "Exceptions from what a role may do"),
        ("authz", "Authorization checks", "Whether somebody may do something"),
        ("audit-logs", "Audit of the installation", "For its administrators"),
        ("api-keys", "API keys", "Credentials of programs; shown once"),
        ("workflow-definitions", "Workflow definitions", "Graphs of steps, their versions and releases"),
        ("workflow-runs", "Workflow runs", "Start, watch, cancel, retry and signal runs"),
        ("dead-letters", "Dead letters", "What failed for good, to be sent again or discarded"),
        ("operations", "Operations", "What steps can do, and the schemas of their settings"),
        ("schedules", "Schedules", "Workflows that run by the clock"),
        ("hooks", "Hooks", "Signed webhooks of others that start workflows"),
        ("webhooks", "Webhooks", "Events told to other servers"),
        ("webhook-deliveries", "Webhook deliveries", "What was sent, and how it was taken"),
        ("providers", "AI providers", "The gateway to models"),
        ("jobs", "Jobs", "AI calls and workflows that are asked for now and answered later"),
        ("assets", "Assets", "Files that jobs take and make"),
        ("objects", "Objects", "The files of runs"),
        ("storage-usage", "Storage usage", "What files of storage and of runs take"),
        ("teammates", "Teammates", "AI teammates and their conversations"),
        ("connectors", "Connectors", "Other services' APIs, described once"),
        ("credentials", "Credentials", "Sealed secrets of connectors"),
        ("end-users", "End users", "The people of an organization's own product"),
        ("integrations", "Integrations", "Workflows that end users can install"),
        ("installations", "Installations", "Integrations as end users have them"),
        ("events", "Events", "Everything that happens, live: streams are told as they go on, so not by 'Try it out'"),
    )
}


def heading_of(path: str) -> Heading:
    """The heading of a path below ``/v1``; made of its first segment if the list lacks it."""
    segment = path.lstrip("/").partition("/")[0]
    known = HEADINGS.get(segment)
    name = known.name if known else segment.replace("-", " ").capitalize()
    return Heading(name, f"{known.about}. {_CONTROL}/{segment}" if known else f"{_CONTROL}/{segment}")
