"""The files of the web page: each one there is, how it is sent, and what a browser may do with it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Final

from alloyd.wire.fixed import FixedFile
from alloyd.wire.route import PUBLIC, Route

INDEX: Final = "index.html"

# Every file of alloyd/ui, one line each; a test holds the list and the folder together.
FILES: Final[Sequence[str]] = (
    INDEX,
    "css/base.css",
    "css/data.css",
    "css/layout.css",
    "css/parts.css",
    "css/teammates.css",
    "css/workflows.css",
    "icons.svg",
    "js/api.js",
    "js/app.js",
    "js/dom.js",
    "js/format.js",
    "js/layout.js",
    "js/live.js",
    "js/pages.js",
    "js/pages/account.js",
    "js/pages/api-keys.js",
    "js/pages/assets.js",
    "js/pages/audit.js",
    "js/pages/connector.js",
    "js/pages/connectors.js",
    "js/pages/credentials.js",
    "js/pages/dead-letters.js",
    "js/pages/end-user.js",
    "js/pages/end-users.js",
    "js/pages/events.js",
    "js/pages/grants.js",
    "js/pages/installations.js",
    "js/pages/integration.js",
    "js/pages/integrations.js",
    "js/pages/job.js",
    "js/pages/jobs.js",
    "js/pages/members.js",
    "js/pages/objects.js",
    "js/pages/overview.js",
    "js/pages/run.js",
    "js/pages/runs.js",
    "js/pages/schedules.js",
    "js/pages/set-up.js",
    "js/pages/sign-in.js",
    "js/pages/storage.js",
    "js/pages/team.js",
    "js/pages/teammate-new.js",
    "js/pages/teammate.js",
    "js/pages/teammates.js",
    "js/pages/teams.js",
    "js/pages/usage.js",
    "js/pages/webhook.js",
    "js/pages/webhooks.js",
    "js/pages/workflow-edit.js",
    "js/pages/workflow.js",
    "js/pages/workflows.js",
    "js/parts/bars.js",
    "js/parts/basics.js",
    "js/parts/budget.js",
    "js/parts/chart.js",
    "js/parts/code.js",
    "js/parts/copy.js",
    "js/parts/credential-form.js",
    "js/parts/credential-list.js",
    "js/parts/definition.js",
    "js/parts/dialog.js",
    "js/parts/diff.js",
    "js/parts/drop.js",
    "js/parts/event-rows.js",
    "js/parts/eventlist.js",
    "js/parts/folders.js",
    "js/parts/form.js",
    "js/parts/gate.js",
    "js/parts/graph-layout.js",
    "js/parts/graph.js",
    "js/parts/installation-list.js",
    "js/parts/lined-editor.js",
    "js/parts/live-rows.js",
    "js/parts/menu.js",
    "js/parts/people.js",
    "js/parts/purges.js",
    "js/parts/releases.js",
    "js/parts/run-actions.js",
    "js/parts/run-list.js",
    "js/parts/run-live.js",
    "js/parts/run-now.js",
    "js/parts/schema-fields.js",
    "js/parts/step-dialog.js",
    "js/parts/step-table.js",
    "js/parts/table.js",
    "js/parts/tabs.js",
    "js/parts/toast.js",
    "js/parts/tokens.js",
    "js/parts/upload.js",
    "js/parts/values.js",
    "js/parts/version-list.js",
    "js/parts/webhook-acts.js",
    "js/parts/workflow-names.js",
    "js/router.js",
    "js/session.js",
    "js/teammates/channel.js",
    "js/teammates/chat.js",
    "js/teammates/examples.js",
    "js/teammates/form.js",
    "js/teammates/log.js",
    "js/teammates/steps.js",
    "js/teammates/tester.js",
    "js/teammates/tools.js",
    "js/teammates/turn.js",
    "js/theme.js",
    "js/themes.js",
    "mark.svg",
)

# A browser that opens the page may load what is here, and talk to this server; nothing else.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}


def _file(name: str) -> FixedFile:
    data = (resources.files("alloyd") / "ui" / name).read_bytes()
    return FixedFile(data, _TYPES[name[name.rindex(".") :]], _HEADERS)


def index_routes() -> list[Route]:
    """`GET /`: the page."""
    return [Route("GET", "/", _file(INDEX).answer, PUBLIC, "The web page", streams="text/html")]


def routes() -> list[Route]:
    """The page's parts, below `/page`: only what is listed."""
    return [
        Route("GET", f"/{name}", _file(name).answer, PUBLIC, "A part of the web page", streams="*/*")
        for name in FILES
        if name != INDEX
    ]
