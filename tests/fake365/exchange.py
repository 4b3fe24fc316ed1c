"""Exchange Online's two SMTP faces: the submission host and the MX.

The submission host checks permission after the body, as the real one.
"""

import base64
import binascii
import email.message
import re
import socket
from typing import TYPE_CHECKING, List

from .directory import Mailbox
from .records import Message
from .smtp import STORE, Session, authors_of, parse_header

if TYPE_CHECKING:
    from .tenant import Tenant

_USERNAME = "334 " + base64.b64encode(b"Username:").decode()
_PASSWORD = "334 " + base64.b64encode(b"Password:").decode()
_XOAUTH2 = re.compile(r"user=([^\x01]*)\x01auth=Bearer ([^\x01]+)\x01\x01")


class Submission(Session):
    """smtp.office365.com:587."""

    service = "submission"
    short_name = "XX0P000CA0001"
    domain = "outlook.office365.com"

    def __init__(self, sock: socket.socket, tenant: "Tenant"):
        super().__init__(sock, tenant)
        self.auth_error = ""

    def mechanisms(self) -> List[str]:
        dropped = self.tenant.scenario.drop_capability
        return [name for name in ("LOGIN", "XOAUTH2") if name not in dropped]

    def authentication(self) -> str:
        mechanisms = self.mechanisms()
        return " ".join(["AUTH", *mechanisms]) if mechanisms else ""

    def do_auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        problem = self.auth_problem(mechanism.upper(), argument)
        if problem:
            self.step("auth", lambda: problem)
        elif mechanism.upper() == "XOAUTH2":
            self.auth_xoauth2(initial)
        else:
            self.auth_login(initial)

    def auth_problem(self, mechanism: str, argument: str) -> str:
        """Why AUTH cannot begin; "" if it can."""
        limit = self.tenant.settings.auth_line_limit
        if limit and len("AUTH \r\n") + len(argument) > limit:
            return self.no("500 5.5.6 Authentication exchange line too long")
        if self.tls and not self.hello:
            return self.no("503 5.5.2 Send hello first")
        if not self.tls or mechanism not in self.mechanisms():
            return self.unknown_mechanism()
        if self.mailbox:
            return self.no("503 5.5.2 Already authenticated")
        return ""

    def auth_xoauth2(self, initial: str) -> None:
        if initial:
            self.step("auth", lambda: self.check_token(initial))
        elif self.step("auth", lambda: "334 ").startswith("334"):
            answer = self.continuation()
            self.step("auth-continue", lambda: self.check_token(answer))

    def auth_login(self, initial: str) -> None:
        user = initial
        if not user:
            if not self.step("auth", lambda: _USERNAME).startswith("334"):
                return
            user = self.continuation()
        phase = "auth" if initial else "auth-continue"
        if self.step(phase, lambda: _PASSWORD).startswith("334"):
            password = self.continuation()
            self.step("auth-continue", lambda: self.check_password(
                user, password
            ))

    def continuation(self) -> str:
        """Read the client's answer to a 334."""
        text = self.wire.line().decode("ascii", "surrogateescape")
        self.hear("auth-continue", text.rstrip("\r\n"))
        return text.rstrip("\r\n")

    def check_token(self, encoded: str) -> str:
        """Judge an XOAUTH2 response."""
        match = _XOAUTH2.fullmatch(_decode(encoded))
        hve = self.tenant.settings.high_volume
        if not match and hve:
            return self.late_no("501 5.5.124 Invalid XOAUTH2 auth data")
        mailbox = match and self.tenant.directory.mailbox(match[1])
        token = match and self.tenant.directory.token(match[2])
        if not mailbox or not token or token.remaining <= 0:
            return self.fail_auth("535 5.7.3 Authentication unsuccessful")
        if hve and token.remaining < 600:
            return self.late_no(
                "501 5.5.127 Invalid XOAUTH2 auth data - "
                "Token will expire soon error"
            )
        return self.admit(mailbox, "XOAUTH2")

    def check_password(self, user: str, password: str) -> str:
        """Judge the two answers of AUTH LOGIN."""
        unsuccessful = "535 5.7.139 Authentication unsuccessful, "
        if "*" in (user, password):
            return self.fail_auth("535 5.7.3 Authentication unsuccessful")
        if not self.tenant.settings.basic_authentication:
            return self.fail_auth(
                unsuccessful + "basic authentication is disabled."
            )
        mailbox = self.tenant.directory.mailbox(_decode(user))
        known = mailbox and mailbox.password is not None
        if not known or _decode(password) != mailbox.password:
            return self.fail_auth(
                unsuccessful + "the user credentials were incorrect."
            )
        return self.admit(mailbox, "LOGIN")

    def admit(self, mailbox: Mailbox, mechanism: str) -> str:
        """Let a mailbox in, unless SMTP AUTH is switched off for it."""
        if mailbox.smtp_auth_disabled:
            return self.fail_auth(
                "535 5.7.139 Authentication unsuccessful, "
                "SmtpClientAuthentication is disabled for the "
                f"{mailbox.smtp_auth_disabled}. Visit "
                "https://aka.ms/smtp_auth_disabled for more information."
            )
        self.mailbox = mailbox
        self.mechanism = mechanism
        self.wire.record.user = mailbox.address
        self.tenant.directory.enter(mailbox, self)
        return "235 2.7.0 Authentication successful"

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
                f"[Hostname={STORE}]"
            )
        limit = self.mailbox.send_limit
        if limit is not None and len(raw) > limit:
            return (
                "554 5.2.0 STOREDRV.Submission.Exception:"
                "MessageSubmissionExceededException.MapiExceptionMax"
                f"SubmissionExceeded; [Hostname={STORE}]"
            )
        return super().refuse_message(raw)

    def refuse_author(self, header: email.message.Message) -> str:
        refusal = super().refuse_author(header)
        if refusal or not self.transaction.sender:
            return refusal or (
                f"550 5.7.512 Access denied, null sender [Hostname={STORE}]"
            )
        for sender in [self.transaction.sender, *authors_of(header)]:
            if not self.mailbox.may_send_as(sender):
                return (
                    f"554 5.2.252 SendAsDenied; {self.mailbox.address} not "
                    f"allowed to send as {sender}; STOREDRV.Submission."
                    "Exception:SendAsDeniedException.MapiExceptionSendAs"
                    "Denied; Failed to process message due to a permanent "
                    "exception with message Cannot submit message. "
                    f"[Hostname={STORE}]"
                )
        return ""

    def acceptance(self, message: Message) -> str:
        local = f"XX0PR00MB0001{self.tenant.next_number():012X}"
        return f"250 2.0.0 OK <{local}@{STORE}> [Hostname={STORE}]"


class Mx(Session):
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
            f"Hostname={STORE}] {size} bytes in 0.222, "
            f"{size / 1024 / 0.222:.3f} KB/sec "
            "Queued mail for delivery -> 250 2.1.5"
        )


def _decode(encoded: str) -> str:
    """Decode base64 strictly; "" if it is none."""
    try:
        octets = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return ""
    return octets.decode("utf-8", "surrogateescape")
