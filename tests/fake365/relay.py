"""A relay that is not Microsoft's, in the words of Postfix.

SendGrid, Mailgun, Postmark, a company's own hub: TLS first, then a user
who need be no mailbox, or nobody at all; any sender and any recipient.
"""

from typing import TYPE_CHECKING, Any, Dict

from .directory import PASSWORD
from .records import Message
from .sasl import Credentials
from .smtp import Host

if TYPE_CHECKING:
    from .tenant import Tenant

_BEFORE_TLS = ("EHLO", "HELO", "STARTTLS", "NOOP", "QUIT")


class Relay(Host):
    """A server that relays for its users; without AUTH, for everybody."""

    name = "mail.relay.example"
    offered = ("PLAIN", "LOGIN")
    extensions = (
        "PIPELINING", "SIZE", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME",
        "DSN", "SMTPUTF8", "CHUNKING",
    )  # fmt: skip
    words = {
        "banner": "220 {name} ESMTP Postfix",
        "hello": "{name}",
        "bad-hello": "501 Syntax: EHLO hostname",
        "hello-first": "503 5.5.1 Error: send HELO/EHLO first",
        "unknown-command": "500 5.5.2 Error: command not recognized",
        "starttls": "220 2.0.0 Ready to start TLS",
        "tls-twice": "554 5.5.1 Error: TLS already active",
        "unknown-mechanism": "535 5.7.8 Error: authentication failed: "
                             "Invalid authentication mechanism",
        "auth-too-long": "500 5.5.6 SASL response limit exceeded",
        "auth-twice": "503 5.5.1 Error: already authenticated",
        "auth-cancelled": "501 5.7.0 Authentication aborted",
        "auth-ok": "235 2.7.0 Authentication successful",
        "bad-path": "501 5.5.4 Syntax: {argument}:<address>",
        "bad-parameter": "555 5.5.4 Unsupported option: {argument}",
        "mail-twice": "503 5.5.1 Error: nested MAIL command",
        "bad-sender": "504 5.5.2 <{argument}>: Sender address rejected: "
                      "need fully-qualified address",
        "mail-ok": "250 2.1.0 Ok",
        "need-mail": "503 5.5.1 Error: need MAIL command",
        "bad-recipient": "504 5.5.2 <{argument}>: Recipient address "
                         "rejected: need fully-qualified address",
        "rcpt-ok": "250 2.1.5 Ok",
        "need-rcpt": "554 5.5.1 Error: no valid recipients",
        "bad-sequence": "503 5.5.1 Error: DATA after BDAT",
        "data": "354 End data with <CR><LF>.<CR><LF>",
        "bad-bdat": "501 5.5.4 Syntax: BDAT count [LAST]",
        "chunk": "250 2.0.0 Ok: {argument} bytes",
        "too-large": "552 5.3.4 Message size exceeds fixed limit",
        "header-too-large": "552 5.3.4 Message header size exceeds limit",
        "reset": "250 2.0.0 Ok",
        "noop": "250 2.0.0 Ok",
        "quit": "221 2.0.0 Bye",
    }  # fmt: skip

    @staticmethod
    def default_mailbox(_: "Tenant") -> Dict[str, Any]:
        return {"login": "apikey", "password": PASSWORD}

    def refuse_command(self, verb: str) -> str:
        if self.tls or verb in _BEFORE_TLS:
            return ""
        return "530 5.7.0 Must issue a STARTTLS command first"

    def sign_in(self, credentials: Credentials) -> str:
        mailbox = self.tenant.directory.sign_in(
            credentials.user, credentials.secret
        )
        if not mailbox:
            return self.late_no(
                "535 5.7.8 Error: authentication failed: (reason unavailable)"
            )
        return self.admit(mailbox, credentials)

    def refuse_recipient(self, recipient: str) -> str:
        if self.mailbox or not self.tenant.mechanisms:
            return ""
        return f"554 5.7.1 <{recipient}>: Relay access denied"

    def acceptance(self, message: Message) -> str:
        number = 0x4F0C11 + self.tenant.next_number()
        return f"250 2.0.0 Ok: queued as {number:X}"
