"""email.send against real SMTP servers on loopback: that take it, refuse, stall, drop, sign in and encrypt."""

from __future__ import annotations

import dataclasses
import socket
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alloyd.domain.operations.catalogue import get_operation
from alloyd.domain.operations.email_addresses import AddressError, parse_mailbox
from alloyd.domain.operations.model import OperationError, Services
from alloyd.domain.operations.validation import check_config
from alloyd.egress.smtp import Mailer, SmtpSettings
from tests.mailserver import MailServer, make_certificate, open_mail_server

EMAIL = get_operation("email.send")
SENDER = "Alloyd <alloyd@example.com>"
PLAIN: dict[str, Any] = {"to": "ann@example.com", "subject": "Hello", "text": "How are you?\n"}


def with_mailer(services: Services, port: int, tls: Any = None, **settings: Any) -> Services:
    given = SmtpSettings(
        **{"host": "127.0.0.1", "port": port, "security": "none", "from_address": SENDER, "timeout_s": 20, **settings}
    )
    return dataclasses.replace(services, mailer=Mailer(lambda: given, 2, tls))


def message_of(mail: MailServer, number: int = -1) -> EmailMessage:
    content = mail.taken[number].content
    assert isinstance(content, bytes)
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


async def test_message_arrives_whole(services, run, files):
    files.put("/reports/märz.csv", b"a,b\n1,2\n", "text/csv")
    files.put("/mail.eml", b"From: x\r\n\r\nbody", "message/rfc822")
    async with open_mail_server() as mail:
        done = await run(
            EMAIL,
            {
                "to": ["Ann Ä <ann@example.com>", "bob@example.com"],
                "cc": "carl@example.com",
                "bcc": ["dora@example.com", "ann@example.com"],
                "reply_to": '"Desk, first" <desk@example.com>',
                "subject": "Grüße 🎉",
                "text": "Plain",
                "html": "<p>Rich</p>",
                "attachments": ["/reports/märz.csv", "/mail.eml"],
            },
            services=with_mailer(services, mail.port),
        )
    envelope, message = mail.taken[0], message_of(mail)
    recipients = ["ann@example.com", "bob@example.com", "carl@example.com", "dora@example.com"]
    assert (envelope.mail_from, envelope.rcpt_tos) == ("alloyd@example.com", recipients)
    assert msgspec.json.decode(msgspec.json.encode(done.output)) == done.output
    assert done.output == {"message_id": message["Message-ID"], "accepted": recipients, "refused": []}
    assert "dora" not in mail.taken[0].content.decode("latin-1")
    assert message["From"] == "Alloyd <alloyd@example.com>"
    assert [address.display_name for address in message["To"].addresses] == ["Ann Ä", ""]
    assert message["Reply-To"].addresses[0].display_name == "Desk, first"
    assert message["Subject"] == "Grüße 🎉"
    assert message["Date"].datetime.year == 2026
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content() == "Plain\r\n" or body.get_content() == "Plain\n"
    names = {part.get_filename(): part.get_payload(decode=True) for part in message.iter_attachments()}
    assert names == {"märz.csv": b"a,b\n1,2\n", "mail.eml": b"From: x\r\n\r\nbody"}


async def test_message_id_is_the_steps_own(services, run):
    async with open_mail_server() as mail:
        given = with_mailer(services, mail.port)
        for key in ("run-1:mail", "run-1:mail", "run-2:mail"):
            await run(EMAIL, PLAIN, services=given, idempotency_key=key)
    ids = [message_of(mail, number)["Message-ID"] for number in range(3)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].endswith("@example.com>")


@pytest.mark.parametrize(
    ("answers", "retryable", "says"),
    [
        ({"RCPT": "550 no such user"}, False, "refused every recipient: no such user"),
        ({"RCPT": "450 mailbox busy"}, True, "refused every recipient: mailbox busy"),
        ({"MAIL": "553 not you"}, False, "553"),
        ({"MAIL": "451 later"}, True, "451"),
        ({"DATA": "554 spam"}, False, "answered 554: spam"),
        ({"DATA": "452 disk full"}, True, "answered 452: disk full"),
        ({"DATA": "drop"}, True, "broke off"),
    ],
)
async def test_refusals_are_told(services, run, answers, retryable, says):
    async with open_mail_server() as mail:
        mail.answers = answers
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN, services=with_mailer(services, mail.port))
    assert (caught.value.code, caught.value.retryable) == ("email_failed", retryable)
    assert says in caught.value.message


async def test_some_recipients_may_be_refused(services, run):
    async with open_mail_server() as mail:
        mail.refused = {"bob@example.com": "550 unknown"}
        done = await run(
            EMAIL,
            {**PLAIN, "to": ["ann@example.com", "bob@example.com"]},
            services=with_mailer(services, mail.port),
        )
    assert done.output["accepted"] == ["ann@example.com"]
    assert done.output["refused"] == [{"address": "bob@example.com", "status": 550, "message": "unknown"}]


async def test_slow_server_is_given_up(services, run):
    async with open_mail_server() as mail:
        mail.stalls = True
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN, services=with_mailer(services, mail.port, timeout_s=0.2))
        mail.released.set()
    assert caught.value.retryable
    assert "in time" in caught.value.message or "broke off" in caught.value.message


async def test_nobody_listening(services, run):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN, services=with_mailer(services, held.getsockname()[1]))
    assert (caught.value.code, caught.value.retryable) == ("email_failed", True)


