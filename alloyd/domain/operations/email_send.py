"""``email.send``: hands a message to the operator's SMTP server."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from alloyd.domain.operations.email_addresses import AddressError, Mailbox, parse_mailbox
from alloyd.domain.operations.faults import service_faults
from alloyd.domain.operations.model import Config, Done, Fault, Operation, OperationError, StepContext
from alloyd.domain.operations.validation import is_template
from alloyd.egress.smtp import Mailer, MailError, SmtpSettings

SUBJECT_CHARS_MAX = 998  # RFC 5322: the most that a line may have
ATTACHMENTS_MAX = 50
_LISTED_MAX = 10_000  # of a field; email.recipients_max bounds all of them together

Addressees = str | list[str]


class EmailConfig(Config, frozen=True):
    """The message."""

    to: Annotated[Addressees, Meta(description="An address, `Name <address>`, or a list of them.")]
    subject: Annotated[str, Meta(description="One line.", max_length=SUBJECT_CHARS_MAX)]
    text: Annotated[str | UnsetType, Meta(description="The message as plain text.")] = UNSET
    html: Annotated[str | UnsetType, Meta(description="The message as HTML; beside `text` the other form of it.")] = (
        UNSET
    )
    cc: Annotated[Addressees, Meta(description="Who gets a copy.")] = msgspec.field(default_factory=list)
    bcc: Annotated[Addressees, Meta(description="Who gets a copy unseen by the others.")] = msgspec.field(
        default_factory=list
    )
    reply_to: Annotated[Addressees, Meta(description="Where answers go.")] = msgspec.field(default_factory=list)
    from_: Annotated[
        str | UnsetType, Meta(description="The sender, where the operator allows it; `email.from_address` otherwise.")
    ] = msgspec.field(name="from", default=UNSET)
    attachments: Annotated[
        list[str], Meta(description="Storage paths of files that go with it.", max_length=ATTACHMENTS_MAX)
    ] = msgspec.field(default_factory=list)


async def execute(ctx: StepContext, config: EmailConfig) -> Done:
    """``{message_id, accepted, refused}``: ``refused`` lists who the server did not take, with what it said.

    To repeat: the ``Message-ID`` is made from the step, the same at every attempt and after a restart, so that servers
    and mail programs know a second copy; when it was handed over and not recorded it is handed over again.

    Fails with ``email_failed`` when nobody is taken: retryable for a 4xx, a lost or refused connection and a timeout,
    not for a 5xx and without an SMTP server (``email.host``); with ``bad_config`` for what is no address, header or
    sender; with ``too_large``, and what storage says of an attachment.
    """
    mailer = ctx.services.mailer
    assert mailer is not None  # app gives it
    settings = mailer.settings
    if settings.host is None:
        raise OperationError("email_failed", "there is no SMTP server: an operator sets email.host")
    sender = _sender(config, settings)
    fields = {name: _mailboxes(getattr(config, name), name) for name in ("to", "cc", "bcc", "reply_to")}
    recipients = list(dict.fromkeys(one.bare for name in ("to", "cc", "bcc") for one in fields[name]))
    if not fields["to"]:
        raise OperationError("bad_config", "to: at least one address is wanted", path="to")
    if len(recipients) > settings.recipients_max:
        raise OperationError("bad_config", f"to: at most {settings.recipients_max} recipients", path="to")
    message = _message(ctx, config, sender, fields)
    await _attach(ctx, message, config.attachments, settings.message_bytes_max)
    if len(message.as_bytes(policy=policy.SMTP)) > settings.message_bytes_max:
        raise OperationError("too_large", f"the message is larger than {settings.message_bytes_max} bytes")
    return Done(await _send(mailer, sender, recipients, message))


async def _send(mailer: Mailer, sender: Mailbox, recipients: list[str], message: EmailMessage) -> dict[str, Any]:
    try:
        receipt = await mailer.send(sender.bare, recipients, message)
    except MailError as error:
        details = None if error.status is None else {"status": error.status}
        raise OperationError("email_failed", error.message, retryable=error.retryable, details=details) from error
    return {
        "message_id": str(message["Message-ID"]),  # the library's own kind of text is no JSON
        "accepted": list(receipt.accepted),
        "refused": [{"address": one.address, "status": one.status, "message": one.message} for one in receipt.refused],
    }


def _sender(config: EmailConfig, settings: SmtpSettings) -> Mailbox:
    given = settings.from_address
    if not isinstance(config.from_, UnsetType):
        if settings.from_fixed and config.from_ != given:
            raise OperationError("bad_config", "from: the operator fixed the sender (email.from_fixed)", path="from")
        given = config.from_
    if given is None:
        raise OperationError("bad_config", "from: is required: no email.from_address is configured", path="from")
    (sender,) = _mailboxes(given, "from")
    return sender


def _mailboxes(given: Addressees, field: str) -> list[Mailbox]:
    found = []
    for index, text in enumerate([given] if isinstance(given, str) else given[:_LISTED_MAX]):
        place = field if isinstance(given, str) else f"{field}[{index}]"
        try:
            found.append(parse_mailbox(text))
        except AddressError as error:
            raise OperationError("bad_config", f"{place}: {error}", path=place) from None
    return found


def _message(
    ctx: StepContext, config: EmailConfig, sender: Mailbox, fields: Mapping[str, Sequence[Mailbox]]
) -> EmailMessage:
    if any(char in config.subject for char in "\r\n\0"):
        raise OperationError("bad_config", "subject: has a line break", path="subject")
    message = EmailMessage(policy=policy.SMTP)
    message["From"] = sender.to_header()
    for field, header in (("to", "To"), ("cc", "Cc"), ("reply_to", "Reply-To")):
        if fields[field]:
            message[header] = [one.to_header() for one in fields[field]]
    message["Subject"] = config.subject
    message["Date"] = datetime.fromtimestamp(ctx.services.clock.now_ms() / 1000, UTC)
    name = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:40]
    message["Message-ID"] = f"<{name}@{sender.bare.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday answers to it
    if not isinstance(config.text, UnsetType):
        message.set_content(config.text)
        if not isinstance(config.html, UnsetType):
            message.add_alternative(config.html, subtype="html")
    elif not isinstance(config.html, UnsetType):
        message.set_content(config.html, subtype="html")
    return message


async def _attach(ctx: StepContext, message: EmailMessage, paths: Sequence[str], bytes_max: int) -> None:
    left = bytes_max
    for index, path in enumerate(paths):
        place = f"attachments[{index}]"
        with service_faults(place):
            meta, content = await ctx.services.files.read_bytes(ctx.principal, path, left)
        left -= len(content)
        maintype, _, subtype = str(meta.get("mime_type") or "application/octet-stream").partition("/")
        if maintype in ("message", "multipart") or not subtype:
            maintype, subtype = "application", "octet-stream"  # its content is bytes, not parts
        filename = path.rstrip("/").rpartition("/")[2]
        try:
            message.add_attachment(content, maintype=maintype, subtype=subtype, filename=filename)
        except ValueError:
            raise OperationError(
                "bad_config", f"{place}: its name or type can't stand in a header", path=place
            ) from None


def check(config: Mapping[str, Any]) -> list[Fault]:
    """There is a text, and what is written out already is an address."""
    faults = []
    if "text" not in config and "html" not in config:
        faults.append(Fault("text", "give text, html or both"))
    for field in ("to", "cc", "bcc", "reply_to", "from"):
        given = config.get(field)
        listed = given if isinstance(given, list) else [given]
        for index, text in enumerate(listed[:_LISTED_MAX]):
            if not isinstance(text, str) or is_template(text):
                continue
            try:
                parse_mailbox(text)
            except AddressError as error:
                faults.append(Fault(f"{field}[{index}]" if isinstance(given, list) else field, str(error)))
    subject = config.get("subject")
    if isinstance(subject, str) and not is_template(subject) and any(char in subject for char in "\r\n\0"):
        faults.append(Fault("subject", "has a line break"))
    return faults


OPERATION = Operation(
    name="email.send",
    config=EmailConfig,
    summary="Sends an e-mail by the operator's SMTP server. Output: {message_id, accepted, refused}.",
    execute=execute,
    check=check,
)
