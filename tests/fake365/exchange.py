"""Exchange Online's two SMTP faces: the submission host and the MX.

Texts, their order, and what is checked at which moment follow
transcripts of the real service: the submission host checks permission
after the body. Where other services resemble it, see costumes.py.
"""

import datetime
import email.message
import socket
from typing import TYPE_CHECKING, Tuple

from .directory import Mailbox
from .records import Message
from .sasl import Credentials
from .smtp import Host, Session, authors_of, parse_header

if TYPE_CHECKING:
    from .tenant import Tenant

_UNSUCCESSFUL = "535 5.7.139 Authentication unsuccessful, "


class Exchange(Session):
    """What both faces have in common."""

    short_name = ""
    domain = "outlook.office365.com"
    forest = "namprd00.prod.outlook.com"  # of the servers behind them
    extensions = (
        "SIZE", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS",
        "8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8",
    )  # fmt: skip
    words = {
        "banner": "220 {name} Microsoft ESMTP MAIL Service ready at {date} "
                  "[{session}]",
        "hello": "{name} Hello [{peer}]",
        "bad-hello": "501 5.5.4 Invalid domain name",
        "hello-first": "503 5.5.2 Send hello first",
        "unknown-command": "500 5.3.3 Unrecognized command '{argument}'",
        "starttls": "220 2.0.0 SMTP server ready",
        "tls-twice": "503 5.5.2 Only one STARTTLS command can be issued",
        "unknown-mechanism": "504 5.7.4 Unrecognized authentication type "
                             "[{name}]",
        "auth-too-long": "500 5.5.6 Authentication exchange line too long",
        "auth-twice": "503 5.5.2 Already authenticated",
        "auth-cancelled": "535 5.7.3 Authentication unsuccessful",
        "auth-ok": "235 2.7.0 Authentication successful",
        "bad-path": "501 5.5.4 Invalid arguments",
        "bad-parameter": "501 5.5.4 Unrecognized parameter",
        "mail-twice": "503 5.5.2 Sender already specified",
        "bad-sender": "501 5.1.7 Invalid address",
        "mail-ok": "250 2.1.0 Sender OK",
        "need-mail": "503 5.5.2 Need mail command",
        "bad-recipient": "501 5.1.3 Invalid address",
        "rcpt-ok": "250 2.1.5 Recipient OK",
        "need-rcpt": "503 5.5.2 Need rcpt command",
        "bad-sequence": "503 5.5.2 Bad sequence of commands",
        "data": "354 Start mail input; end with <CRLF>.<CRLF>",
        "bad-bdat": "501 5.5.4 Invalid arguments",
        "chunk": "250 2.6.0 CHUNK received OK, {argument} octets",
        "too-large": "552 5.3.4 Message size exceeds fixed maximum message "
                     "size",
        "header-too-large": "552 5.3.4 Header size exceeds fixed maximum "
                            "size",
        "reset": "250 2.0.0 Resetting",
        "noop": "250 2.0.0 OK",
        "quit": "221 2.0.0 Service closing transmission channel",
    }  # fmt: skip

    @property
    def name(self) -> str:
        return f"{self.short_name}.{self.domain}"

    @property
    def store(self) -> str:
        """The mailbox server that a message ends at."""
        return f"XX0PR00MB0001.{self.forest}"

    def no(self, text: str) -> str:
        """Add the trailer, unless there is one."""
        if text.endswith("]"):
            return text
        name = f"{self.short_name}.{self.forest.upper()}"
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now:%f}"[:3] + "Z"
        return f"{text} [{name} {stamp} {self.session_id}]"

    def refuse_message(self, raw: bytes) -> str:
        return super().refuse_message(raw) or self.refuse_author(
            parse_header(raw)
        )

    def refuse_author(self, header: email.message.Message) -> str:
        """Why the From field is refused; "" if it is not."""
        authors = authors_of(header)
        if not authors or not all("@" in author for author in authors):
            return self.no(
                "550 5.7.512 Access denied, message must be RFC 5322 section "
                "3.6.2 compliant and include a valid From address "
                f"[Hostname={self.store}]"
            )
        if len(authors) > 1 and not header["Sender"]:
            return self.no(
                "550 5.1.20 Multiple From addresses are not allowed without "
                f"Sender address [Hostname={self.store}]"
            )
        return ""