async def test_no_server_configured(services, run):
    assert check_config(EMAIL, PLAIN) == []
    with pytest.raises(OperationError) as caught:
        await run(EMAIL, PLAIN, services=with_mailer(services, 1, host=None))
    assert (caught.value.code, caught.value.retryable) == ("email_failed", False)
    assert "email.host" in caught.value.message


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_encrypted_with_a_certificate_that_is_trusted(services, run, tmp_path: Path, security):
    server, client = make_certificate(tmp_path)
    async with open_mail_server(tls=server, implicit=security == "tls") as mail:
        await run(EMAIL, PLAIN, services=with_mailer(services, mail.port, client, security=security))
        assert mail.encrypted == [True]
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN, services=with_mailer(services, mail.port, security=security))
        assert len(mail.taken) == 1
    assert "certificate" in caught.value.message or "reached" in caught.value.message


async def test_server_without_starttls_gets_nothing(services, run):
    """Whoever stands between could have taken the offer away."""
    async with open_mail_server() as mail:
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN, services=with_mailer(services, mail.port, security="starttls"))
    assert mail.taken == []
    assert caught.value.code == "email_failed"


async def test_signing_in(services, run, tmp_path: Path):
    server, client = make_certificate(tmp_path)
    async with open_mail_server(tls=server, auth=True) as mail:
        right = {"username": "alloyd", "password": "the right password", "security": "starttls"}
        await run(EMAIL, PLAIN, services=with_mailer(services, mail.port, client, **right))
        wrong = right | {"password": "canary-wrong"}
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN, services=with_mailer(services, mail.port, client, **wrong))
    assert len(mail.taken) == 1
    assert mail.signed_in[:1] == [b"alloyd"]
    assert not caught.value.retryable
    assert "user name or password" in caught.value.message
    assert "canary" not in repr((caught.value.message, caught.value.details))


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"to": "ann@example.com\r\nBcc: eve@example.com"}, "to"),
        ({"to": ["ann@example.com", "eve\n@example.com"]}, "to[1]"),
        ({"cc": "Ann\r\n <ann@example.com>"}, "cc"),
        ({"reply_to": "no address"}, "reply_to"),
        ({"subject": "Hello\r\nBcc: eve@example.com"}, "subject"),
        ({"subject": "Hello\nthere"}, "subject"),
        ({"to": []}, "to"),
        ({"to": [f"user{number}@example.com" for number in range(51)]}, "to"),
        ({"from": "eve@example.com"}, "from"),
        ({"attachments": ["/gone"]}, "attachments[0]"),
        ({"attachments": ["/large"]}, "attachments[0]"),
        ({"text": "x" * 300_000}, None),
    ],
)
async def test_bad_input_sends_nothing(services, run, files, change, path):
    files.put("/large", b"x" * 300_000)
    async with open_mail_server() as mail:
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN | change, services=with_mailer(services, mail.port, message_bytes_max=200_000))
    assert mail.taken == []
    assert caught.value.path == path
    assert not caught.value.retryable


async def test_sender_may_be_opened(services, run):
    async with open_mail_server() as mail:
        given = with_mailer(services, mail.port, from_fixed=False)
        await run(EMAIL, PLAIN | {"from": "Shop <shop@example.org>"}, services=given)
        assert mail.taken[0].mail_from == "shop@example.org"
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN, services=with_mailer(services, mail.port, from_address=None))
    assert caught.value.path == "from"


async def test_odd_attachment_names_and_types_stay_in_their_header(services, run, files):
    path = '/a"\r\nX-Evil: 1'
    files.put(path, b"x", "text/plain\r\nX-Evil: 2")
    async with open_mail_server() as mail:
        with pytest.raises(OperationError) as caught:
            await run(EMAIL, PLAIN | {"attachments": [path]}, services=with_mailer(services, mail.port))
    assert caught.value.path == "attachments[0]"
    assert mail.taken == []


@pytest.mark.parametrize(
    ("text", "bare", "name"),
    [
        ("ann@example.com", "ann@example.com", ""),
        ("  Ann B <a.b+c@sub.example.com> ", "a.b+c@sub.example.com", "Ann B"),
        ('"Ann, B" <ann@example.com>', "ann@example.com", "Ann, B"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example", ""),
        ("ANN@EXAMPLE.com", "ANN@example.com", ""),
    ],
)
def test_addresses(text, bare, name):
    mailbox = parse_mailbox(text)
    assert (mailbox.bare, mailbox.name) == (bare, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "ann@localhost",
        "ann@127.0.0.1",
        "a b@example.com",
        ".ann@example.com",
        "ann..b@example.com",
        "ann@example.com, bob@example.com",
        "ann@example.com\0",
        "ann@example.com\r\nX: y",
        "Ann\n <ann@example.com>",
        "<ann@example.com> <bob@example.com>",
        "a" * 65 + "@example.com",
        "ann@" + "a" * 60 + ("." + "b" * 60) * 4 + ".com",
        "änn@example.com",
        "Ann\u202e <ann@example.com>",
    ],
)
def test_what_is_no_address(text):
    with pytest.raises(AddressError):
        parse_mailbox(text)


def test_publishing_tells_faults():
    faults = {fault.path for fault in check_config(EMAIL, {"to": ["x", "{{ trigger.to }}"], "subject": "a\nb"})}
    assert faults == {"to[0]", "subject", "text"}
