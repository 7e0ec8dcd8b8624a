"""Which gRPC method is which route of the control plane. A route that is in no service is named in LEFT_OUT."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import msgspec

PAGES: Final = "items"  # the field that holds a list's page
BODY: Final = "body"  # the field of a request that is any JSON object


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its name, and the route it is."""

    name: str
    verb: str
    path: str


class Event(msgspec.Struct, kw_only=True):
    """Something that happened, as every stream tells it."""

    id: str
    kind: str
    organization_id: str
    subject: str
    payload: dict[str, Any]
    timestamp: str
    run_id: str | None = None
    job_id: str | None = None
    workflow_id: str | None = None
    node_key: str | None = None


class ProviderChunk(msgspec.Struct, kw_only=True):
    """A part of a streamed answer: `kind` is delta with `text`, any other with its `data`, and last done."""

    kind: str
    text: str | None = None
    data: Any = None


def _methods(*lines: str) -> tuple[Method, ...]:
    return tuple(Method(*line.split()) for line in lines)


SERVICES: Final[Mapping[str, tuple[Method, ...]]] = MappingProxyType(
    {
        "IdentityService": _methods(
            "IssueToken POST /auth/token",
            "RevokeToken POST /auth/revoke",
            "ChangePassword PATCH /me/password",
            "GetMe GET /me",
            "ListMyOrganizations GET /me/organizations",
            "ListMyTeams GET /me/teams",
            "ListMyPermissions GET /me/permissions",
            "GetOverview GET /overview",
        ),
        "OrganizationsService": _methods(
            "CreateOrganization POST /organizations",
            "GetOrganization GET /organizations/{id}",
            "UpdateOrganization PATCH /organizations/{id}",
            "ListMembers GET /organizations/{id}/members",
            "UpdateMember PATCH /organizations/{id}/members/{user_id}",
            "RemoveMember DELETE /organizations/{id}/members/{user_id}",
            "ListOrganizationTeams GET /organizations/{id}/teams",
            "CreateTeam POST /teams",
            "GetTeam GET /teams/{id}",
            "UpdateTeam PATCH /teams/{id}",
            "DeleteTeam DELETE /teams/{id}",
            "ListTeamMembers GET /teams/{id}/members",
            "AddTeamMember POST /teams/{id}/members",
            "SetTeamMember PUT /teams/{id}/members/{user_id}",
            "RemoveTeamMember DELETE /teams/{id}/members/{user_id}",
            "CreateInvitation POST /invitations",
            "ListInvitations GET /invitations",
            "ListOrganizationInvitations GET /organizations/{id}/invitations",
            "GetInvitation GET /invitations/{id}",
            "AcceptInvitation POST /invitations/{id}/accept",
            "RevokeInvitation POST /invitations/{id}/revoke",
        ),
        "AuthzService": _methods(
            "Check POST /authz/check",
            "CheckBatch POST /authz/check-batch",
            "CreateGrant POST /grants",
            "ListGrants GET /grants",
            "GetGrant GET /grants/{id}",
            "DeleteGrant DELETE /grants/{id}",
        ),
        "ApiKeysService": _methods(
            "CreateApiKey POST /api-keys",
            "ListApiKeys GET /api-keys",
            "GetApiKey GET /api-keys/{id}",
            "RevokeApiKey DELETE /api-keys/{id}",
            "DisableApiKey POST /api-keys/{id}/disable",
            "RotateApiKey POST /api-keys/{id}/rotate",
        ),
        "WorkflowsService": _methods(
            "SaveWorkflowDefinition POST /workflow-definitions",
            "CheckWorkflowDefinition POST /workflow-definitions/check",
            "ListWorkflowDefinitions GET /workflow-definitions",
            "ReadWorkflowDefinition POST /workflow-definitions/read",
            "GetWorkflowDefinition GET /workflow-definitions/{id}",
            "ListWorkflowVersions GET /workflow-definitions/{id}/versions",
            "GetWorkflowGraph GET /workflow-definitions/{id}/graph",
            "GetWorkflowText GET /workflow-definitions/{id}/text",
            "DeleteWorkflowDefinition DELETE /workflow-definitions/{id}",
            "ReleaseWorkflow POST /workflow-definitions/{id}/releases",
            "ListReleases GET /workflow-definitions/{id}/releases",
            "CreateWorkflowRun POST /workflow-runs",
            "ListWorkflowRuns GET /workflow-runs",
            "GetWorkflowRun GET /workflow-runs/{id}",
            "GetWorkflowRunGraph GET /workflow-runs/{id}/graph",
            "GetWorkflowRunStep GET /workflow-runs/{id}/steps/{key}",
            "StartWorkflowRun POST /workflow-runs/{id}/start",
            "CancelWorkflowRun POST /workflow-runs/{id}/cancel",
            "RetryWorkflowRun POST /workflow-runs/{id}/retry",
            "SignalWorkflowRun POST /workflow-runs/{id}/signal",
            "WatchWorkflowRun GET /workflow-runs/{id}/events",
            "ListDeadLetters GET /dead-letters",
            "RequeueDeadLetter POST /dead-letters/{id}/requeue",
            "DiscardDeadLetter POST /dead-letters/{id}/discard",
            "ListOperations GET /operations",
            "CreateSchedule POST /schedules",
            "ListSchedules GET /schedules",
            "GetSchedule GET /schedules/{id}",
            "UpdateSchedule PATCH /schedules/{id}",
            "DeleteSchedule DELETE /schedules/{id}",
            "ListNextFires GET /schedules/{id}/next",
            "PauseSchedule POST /schedules/{id}/pause",
            "ResumeSchedule POST /schedules/{id}/resume",
            "RunSchedule POST /schedules/{id}/run",
        ),
        "WebhooksService": _methods(
            "CreateWebhook POST /webhooks",
            "ListWebhooks GET /webhooks",
            "GetWebhook GET /webhooks/{id}",
            "UpdateWebhook PATCH /webhooks/{id}",
            "DeleteWebhook DELETE /webhooks/{id}",
            "RotateWebhookSecret POST /webhooks/{id}/rotate-secret",
            "TestWebhook POST /webhooks/{id}/test",
            "ListDeliveries GET /webhooks/{id}/deliveries",
            "GetDelivery GET /webhook-deliveries/{id}",
            "Redeliver POST /webhook-deliveries/{id}/redeliver",
        ),
        "IntegrationsService": _methods(
            "CreateEndUser POST /end-users",
            "ListEndUsers GET /end-users",
            "GetEndUser GET /end-users/{id}",
            "UpdateEndUser PATCH /end-users/{id}",
            "DeleteEndUser DELETE /end-users/{id}",
            "ListEndUserPurges GET /end-user-purges",
            "CreateIntegration POST /integrations",
            "ListIntegrations GET /integrations",
            "GetIntegration GET /integrations/{id}",
            "UpdateIntegration PATCH /integrations/{id}",
            "DeleteIntegration DELETE /integrations/{id}",
            "ListIntegrationWorkflows GET /integrations/{id}/workflows",
            "AddIntegrationWorkflow POST /integrations/{id}/workflows",
            "RemoveIntegrationWorkflow DELETE /integrations/{id}/workflows/{workflow_id}",
            "CreateInstallation POST /installations",
            "ListInstallations GET /installations",
            "GetInstallation GET /installations/{id}",
            "UpdateInstallation PATCH /installations/{id}",
            "DeleteInstallation DELETE /installations/{id}",
            "SaveConnector POST /connectors",
            "ListConnectors GET /connectors",
            "GetConnector GET /connectors/{id}",
            "DeleteConnector DELETE /connectors/{id}",
            "CreateCredential POST /credentials",
            "ListCredentials GET /credentials",
            "GetCredential GET /credentials/{id}",
            "UpdateCredential PATCH /credentials/{id}",
            "DeleteCredential DELETE /credentials/{id}",
            "StartOauth POST /credentials/oauth/start",
            "ListOauthClients GET /credentials/oauth/clients",
            "DeleteOauthClient DELETE /credentials/oauth/clients/{connector}",
        ),
        "TeammatesService": _methods(
            "CreateTeammate POST /teammates",
            "ListTeammates GET /teammates",
            "GetTeammate GET /teammates/{id}",
            "UpdateTeammate PATCH /teammates/{id}",
            "DeleteTeammate DELETE /teammates/{id}",
            "MessageTeammate POST /teammates/{id}/messages",
            "ListConversations GET /teammates/{id}/conversations",
            "GetConversation GET /teammates/{id}/conversations/{conversation_id}",
            "DeleteConversation DELETE /teammates/{id}/conversations/{conversation_id}",
        ),
        "JobsService": _methods(
            "CreateJob POST /jobs",
            "ListJobs GET /jobs",
            "GetJob GET /jobs/{id}",
            "GetJobUsage GET /jobs/{id}/usage",
            "CancelJob POST /jobs/{id}/cancel",
            "WatchJob GET /jobs/{id}/events",
        ),
        "ProvidersService": _methods(
            "ListProviders GET /providers",
            "Execute POST /providers/execute",
            "ExecuteStream POST /providers/execute/stream",
            "Estimate POST /providers/estimate",
        ),
        "UsageService": _methods(
            "GetUsage GET /organizations/{id}/usage",
            "ListUsageRecords GET /organizations/{id}/usage/records",
            "GetBudget GET /organizations/{id}/budget",
            "SetBudget PUT /organizations/{id}/budget",
            "RemoveBudget DELETE /organizations/{id}/budget",
        ),
        "AuditService": _methods(
            "ListOrganizationAuditLogs GET /organizations/{id}/audit-logs",
            "ListAuditLogs GET /audit-logs",
        ),
        "AssetsService": _methods(
            "ListAssets GET /assets",
            "DeleteAsset DELETE /assets/{id}",
        ),
        "ObjectsService": _methods(
            "ListObjects GET /objects",
            "GetStorageUsage GET /storage-usage",
        ),
        "EventsService": _methods(
            "StreamEvents GET /events/stream",
        ),
    }
)

