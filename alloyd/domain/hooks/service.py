"""Use cases of incoming webhooks: check a signature, start the workflow once for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from alloyd.domain.hooks.model import VerifiedHook
from alloyd.domain.idempotency.model import Once
from alloyd.domain.orgs.service import OrgService
from alloyd.domain.runs.model import Started, StartRun
from alloyd.domain.runs.service import RunService
from alloyd.domain.workflows.service import WorkflowService
from alloyd.errors import AlloydError, Code, not_found
from alloyd.kit.clock import Clock
from alloyd.kit.signatures import BadSignatureError, verify
from alloyd.principal import system_principal

TRIGGER_KIND = "webhook"
_WHAT = "webhook"
# All that is asked is in the key, so nothing can be asked differently under it.
_DIGEST = "webhook"


class HookService:
    """The only door for incoming webhooks. Their signature is their credential."""

    def __init__(self, orgs: OrgService, workflows: WorkflowService, runs: RunService, clock: Clock) -> None:
        self._orgs = orgs
        self._workflows = workflows
        self._runs = runs
        self._clock = clock

    async def verify(self, workflow_id: str, headers: Mapping[str, str], body: bytes) -> VerifiedHook:
        """Check a request before anything of it is read; ``headers`` by lower-case names, ``body`` as it came.

        Raises ``not_found`` with the same words for an unknown workflow, one that is not published and one without a
        webhook trigger; ``unauthorized`` with the same words for whatever is wrong with the signature.
        """
        hook = await self._workflows.find_hook(workflow_id)
        if hook is None or (await self._orgs.get(hook.org_id)).archived:
            raise not_found(_WHAT)
        trigger = hook.trigger
        try:
            signed = verify(trigger.scheme, trigger.secret, headers, body, self._clock.now_ms(), trigger.tolerance_s)
        except BadSignatureError:
            raise AlloydError(Code.UNAUTHORIZED, "a valid signature is needed") from None
        return VerifiedHook(hook.org_id, workflow_id, trigger.scheme, signed)

    async def start(self, hook: VerifiedHook, payload: bytes) -> Started:
        """Start the workflow; durable when this returns.

        The same signature, or the same delivery, again gives the first run: for as long as idempotency keys are
        remembered, also after a crash. Raises ``rate_limited`` and ``unavailable`` as every start does. Emits
        ``workflow.run.queued``.
        """
        names = [f"s:{hook.signed.signature}"]
        if hook.signed.delivery_id:
            # A delivery is signed anew when it is sent again. Its name is not looked at before the signature, which
            # nobody can choose: who repeats a request under another name gets the first run all the same.
            names.append(f"d:{hashlib.sha256(hook.signed.delivery_id.encode()).hexdigest()}")
        once = Once(f"hooks {hook.workflow_id}", names[0], _DIGEST, tuple(names[1:]))
        command = StartRun(hook.workflow_id, payload, TRIGGER_KIND)
        return await self._runs.start(system_principal(hook.org_id), command, once)
