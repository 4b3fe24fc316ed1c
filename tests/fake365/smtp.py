"""What Exchange Online's two SMTP faces have in common.

Texts, their order, and what is checked at which moment follow
transcripts of the real service; exchange.py has what is particular to
the submission host and to the MX.
"""

import datetime
import email.message
import email.parser
import email.utils
import re
import socket
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING, Callable, Dict, List, NoReturn, Optional, Tuple,
)  # fmt: skip

from . import faults
from .directory import Mailbox
from .records import Message, split_message
from .wire import Gone, Wire

if TYPE_CHECKING:
    from .tenant import Tenant

STORE = "XX0PR00MB0001.namprd00.prod.outlook.com"
_HELLO_NAME = re.compile(r"\[[^\]\s]+\]|[\w-]+(\.[\w-]+)*")
_PATH = re.compile(
    r'(FROM|TO):\s*(?:<((?:"(?:[^"\\]|\\.)*"|[^">])*)>|([^<\s]+))(.*)', re.I
)
_PARAMETERS = {
    "FROM": {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH"},
    "TO": {"NOTIFY", "ORCPT"},
}


@dataclass
class Transaction:
    """What has been said since MAIL."""

    sender: str
    parameters: Dict[str, str]
    recipients: List[str] = field(default_factory=list)
    recipient_parameters: List[Dict[str, str]] = field(default_factory=list)
    chunks: List[bytes] = field(default_factory=list)


class Session:
    """One SMTP connection; the base of both faces."""

    service = ""
    short_name = ""
    domain = ""

    def __init__(self, sock: socket.socket, tenant: "Tenant"):
        self.tenant = tenant
        self.wire = Wire(sock, tenant.journal, self.service)
        self.hello = ""  # argument of EHLO; "": none since the start or TLS
        self.tls = False
        self.transaction: Optional[Transaction] = None
        self.mailbox: Optional[Mailbox] = None
        self.mechanism = ""
        self._commands: Dict[str, Callable[[str], None]] = {
            "EHLO": self.do_hello,
            "HELO": self.do_helo,
            "STARTTLS": self.do_starttls,
            "AUTH": self.do_auth,
            "MAIL": self.do_mail,
            "RCPT": self.do_rcpt,
            "DATA": self.do_data,
            "BDAT": self.do_bdat,
            "RSET": self.do_rset,
            "NOOP": self.do_noop,
            "QUIT": self.do_quit,
        }

    # Life of a connection

    def run(self) -> None:
        """Serve until one side has had enough."""
        try:
            self.step("connect")
            self.step("banner", self.banner)
            while True:
                self.command()
        except Gone:
            pass
        finally:
            self.forget()
            self.wire.close()

    def abort(self) -> None:
        """End the connection from another thread."""
        self.wire.abort()

    def leave(self) -> NoReturn:
        """End the connection from within."""
        self.forget()
        raise Gone("we left")

    def forget(self) -> None:
        """Give back what the session occupies."""
        if self.mailbox:
            self.tenant.directory.leave(self.mailbox, self)

    def command(self) -> None:
        """Read and obey one command."""
        line = self.wire.line()
        text = line.decode("utf-8", "surrogateescape")
        verb, _, argument = text.rstrip("\r\n").partition(" ")
        handler = self._commands.get(verb.upper())
        self.hear(self.phase_of(verb), text.rstrip("\r\n"))
        if not line.endswith(b"\r\n") or self.lacks(verb):
            handler = None
        if handler:
            handler(argument.strip())
        else:
            self.step("other", lambda: self.no(
                f"500 5.3.3 Unrecognized command '{verb[:40]}'"
            ))

    def phase_of(self, verb: str) -> str:
        phase = verb.lower()
        if phase in ("ehlo", "helo"):
            return "ehlo2" if self.tls else "ehlo"
        return phase if verb.upper() in self._commands else "other"

    def lacks(self, verb: str) -> bool:
        """Whether a command belongs to a capability not offered now."""
        needed = {"BDAT": "CHUNKING", "STARTTLS": "STARTTLS"}
        return (
            needed.get(verb.upper()) in self.tenant.scenario.drop_capability
        )

    # Saying and hearing

    def step(self, phase: str, work: Callable[[], str] = lambda: "") -> str:
        """Pass one phase: as the scenario says, or else with `work`.

        Returns the reply that was given.
        """
        rules = self.tenant.scenario.visit(phase, self.service)
        for rule in rules:
            if rule.action == "delay":
                self.tenant.pause(float(rule.argument))
        for rule in rules:
            if rule.action != "delay":
                return faults.play(rule, self, phase, work)
        reply = work()
        if reply:
            self.say(phase, reply)
        return reply

    def say(self, phase: str, reply: str, extra: bytes = b"") -> None:
        """Send a reply, one line of text for each line."""
        lines = reply.split("\n")
        for text in lines:
            self.tenant.journal.line(self.wire.record, "S", phase, text)
        octets = "".join(text + "\r\n" for text in lines)
        self.wire.send(octets.encode("utf-8", "surrogateescape") + extra)

    def say_octets(self, phase: str, octets: bytes) -> None:
        """Send what need not be a reply."""
        text = octets[:200].decode("latin-1")
        self.tenant.journal.line(self.wire.record, "S", phase, text)
        self.wire.send(octets)

    def hear(self, phase: str, text: str) -> None:
        """Note a line of the client."""
        self.tenant.journal.line(self.wire.record, "C", phase, text)

    def swallow(self, octets: Optional[int]) -> None:
        """Read and forget octets, if there is a number."""
        if octets:
            self.wire.exactly(octets)

    def no(self, text: str) -> str:
        """Add the trailer of a negative reply."""
        name = f"{self.short_name}.NAMPRD00.PROD.OUTLOOK.COM"
        now = datetime.datetime.now(datetime.timezone.utc)
        stamp = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now:%f}"[:3] + "Z"
        return f"{text} [{name} {stamp} {self.session_id}]"

    def late_no(self, text: str) -> str:
        """A negative reply that Exchange delays."""
        self.tenant.pause(self.tenant.settings.tarpit)
        return self.no(text)

    @property
    def session_id(self) -> str:
        return f"08DE{self.wire.record.number:012X}"

    @property
    def name(self) -> str:
        return f"{self.short_name}.{self.domain}"

    # Greeting and TLS

    def banner(self) -> str:
        now = datetime.datetime.now(datetime.timezone.utc)
        return (
            f"220 {self.name} Microsoft ESMTP MAIL Service ready at "
            f"{email.utils.format_datetime(now)} [{self.session_id}]"
        )

    def do_hello(self, argument: str) -> None:
        self.step("ehlo2" if self.tls else "ehlo", lambda: self.greet(
            argument, self.capabilities()
        ))

    def do_helo(self, argument: str) -> None:
        self.step("ehlo2" if self.tls else "ehlo", lambda: self.greet(
            argument, []
        ))

    def greet(self, argument: str, capabilities: List[str]) -> str:
        if not _HELLO_NAME.fullmatch(argument):
            return self.late_no("501 5.5.4 Invalid domain name")
        self.hello = argument
        self.transaction = None
        lines = [f"{self.name} Hello [{self.wire.record.peer}]"]
        lines += capabilities
        return "\n".join(
            ["250-" + line for line in lines[:-1]] + ["250 " + lines[-1]]
        )

    def capabilities(self) -> List[str]:
        """The EHLO lines, in Exchange's order."""
        dropped = self.tenant.scenario.drop_capability
        lines = [f"SIZE {self.tenant.settings.size_limit}"]
        lines += ["PIPELINING", "DSN", "ENHANCEDSTATUSCODES"]
        lines += [self.authentication()] if self.tls else ["STARTTLS"]
        lines += ["8BITMIME", "BINARYMIME", "CHUNKING", "SMTPUTF8"]
        return [
            line for line in lines if line and line.split()[0] not in dropped
        ]

    def authentication(self) -> str:
        """The AUTH line of the EHLO reply, if any."""
        return ""

    def do_starttls(self, _: str) -> None:
        if self.tls or not self.hello:
            self.step("starttls", lambda: self.no(
                "503 5.5.2 Send hello first" if not self.hello
                else "503 5.5.2 Only one STARTTLS command can be issued"
            ))
            return
        self.wire.record.injected = self.wire.discard_buffer()
        reply = self.step("starttls", lambda: "220 2.0.0 SMTP server ready")
        if not reply.startswith("220"):
            return
        self.step("tls")
        self.wire.start_tls(self.tenant.tls_context(self.service))
        self.tls = True
        self.hello = ""
        self.transaction = None

    def do_auth(self, _: str) -> None:
        self.step("auth", self.unknown_mechanism)

    def unknown_mechanism(self) -> str:
        return (
            f"504 5.7.4 Unrecognized authentication type [{self.name}]"
        )

    # Envelope

    def do_mail(self, argument: str) -> None:
        self.step("mail", lambda: self.begin(argument))

    def begin(self, argument: str) -> str:
        """Obey MAIL."""
        if not self.hello:
            return self.no("503 5.5.2 Send hello first")
        refusal = self.refuse_client()
        if refusal:
            return refusal
        if self.transaction:
            return self.no("503 5.5.2 Sender already specified")
        try:
            sender, parameters = _parse_path("FROM", argument)
        except ValueError as error:
            return self.no(f"501 5.5.4 {error}")
        if sender and "@" not in sender:
            return self.no("501 5.1.7 Invalid address")
        if _number(parameters.get("SIZE")) > self.tenant.settings.size_limit:
            return self.no(
                "552 5.3.4 Message size exceeds fixed maximum message size"
            )
        self.transaction = Transaction(sender, parameters)
        return "250 2.1.0 Sender OK"

    def refuse_client(self) -> str:
        """Why this client may not say MAIL; "" if it may."""
        return ""

    def do_rcpt(self, argument: str) -> None:
        self.step("rcpt", lambda: self.add_recipient(argument))

    def add_recipient(self, argument: str) -> str:
        """Obey RCPT."""
        if not self.transaction:
            return self.no("503 5.5.2 Need mail command")
        try:
            recipient, parameters = _parse_path("TO", argument)
        except ValueError as error:
            return self.no(f"501 5.5.4 {error}")
        if "@" not in recipient:
            return self.no("501 5.1.3 Invalid address")
        reply = (
            self.tenant.scenario.reply_for(recipient)
            or self.refuse_recipient(recipient)
            or "250 2.1.5 Recipient OK"
        )
        if reply.startswith("2"):
            self.transaction.recipients.append(recipient)
            self.transaction.recipient_parameters.append(parameters)
        return reply

    def refuse_recipient(self, recipient: str) -> str:
        """Why a recipient is not accepted; "" if it is."""
        raise NotImplementedError

    def do_rset(self, _: str) -> None:
        self.step("rset", self.reset)

    def reset(self) -> str:
        self.transaction = None
        return "250 2.0.0 Resetting"

    def do_noop(self, _: str) -> None:
        self.step("noop", lambda: "250 2.0.0 OK")

    def do_quit(self, _: str) -> None:
        self.forget()
        self.step(
            "quit", lambda: "221 2.0.0 Service closing transmission channel"
        )
        self.leave()

    # Message

    def do_data(self, _: str) -> None:
        reply = self.step("data", self.start_data)
        if not reply.startswith("354"):
            return
        self.step("body")
        data = self.wire.until_dot()
        self.hear("body", f"({len(data)} octets and the dot)")
        if data.startswith(b"."):
            data = data[1:]
        self.transaction.chunks = [data.replace(b"\r\n.", b"\r\n")]
        self.step("final", lambda: self.finish("DATA"))
        self.transaction = None

    def start_data(self) -> str:
        if not self.transaction:
            return self.no("503 5.5.2 Need mail command")
        if not self.transaction.recipients:
            return self.no("503 5.5.2 Need rcpt command")
        binary = self.transaction.parameters.get("BODY") == "BINARYMIME"
        if self.transaction.chunks or binary:
            return self.no("503 5.5.2 Bad sequence of commands")
        return "354 Start mail input; end with <CRLF>.<CRLF>"

    def do_bdat(self, argument: str) -> None:
        match = re.fullmatch(r"(\d{1,10})( +LAST)?", argument, re.I)
        if not match:
            self.step("bdat", lambda: self.no("501 5.5.4 Invalid arguments"))
            return
        size, last = int(match[1]), bool(match[2])
        self.step("body")
        chunk = self.wire.exactly(size)
        self.hear("body", f"({size} octets)")
        if not self.transaction or not self.transaction.recipients:
            self.step("bdat", self.refuse_chunk)
            self.transaction = None
            return
        self.transaction.chunks.append(chunk)
        if last:
            self.step("final", lambda: self.finish("BDAT"))
            self.transaction = None
            return
        reply = self.step(
            "bdat", lambda: f"250 2.6.0 CHUNK received OK, {size} octets"
        )
        if not reply.startswith("2"):
            self.transaction = None

    def refuse_chunk(self) -> str:
        need = "rcpt" if self.transaction else "mail"
        return self.no(f"503 5.5.2 Need {need} command")

    def finish(self, via: str) -> str:
        """Accept or refuse the message that is complete now."""
        envelope = self.transaction
        raw = b"".join(envelope.chunks)
        refusal = self.refuse_message(raw)
        if refusal:
            return refusal
        message = Message(
            service=self.service,
            connection=self.wire.record.number,
            sender=envelope.sender,
            recipients=envelope.recipients,
            parameters=envelope.parameters,
            recipient_parameters=envelope.recipient_parameters,
            raw=raw,
            via=via,
            chunks=[len(chunk) for chunk in envelope.chunks],
            user=self.mailbox.address if self.mailbox else "",
            mechanism=self.mechanism,
            tls=self.tls,
            hello=self.hello,
        )
        message.reply = self.acceptance(message)
        self.tenant.journal.message(message)
        return message.reply

    def refuse_message(self, raw: bytes) -> str:
        """Why a complete message is refused; "" if it is not."""
        if len(raw) > self.tenant.settings.size_limit:
            return self.no(
                "552 5.3.4 Message size exceeds fixed maximum message size"
            )
        if len(split_message(raw)[0]) > self.tenant.settings.header_limit:
            return self.no(
                "552 5.3.4 Header size exceeds fixed maximum size"
            )
        return self.refuse_author(parse_header(raw))

    def refuse_author(self, header: email.message.Message) -> str:
        """Why the From field is refused; "" if it is not."""
        authors = authors_of(header)
        if not authors or not all("@" in author for author in authors):
            return (
                "550 5.7.512 Access denied, message must be RFC 5322 section "
                "3.6.2 compliant and include a valid From address "
                f"[Hostname={STORE}]"
            )
        if len(authors) > 1 and not header["Sender"]:
            return (
                "550 5.1.20 Multiple From addresses are not allowed without "
                f"Sender address [Hostname={STORE}]"
            )
        return ""

    def acceptance(self, message: Message) -> str:
        """The final 250."""
        raise NotImplementedError


def _parse_path(verb: str, argument: str) -> Tuple[str, Dict[str, str]]:
    """Parse `FROM:<a@b> KEY=VALUE`; ValueError holds Exchange's text."""
    match = _PATH.fullmatch(argument)
    if not match or match[1].upper() != verb:
        raise ValueError("Invalid arguments")
    parameters = {}
    for word in match[4].split():
        key, _, value = word.partition("=")
        if key.upper() not in _PARAMETERS[verb]:
            raise ValueError("Unrecognized parameter")
        parameters[key.upper()] = value
    address = match[3] if match[2] is None else match[2]
    return address, parameters


def _number(text: Optional[str]) -> int:
    return int(text) if text and text.isdecimal() else 0


def parse_header(raw: bytes) -> email.message.Message:
    """The header of a message, as text may be UTF-8."""
    text = split_message(raw)[0].decode("utf-8", "surrogateescape")
    return email.parser.HeaderParser().parsestr(text)


def authors_of(header: email.message.Message) -> List[str]:
    """The addresses of all From fields."""
    fields = header.get_all("From", [])
    return [address for _, address in email.utils.getaddresses(fields)]
