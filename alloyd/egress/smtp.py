"""The one door for e-mail: hands a message to the operator's SMTP server, and puts what it says into words."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal

import aiosmtplib

from alloyd.errors import AlloydError, Code

_SAID_CHARS_MAX = 300
_PERMANENT = range(500, 600)

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """The server; the configuration's group ``email``. ``host`` None: there is none."""

    host: str | None = None
    port: int = 587
    security: Security = "starttls"
    username: str | None = None
    password: str | None = None
    from_address: str | None = None
    from_fixed: bool = True
    timeout_s: float = 30.0
    recipients_max: int = 50
    message_bytes_max: int = 25 * 1024 * 1024

    def __repr__(self) -> str:
        return f"SmtpSettings({self.host}:{self.port})"


class MailError(AlloydError):
    """The message was not taken, for anybody. ``retryable``: it may be another time. ``status`` is the server's."""

    def __init__(self, message: str, *, retryable: bool, status: int | None = None, log: str | None = None) -> None:
        super().__init__(Code.UPSTREAM_FAILED, message, log=log)
        self.retryable = retryable
        self.status = status


@dataclass(frozen=True, slots=True)
class RefusedRecipient:
    """An address that the server did not take while it took others."""

    address: str
    status: int
    message: str


@dataclass(frozen=True, slots=True)
class MailReceipt:
    """Who the server took the message for."""

    accepted: tuple[str, ...]
    refused: tuple[RefusedRecipient, ...]


class Mailer:
    """One for the process. The server is the operator's own choice, so its address is not checked as others are."""

    def __init__(
        self, settings: Callable[[], SmtpSettings], connections_max: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._room = asyncio.Semaphore(connections_max)

    @property
    def settings(self) -> SmtpSettings:
        """What is in force."""
        return self._settings()

    async def send(self, sender: str, recipients: Sequence[str], message: EmailMessage) -> MailReceipt:
        """Hand ``message`` over, on a connection of its own. ``sender`` and ``recipients`` are bare addresses.

        Raises :class:`MailError` when nobody gets it: retryable for a 4xx, a lost or refused connection and a timeout.
        """
        settings = self._settings()
        if settings.host is None:
            raise MailError("there is no SMTP server: an operator sets email.host", retryable=False)
        async with self._room:
            try:
                return await self._exchange(settings, sender, recipients, message)
            except aiosmtplib.SMTPException as error:
                raise _in_words(error, settings) from error
            except (OSError, ssl.SSLError) as error:
                told = f"{settings.host}:{settings.port} can't be reached"
                raise MailError(told, retryable=True, log=repr(error)) from error

    async def _exchange(
        self, settings: SmtpSettings, sender: str, recipients: Sequence[str], message: EmailMessage
    ) -> MailReceipt:
        tls = None if settings.security == "none" else self._tls or ssl.create_default_context()
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            timeout=settings.timeout_s,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=tls,
            local_hostname=sender.rpartition("@")[2] or "localhost",  # or the library asks the name service
        )
        async with client:
            if settings.username is not None:
                await client.login(settings.username, settings.password or "")
            refused, _said = await client.send_message(message, sender=sender, recipients=list(recipients))
        lost = tuple(
            RefusedRecipient(address, response.code, _cut(response.message)) for address, response in refused.items()
        )
        taken = tuple(address for address in recipients if address not in refused)
        return MailReceipt(taken, lost)


def _in_words(error: aiosmtplib.SMTPException, settings: SmtpSettings) -> MailError:
    where = f"{settings.host}:{settings.port}"
    log = f"{type(error).__name__}: {error}"
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in error.recipients]
        said = _cut(error.recipients[0].message) if error.recipients else ""
        permanent = bool(codes) and all(code in _PERMANENT for code in codes)
        status = codes[0] if codes else None
        return MailError(f"{where} refused every recipient: {said}", retryable=not permanent, status=status, log=log)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        # What it says may repeat what was sent to it.
        return MailError(
            f"{where} refused the user name or password ({error.code})",
            retryable=error.code not in _PERMANENT,
            status=error.code,
        )
    if isinstance(error, aiosmtplib.SMTPResponseException):
        told = f"{where} answered {error.code}: {_cut(error.message)}"
        return MailError(told, retryable=error.code not in _PERMANENT, status=error.code, log=log)
    if isinstance(error, aiosmtplib.SMTPNotSupported):
        return MailError(f"{where} does not offer what is configured: {_cut(str(error))}", retryable=False, log=log)
    if isinstance(error, aiosmtplib.SMTPTimeoutError):
        return MailError(f"{where} did not answer in time", retryable=True, log=log)
    if isinstance(error, aiosmtplib.SMTPConnectError) and isinstance(error.__cause__, ssl.SSLCertVerificationError):
        return MailError(f"{where} has a certificate that is not trusted", retryable=False, log=log)
    return MailError(f"{where} can't be reached or broke off", retryable=True, log=log)


def _cut(text: str) -> str:
    return " ".join(text.split())[:_SAID_CHARS_MAX]
