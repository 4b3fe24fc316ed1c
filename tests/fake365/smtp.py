"""The dialogue that all SMTP servers have in common.

What a server says (`words`) and whom it refuses is left to exchange.py,
costumes.py and relay.py.
"""

import datetime
import email.message
import email.parser
import email.utils
import re
import socket
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING, Any, Callable, Dict, List, NoReturn, Optional, Tuple,
)  # fmt: skip

from . import faults
from .directory import PASSWORD, Mailbox
from .records import Message, split_message
from .sasl import MECHANISMS, Credentials
from .wire import Gone, Wire

if TYPE_CHECKING:
    from .tenant import Tenant

_HELLO_NAME = re.compile(r"\[[^\]\s]+\]|[\w-]+(\.[\w-]+)*")
_PATH = re.compile(
    r'(FROM|TO):\s*(?:<((?:"(?:[^"\\]|\\.)*"|[^">])*)>|([^<\s]+))(.*)', re.I
)
_VERBS = {"FROM": "MAIL", "TO": "RCPT"}
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
    """One SMTP connection; the base of all servers."""

    service = ""
    name = ""  # what the server calls itself
    #: The EHLO lines in their order; under TLS AUTH takes the place of
    #: STARTTLS.
    extensions: Tuple[str, ...] = ()
    #: What it says. Those that begin with a digit are replies; {name},
    #: {peer}, {date}, {session} and {argument} are filled in.
    words: Dict[str, str] = {}

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
        refusal = handler and self.refuse_command(verb.upper())
        if refusal:
            self.step(self.phase_of(verb), lambda: refusal)
        elif handler:
            handler(argument.strip())
        else:
            self.step("other", lambda: self.word(
                "unknown-command", argument=verb[:40]
            ))

    def phase_of(self, verb: str) -> str:
        phase = verb.lower()
        if phase in ("ehlo", "helo"):
            return "ehlo2" if self.tls else "ehlo"
        return phase if verb.upper() in self._commands else "other"

    def lacks(self, verb: str) -> bool:
        """Whether a command belongs to a capability not offered."""
        needed = {"BDAT": "CHUNKING", "STARTTLS": "STARTTLS"}
        keyword = needed.get(verb.upper())
        return keyword is not None and not self.offers(keyword)

    def offers(self, keyword: str) -> bool:
        """Whether EHLO, before TLS or under it, names a capability."""
        dropped = self.tenant.scenario.drop_capability
        return keyword in self.extensions and keyword not in dropped

    def refuse_command(self, verb: str) -> str:
        """Why a command is refused before it is looked at; "": it is not."""
        return ""

    # Saying and hearing

    def step(self, phase: str, work: Callable[[], str] = lambda: "") -> str:
        """Pass one phase: as the scenario says, or else with `work`.

        Returns the reply that was given.
        """
        rules = self.tenant.scenario.visit(phase, self.service)
        for rule in rules:
            if rule.action == "delay":
                self.tenant.pause(float(rule.argument))
            if rule.action == "hold":
                self.tenant.hold(rule.argument)
        for rule in rules:
            if rule.action not in ("delay", "hold"):
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

    def word(self, key: str, **more: Any) -> str:
        """One of `words`, complete."""
        now = datetime.datetime.now(datetime.timezone.utc)
        text = self.words[key].format(
            name=self.name, peer=self.wire.record.peer,
            date=email.utils.format_datetime(now), session=self.session_id,
            **more,
        )  # fmt: skip
        return self.no(text) if text[0] in "45" else text

    def no(self, text: str) -> str:
        """Complete a negative reply."""
        return text

    def late_no(self, text: str) -> str:
        """A negative reply that is delayed."""
        self.tenant.pause(self.tenant.settings.tarpit)
        return self.no(text)

    @property
    def session_id(self) -> str:
        return f"08DE{self.wire.record.number:012X}"

    # Greeting and TLS

    def banner(self) -> str:
        return self.word("banner")

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
            return self.late_no(self.words["bad-hello"])
        self.hello = argument
        self.transaction = None
        lines = [self.word("hello"), *capabilities]
        return "\n".join(
            ["250-" + line for line in lines[:-1]] + ["250 " + lines[-1]]
        )

    def capabilities(self) -> List[str]:
        """The EHLO lines of now."""
        lines = {"SIZE": f"SIZE {self.tenant.settings.size_limit}"}
        if self.tls:
            lines["STARTTLS"] = self.authentication()
        offered = filter(self.offers, self.extensions)
        return [
            line for line in (lines.get(one, one) for one in offered) if line
        ]

    def authentication(self) -> str:
        """The AUTH line of the EHLO reply, if any."""
        mechanisms = self.mechanisms()
        return " ".join(["AUTH", *mechanisms]) if mechanisms else ""

    def mechanisms(self) -> List[str]:
        """What AUTH offers."""
        return []

    def do_starttls(self, _: str) -> None:
        if self.tls or not self.hello:
            key = "tls-twice" if self.hello else "hello-first"
            self.step("starttls", lambda: self.word(key))
            return
        self.wire.record.injected = self.wire.discard_buffer()
        reply = self.step("starttls", lambda: self.word("starttls"))
        if not reply.startswith("220"):
            return
        self.step("tls")
        self.wire.start_tls(self.tenant.tls_context(self.service))
        self.tls = True
        self.hello = ""
        self.transaction = None

    # AUTH

    def do_auth(self, argument: str) -> None:
        name, _, initial = argument.partition(" ")
        problem = self.auth_problem(name.upper(), argument)
        if problem:
            self.step("auth", lambda: problem)
            return
        phase, answer = "auth", None
        exchange = MECHANISMS[name.upper()](initial)
        while True:
            try:
                challenge = exchange.send(answer)
            except StopIteration as end:
                credentials = end.value
                break
            reply = self.step(phase, lambda: f"334 {challenge}")
            if not reply.startswith("334"):
                return
            phase, answer = "auth-continue", self.continuation()
            if answer == "*":
                self.step(phase, lambda: self.word("auth-cancelled"))
                return
        self.step(phase, lambda: self.sign_in(credentials))

    def auth_problem(self, mechanism: str, argument: str) -> str:
        """Why AUTH cannot begin; "" if it can."""
        limit = self.tenant.settings.auth_line_limit
        if limit and len("AUTH \r\n") + len(argument) > limit:
            return self.word("auth-too-long")
        if self.tls and not self.hello:
            return self.word("hello-first")
        offered = self.tls and mechanism in self.mechanisms()
        if not offered or mechanism not in MECHANISMS:
            return self.word("unknown-mechanism")
        return self.word("auth-twice") if self.mailbox else ""

    def continuation(self) -> str:
        """Read the client's answer to a 334."""
        text = self.wire.line().decode("ascii", "surrogateescape")
        self.hear("auth-continue", text.rstrip("\r\n"))
        return text.rstrip("\r\n")

    def sign_in(self, credentials: Credentials) -> str:
        """Judge credentials, and `admit` or refuse their owner."""
        raise NotImplementedError

    def admit(self, mailbox: Mailbox, credentials: Credentials) -> str:
        """Let somebody in."""
        self.mailbox = mailbox
        self.mechanism = credentials.mechanism
        self.wire.record.user = credentials.user
        self.tenant.directory.enter(mailbox, self)
        return self.word("auth-ok")

    # Envelope

    def do_mail(self, argument: str) -> None:
        self.step("mail", lambda: self.begin(argument))

    def begin(self, argument: str) -> str:
        """Obey MAIL."""
        if not self.hello:
            return self.word("hello-first")
        refusal = self.refuse_client()
        if refusal:
            return refusal
        if self.transaction:
            return self.word("mail-twice")
        try:
            sender, parameters = _parse_path("FROM", argument)
        except _BadPath as error:
            return self.word(error.key, argument=error.argument)
        if parameters.get("BODY") == "BINARYMIME" and not self.offers(
            "BINARYMIME"
        ):
            return self.word("bad-parameter", argument="BODY=BINARYMIME")
        if sender and "@" not in sender:
            return self.word("bad-sender", argument=sender)
        if _number(parameters.get("SIZE")) > self.tenant.settings.size_limit:
            return self.word("too-large")
        self.transaction = Transaction(sender, parameters)
        return self.word("mail-ok")

    def refuse_client(self) -> str:
        """Why this client may not say MAIL; "" if it may."""
        return ""

    def do_rcpt(self, argument: str) -> None:
        self.step("rcpt", lambda: self.add_recipient(argument))

    def add_recipient(self, argument: str) -> str:
        """Obey RCPT."""
        if not self.transaction:
            return self.word("need-mail")
        try:
            recipient, parameters = _parse_path("TO", argument)
        except _BadPath as error:
            return self.word(error.key, argument=error.argument)
        if "@" not in recipient:
            return self.word("bad-recipient", argument=recipient)
        reply = (
            self.tenant.scenario.reply_for(recipient)
            or self.refuse_recipient(recipient)
            or self.word("rcpt-ok")
        )
        if reply.startswith("2"):
            self.transaction.recipients.append(recipient)
            self.transaction.recipient_parameters.append(parameters)
        return reply

    def refuse_recipient(self, recipient: str) -> str:
        """Why a recipient is not accepted; "" if it is."""
        return ""

    def do_rset(self, _: str) -> None:
        self.step("rset", self.reset)

    def reset(self) -> str:
        self.transaction = None
        return self.word("reset")

    def do_noop(self, _: str) -> None:
        self.step("noop", lambda: self.word("noop"))

    def do_quit(self, _: str) -> None:
        self.forget()
        self.step("quit", lambda: self.word("quit"))
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
            return self.word("need-mail")
        if not self.transaction.recipients:
            return self.word("need-rcpt")
        binary = self.transaction.parameters.get("BODY") == "BINARYMIME"
        if self.transaction.chunks or binary:
            return self.word("bad-sequence")
        return self.word("data")

    def do_bdat(self, argument: str) -> None:
        match = re.fullmatch(r"(\d{1,10})( +LAST)?", argument, re.I)
        if not match:
            self.step("bdat", lambda: self.word("bad-bdat"))
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
        reply = self.step("bdat", lambda: self.word("chunk", argument=size))
        if not reply.startswith("2"):
            self.transaction = None

    def refuse_chunk(self) -> str:
        return self.word("need-rcpt" if self.transaction else "need-mail")

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
            user=self.wire.record.user,
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
            return self.word("too-large")
        if len(split_message(raw)[0]) > self.tenant.settings.header_limit:
            return self.word("header-too-large")
        return ""

    def acceptance(self, message: Message) -> str:
        """The final 250."""
        raise NotImplementedError