# Methods that answer with a stream, and of what.
STREAMS: Final[Mapping[str, type]] = MappingProxyType(
    {
        "WatchWorkflowRun": Event,
        "WatchJob": Event,
        "StreamEvents": Event,
        "ExecuteStream": ProviderChunk,
    }
)

# Routes that gRPC does not have, and why.
LEFT_OUT: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("POST", "/auth/stream-ticket"): "a browser's way to open a stream",
        ("GET", "/events/ws"): "StreamEvents is gRPC's own",
        ("POST", "/assets"): "bytes of any size go over HTTP",
        ("GET", "/assets/{id}"): "bytes of any size go over HTTP",
        ("GET", "/objects/{id}/content"): "bytes of any size go over HTTP",
        ("DELETE", "/dead-letters/{id}"): "the same as DiscardDeadLetter",
        ("GET", "/organizations/{id}/usage/records.csv"): "a text for spreadsheets; ListUsageRecords has the same",
        ("GET", "/credentials/oauth/callback"): "a browser comes back to it",
        ("POST", "/hooks/{workflow_id}"): "other systems' own way to call, signed over their bytes",
    }
)

_PARAMETER = re.compile(r"\{(\w+)(?::[^}]*)?\}")


def path_parameters(path: str) -> list[str]:
    """The names in braces, in order."""
    return _PARAMETER.findall(path)
