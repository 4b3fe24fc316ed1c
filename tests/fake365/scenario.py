"""What the tenant is to do wrong, when, and how often.

A scenario is a list of rules, each of which says: in this phase, at its
n-th occurrence, do that instead of the ordinary thing.

    Scenario(
        Rule("auth", "reply", "454 4.7.0 Temporary authentication failure",
             nth=1),
        Rule("final", "stall"),
        drop_capability={"CHUNKING"},
        recipients={"gone@fabrikam.example": "550 5.1.10 no such user"},
    )
"""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Optional

#: Phases of an SMTP dialogue. `connect` is before the banner; `tls` is
#: before the handshake; `ehlo2` is the EHLO under TLS; `auth-continue` is
#: the answer to what the client sent after a 334; `body` is before the
#: octets of a message are read (DATA or BDAT); `final` is the answer to
#: the dot or to the last BDAT, `bdat` that to the others.
SMTP_PHASES = (
    "connect", "banner", "ehlo", "starttls", "tls", "ehlo2", "auth",
    "auth-continue", "mail", "rcpt", "data", "bdat", "body", "final",
    "rset", "noop", "quit", "other",
)  # fmt: skip

#: Phases of a request to the token endpoint.
TOKEN_PHASES = ("token-connect", "token-tls", "token")

#: action -> what it does and what its argument is
SMTP_ACTIONS = {
    "reply": "answer with these lines (2xx, 3xx: do the work as well; "
             "421: then close)",
    "reply-close": "answer with these lines, then close",
    "then-close": "do the work, give the ordinary answer, then close",
    "lose": "do the work, but close before the answer",
    "mute": "do the work, but keep the answer to oneself",
    "raw": "send exactly these octets (Latin-1), do not do the work",
    "inject": "ordinary answer and these octets in one write",
    "stall": "never answer (phase body: after that many octets)",
    "close": "close (phase body: after that many octets)",
    "reset": "close with RST (phase body: after that many octets)",
    "garbage": "that many octets without a line end, then stall; "
               "'digits': answer with an impossible code",
    "long-line": "an answer with a line of that many octets (100 kB)",
    "endless-lines": "continuation lines until the client gives up",
    "nul": "an answer holding NUL, ESC and other controls; the "
           "argument is its code",
    "close-mid": "half an answer, then close",
    "delay": "wait that many seconds, then go on as usual",
    "hold": "wait for this threading.Event, then go on as usual",
}

TOKEN_ACTIONS = {
    "http": "answer {status, headers, body}",
    "error": "answer with this AADSTS number as Entra would",
    "redirect": "answer 302 to this URL",
    "oversized": "200 with a body without end",
    "not-json": "200 with an HTML page",
    "truncated": "200 with half of the JSON",
    "slow": "one octet of the body each that many seconds",
    "http10": "an HTTP/1.0 answer whose end is the end of the connection",
    "garbage": "octets which are not HTTP, then close",
    "stall": "never answer",
    "close": "close",
    "reset": "close with RST",
    "delay": "wait that many seconds, then go on as usual",
}


@dataclass(frozen=True)
class Rule:
    """In `phase`, at occurrences `nth` to `last`, do `action`.

    Occurrences are counted over the life of the scenario, from 1, and
    for each service apart. Without `nth` the rule holds always, with
    `nth` alone only then.
    """

    phase: str
    action: str
    argument: Any = None
    nth: Optional[int] = None
    last: Optional[int] = None
    service: Optional[str] = None  # "submission" or "mx"; None: both

    def __post_init__(self):
        actions = _actions_of(self.phase)
        if self.action not in actions:
            raise ValueError(f"no action {self.action!r} in {self.phase!r}")

    def applies(self, phase: str, service: str, occurrence: int) -> bool:
        """Whether the rule holds at this occurrence of a phase."""
        first = self.nth or 1
        last = self.last or self.nth or occurrence
        return (
            self.phase == phase
            and self.service in (None, service)
            and first <= occurrence <= last
        )


def _actions_of(phase: str) -> Iterable[str]:
    if phase in SMTP_PHASES:
        return SMTP_ACTIONS
    if phase == "token":
        return TOKEN_ACTIONS
    if phase in TOKEN_PHASES:
        return ("stall", "close", "reset", "garbage", "delay")
    raise ValueError(f"unknown phase {phase!r}")


class Scenario:
    """Rules, capabilities not offered, and answers for recipients.

    Where several rules hold, all delays and holds are served, then the first
    other rule counts.
    """

    CAPABILITIES = frozenset(
        "SIZE PIPELINING DSN ENHANCEDSTATUSCODES STARTTLS XOAUTH2 LOGIN "
        "PLAIN 8BITMIME BINARYMIME CHUNKING SMTPUTF8".split()
    )

    def __init__(
        self,
        *rules: Rule,
        drop_capability: Iterable[str] = (),
        recipients: Optional[Dict[str, str]] = None,
    ):
        self._lock = threading.Lock()
        self._rules = list(rules)
        self._seen: Counter = Counter()
        self.drop_capability = frozenset(drop_capability)
        unknown = self.drop_capability - self.CAPABILITIES
        if unknown:
            raise ValueError(f"unknown capability {sorted(unknown)}")
        self._recipients = {
            address.lower(): reply
            for address, reply in (recipients or {}).items()
        }

    @classmethod
    def from_json(cls, value: Dict[str, Any]) -> "Scenario":
        """Make one from {"rules": [{"phase": ...}], ...}."""
        options = dict(value)
        rules = [Rule(**rule) for rule in options.pop("rules", [])]
        return cls(*rules, **options)

    def add(self, rule: Rule) -> None:
        """Add a rule; occurrences before it have been counted, too."""
        with self._lock:
            self._rules.append(rule)

    def visit(self, phase: str, service: str) -> List[Rule]:
        """Count an occurrence of a phase; return the rules that hold."""
        with self._lock:
            self._seen[phase, service] += 1
            occurrence = self._seen[phase, service]
            return [
                rule
                for rule in self._rules
                if rule.applies(phase, service, occurrence)
            ]

    def occurrences(self, phase: str, service: str = "submission") -> int:
        """How often a phase has been reached."""
        with self._lock:
            return self._seen[phase, service]

    def reply_for(self, recipient: str) -> Optional[str]:
        """The reply that a recipient is to get, if it is a special one."""
        return self._recipients.get(recipient.lower())