class Host(Session):
    """A server that a client can be configured for, and can sign in to."""

    service = "submission"
    #: What AUTH offers, unless Settings.mechanisms says otherwise.
    offered: Tuple[str, ...] = ()
    cloud = ""  # [account] cloud in the client's configuration

    @staticmethod
    def default_mailbox(_: "Tenant") -> Dict[str, Any]:
        """Options of the one account of a tenant that is given none."""
        return {"password": PASSWORD}

    def mechanisms(self) -> List[str]:
        dropped = self.tenant.scenario.drop_capability
        return [one for one in self.tenant.mechanisms if one not in dropped]


class _BadPath(Exception):
    """MAIL or RCPT cannot be understood; `key` is one of Session.words."""

    def __init__(self, key: str, argument: str):
        super().__init__(key)
        self.key = key
        self.argument = argument


def _parse_path(verb: str, argument: str) -> Tuple[str, Dict[str, str]]:
    """Parse `FROM:<a@b> KEY=VALUE`."""
    match = _PATH.fullmatch(argument)
    if not match or match[1].upper() != verb:
        raise _BadPath("bad-path", f"{_VERBS[verb]} {verb}")
    parameters = {}
    for word in match[4].split():
        key, _, value = word.partition("=")
        if key.upper() not in _PARAMETERS[verb]:
            raise _BadPath("bad-parameter", word)
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