class Submission(Exchange, Host):
    """smtp.office365.com:587."""

    short_name = "XX0P000CA0001"
    offered = ("LOGIN", "XOAUTH2")
    #: What a token must be for; the first is what the client asks for.
    audiences: Tuple[str, ...] = (
        "https://outlook.office365.com", "https://outlook.office.com",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, tenant: "Tenant"):
        super().__init__(sock, tenant)
        self.auth_error = ""

    def sign_in(self, credentials: Credentials) -> str:
        if credentials.mechanism == "XOAUTH2":
            return self.check_token(credentials)
        return self.check_password(credentials)

    def check_token(self, credentials: Credentials) -> str:
        """Judge an XOAUTH2 response: every fault gets the same answer."""
        mailbox = self.tenant.directory.mailbox(credentials.user)
        token = self.tenant.directory.token(credentials.secret)
        if (
            not mailbox
            or not token
            or token.remaining <= 0
            or token.audience not in self.audiences
        ):
            return self.fail_auth("535 5.7.3 Authentication unsuccessful")
        return self.admit(mailbox, credentials)

    def check_password(self, credentials: Credentials) -> str:
        """Judge user and password."""
        if not self.tenant.settings.basic_authentication:
            return self.refuse_basic()
        mailbox = self.tenant.directory.sign_in(
            credentials.user, credentials.secret
        )
        if not mailbox:
            return self.refuse_password()
        return self.admit(mailbox, credentials)

    def refuse_basic(self) -> str:
        """What is said where no password can succeed."""
        return self.fail_auth(
            _UNSUCCESSFUL + "basic authentication is disabled."
        )

    def refuse_password(self) -> str:
        """What is said to a wrong password."""
        return self.fail_auth(
            _UNSUCCESSFUL + "the user credentials were incorrect."
        )

    def admit(self, mailbox: Mailbox, credentials: Credentials) -> str:
        """Let a mailbox in, unless SMTP AUTH is switched off for it."""
        if mailbox.smtp_auth_disabled:
            return self.fail_auth(
                _UNSUCCESSFUL + "SmtpClientAuthentication is disabled for "
                f"the {mailbox.smtp_auth_disabled}. Visit "
                "https://aka.ms/smtp_auth_disabled for more information."
            )
        return super().admit(mailbox, credentials)

    def fail_auth(self, text: str) -> str:
        self.auth_error = self.late_no(text)
        return self.auth_error

    def refuse_client(self) -> str:
        if self.mailbox:
            return ""
        text = "530 5.7.57 Client not authenticated to send mail."
        if self.auth_error:
            self.tenant.pause(self.tenant.settings.tarpit)
            return f"{text} Error: {self.auth_error}"
        return self.late_no(text)

    def refuse_recipient(self, recipient: str) -> str:
        count = len(self.transaction.recipients)
        if count >= self.mailbox.recipient_limit:
            return self.no("550 5.5.3 Too many recipients")
        at_once = self.mailbox.recipients_at_once
        if at_once is not None and count >= at_once:
            return self.no("452 4.5.3 Too many recipients")
        return ""

    def refuse_message(self, raw: bytes) -> str:
        if self.tenant.directory.is_one_too_many(self.mailbox, self):
            return (
                "432 4.3.2 Concurrent connections limit exceeded. Visit "
                "https://aka.ms/concurrent_sending for more information. "
                f"[Hostname={self.store}]"
            )
        limit = self.mailbox.send_limit
        if limit is not None and len(raw) > limit:
            return (
                "554 5.2.0 STOREDRV.Submission.Exception:"
                "MessageSubmissionExceededException.MapiExceptionMax"
                f"SubmissionExceeded; [Hostname={self.store}]"
            )
        refusal = super().refuse_message(raw)
        if refusal or not self.tenant.directory.is_too_fast(self.mailbox):
            return refusal
        return (
            "550 5.2.2 Submission quota exceeded, "
            "STOREDRV.Submission.Exception:SubmissionQuotaExceededException; "
            f"[Hostname={self.store}]"
        )

    def refuse_author(self, header: email.message.Message) -> str:
        refusal = super().refuse_author(header)
        if refusal or not self.transaction.sender:
            return refusal or self.no(
                "550 5.7.512 Access denied, null sender "
                f"[Hostname={self.store}]"
            )
        for sender in [self.transaction.sender, *authors_of(header)]:
            if not self.mailbox.may_send_as(sender):
                return self.refuse_sender(sender)
        return ""

    def refuse_sender(self, sender: str) -> str:
        """What an account hears whose sender this is not."""
        return self.no(
            f"554 5.2.252 SendAsDenied; {self.mailbox.address} not allowed "
            f"to send as {sender}; STOREDRV.Submission.Exception:"
            "SendAsDeniedException.MapiExceptionSendAsDenied; Failed to "
            "process message due to a permanent exception with message "
            f"Cannot submit message. [Hostname={self.store}]"
        )

    def acceptance(self, message: Message) -> str:
        local = f"XX0PR00MB0001{self.tenant.next_number():012X}"
        return f"250 2.0.0 OK <{local}@{self.store}> [Hostname={self.store}]"


class Mx(Exchange):
    """The tenant's MX, port 25: Direct Send."""

    service = "mx"
    short_name = "XX0PEPF00000001"
    domain = "mail.protection.outlook.com"

    def refuse_recipient(self, recipient: str) -> str:
        own = "@" + self.tenant.domain
        if not recipient.lower().endswith(own):
            return self.no(
                "550 5.7.64 TenantAttribution; Relay Access Denied"
            )
        rejecting = self.tenant.settings.reject_direct_send
        if rejecting and self.transaction.sender.lower().endswith(own):
            return self.no(
                "550 5.7.68 TenantInboundAttribution; Direct Send not "
                "allowed for this organization from unauthorized sources"
            )
        return ""

    def acceptance(self, message: Message) -> str:
        message_id = parse_header(message.raw).get("Message-ID", "").strip()
        size = len(message.raw)
        return (
            f"250 2.6.0 {message_id} [InternalId="
            f"{10286446712210 + self.tenant.next_number()}, "
            f"Hostname={self.store}] {size} bytes in 0.222, "
            f"{size / 1024 / 0.222:.3f} KB/sec "
            "Queued mail for delivery -> 250 2.1.5"
        )
