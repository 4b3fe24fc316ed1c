"""How each action of a scenario is done in an SMTP dialogue.

Every function takes the session, the phase, the argument of the rule and
the ordinary work, which returns the ordinary reply; it returns the reply
that was given, or "" if the dialogue cannot go on in the usual way.
"""

import random
from typing import TYPE_CHECKING, Any, Callable, Dict

from .scenario import Rule

if TYPE_CHECKING:
    from .smtp import Session

Work = Callable[[], str]

_CODES = {
    "connect": "220", "banner": "220", "starttls": "220", "auth": "235",
    "auth-continue": "235", "data": "354", "quit": "221",
}  # fmt: skip
_INJECTED = "250-PIPELINING\r\n250 AUTH LOGIN PLAIN XOAUTH2\r\n"
_CONTROLS = "one\0two \x1b]0;owned\x07\x1b[31mred\x1b[0m \x08\x7f\x9b31m"


def play(rule: Rule, session: "Session", phase: str, work: Work) -> str:
    """Do what a rule says."""
    return _PLAYERS[rule.action](session, phase, rule.argument, work)


def _reply(session: "Session", phase: str, text: str, work: Work) -> str:
    if text[:1] in ("2", "3"):
        work()
    session.say(phase, text)
    if text.startswith("421"):
        session.leave()
    return text


def _reply_close(session: "Session", phase: str, text: str, work: Work) -> str:
    _reply(session, phase, text, work)
    session.leave()


def _then_close(session: "Session", phase: str, _: Any, work: Work) -> str:
    session.say(phase, work())
    session.leave()


def _lose(session: "Session", phase: str, _: Any, work: Work) -> str:
    work()
    session.wire.drop()


def _mute(session: "Session", phase: str, _: Any, work: Work) -> str:
    return work()


def _raw(session: "Session", phase: str, text: str, _: Work) -> str:
    session.say_octets(phase, text.encode("latin-1"))
    return ""


def _inject(session: "Session", phase: str, text: Any, work: Work) -> str:
    reply = work()
    extra = (text or _INJECTED).encode("latin-1")
    session.say(phase, reply, extra)
    return reply


def _stall(session: "Session", phase: str, octets: Any, _: Work) -> str:
    session.swallow(octets)
    session.wire.stall()


def _close(session: "Session", phase: str, octets: Any, _: Work) -> str:
    session.swallow(octets)
    session.wire.drop()


def _reset(session: "Session", phase: str, octets: Any, _: Work) -> str:
    session.swallow(octets)
    session.wire.reset()


def _garbage(session: "Session", phase: str, kind: Any, _: Work) -> str:
    if kind == "digits":
        session.say(phase, "2:0 4.294967297.0 no such code")
        return ""
    noise = random.Random(365).choices(
        [octet for octet in range(256) if octet not in (10, 13)],
        k=int(kind or 65536),
    )
    session.say_octets(phase, bytes(noise))
    session.wire.stall()


def _long_line(session: "Session", phase: str, size: Any, _: Work) -> str:
    session.say(phase, _code(phase) + " " + "x" * int(size or 100_000))
    return ""


def _endless_lines(session: "Session", phase: str, _: Any, __: Work) -> str:
    line = f"{_code(phase)}-and one more line\r\n".encode()
    session.say_octets(phase, line)
    while True:
        session.wire.send(line * 1000)


def _nul(session: "Session", phase: str, code: Any, _: Work) -> str:
    text = f"{code or _code(phase)} {_CONTROLS}\r\n"
    session.say_octets(phase, text.encode("latin-1"))
    return ""


def _close_mid(session: "Session", phase: str, _: Any, __: Work) -> str:
    session.say_octets(phase, f"{_code(phase)}-half an answ".encode())
    session.leave()


def _code(phase: str) -> str:
    """The code of success: what a careless client would go on with."""
    return _CODES.get(phase, "250")


_PLAYERS: Dict[str, Callable[["Session", str, Any, Work], str]] = {
    "reply": _reply,
    "reply-close": _reply_close,
    "then-close": _then_close,
    "lose": _lose,
    "mute": _mute,
    "raw": _raw,
    "inject": _inject,
    "stall": _stall,
    "close": _close,
    "reset": _reset,
    "garbage": _garbage,
    "long-line": _long_line,
    "endless-lines": _endless_lines,
    "nul": _nul,
    "close-mid": _close_mid,
}
