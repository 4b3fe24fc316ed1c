"""The tenant's accounts: mailboxes, the application, and its tokens."""

import base64
import collections
import json
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Deque, Dict, List, Optional, Tuple

ALERTS = "alerts@contoso.example"
PASSWORD = "Pa55-w0rd, of course"
AUDIENCE = "https://outlook.office365.com"
SCOPE = AUDIENCE + "/.default"
_SIGNATURE = 342  # characters of an RSA-2048 signature


@dataclass
class Mailbox:
    """A mailbox and what it may do; limits as Exchange's defaults."""

    address: str
    password: Optional[str] = None  # None: signs in with tokens only
    login: str = ""  # the user name beside the password; "": the address
    send_as: List[str] = field(default_factory=list)  # or "@domain"
    recipient_limit: int = 500  # above: 550 5.5.3
    recipients_at_once: Optional[int] = None  # above: 452 4.5.3
    connection_limit: int = 3  # above: 432 4.3.2
    #: messages in so many seconds, any that long; above: 550 5.2.2
    rate: Optional[Tuple[int, float]] = None
    send_limit: Optional[int] = None  # octets; above: 554 5.2.0
    smtp_auth_disabled: str = ""  # "Tenant" or "Mailbox": 535 5.7.139

    @property
    def login_name(self) -> str:
        return self.login or self.address

    def may_send_as(self, address: str) -> bool:
        """Whether this mailbox may use an address as its sender."""
        address = address.lower()
        domain = "@" + address.rpartition("@")[2]
        allowed = {self.address.lower(), *map(str.lower, self.send_as)}
        return address in allowed or domain in allowed


@dataclass
class Token:
    """An access token which was issued."""

    text: str
    audience: str
    expires: float
    revoked: bool = False

    @property
    def remaining(self) -> float:
        return 0 if self.revoked else self.expires - time.time()


class Directory:
    """Mailboxes, and the tokens issued; who is connected as whom."""

    def __init__(self, mailboxes: Dict[str, dict]):
        self._lock = threading.Lock()
        self._tokens: Dict[str, Token] = {}
        self._present: Dict[str, List[object]] = {}
        self._sent: Dict[str, Deque[float]] = {}
        self.mailboxes = {
            address.lower(): Mailbox(address, **options)
            for address, options in mailboxes.items()
        }

    def mailbox(self, address: str) -> Optional[Mailbox]:
        return self.mailboxes.get(address.lower())

    def sign_in(self, user: str, password: str) -> Optional[Mailbox]:
        """The mailbox that a user name and a password stand for."""
        for mailbox in self.mailboxes.values():
            if mailbox.login_name.lower() == user.lower():
                return mailbox if mailbox.password == password else None
        return None

    def issue(
        self, audience: str, tenant_id: str, client_id: str, lifetime: int,
        length: int,
    ) -> Token:  # fmt: skip
        """Issue and remember an access token."""
        text = _jwt(audience, tenant_id, client_id, lifetime, length)
        token = Token(text, audience, time.time() + lifetime)
        with self._lock:
            self._tokens[text] = token
        return token

    def token(self, text: str) -> Optional[Token]:
        """Find an issued token, valid or not."""
        with self._lock:
            return self._tokens.get(text)

    @property
    def tokens(self) -> List[str]:
        """All tokens ever issued, oldest first."""
        with self._lock:
            return list(self._tokens)

    def revoke_tokens(self) -> None:
        """Make every token issued so far worthless."""
        with self._lock:
            for token in self._tokens.values():
                token.revoked = True

    def enter(self, mailbox: Mailbox, session: object) -> None:
        """Count a session among those of its mailbox."""
        with self._lock:
            self._present.setdefault(mailbox.address, []).append(session)

    def leave(self, mailbox: Mailbox, session: object) -> None:
        """Undo `enter`; harmless if it has been undone before."""
        with self._lock:
            sessions = self._present.get(mailbox.address, [])
            if session in sessions:
                sessions.remove(session)

    def is_one_too_many(self, mailbox: Mailbox, session: object) -> bool:
        """Whether older sessions use up the mailbox's connections."""
        with self._lock:
            place = self._present[mailbox.address].index(session)
            return place >= mailbox.connection_limit

    def is_too_fast(self, mailbox: Mailbox) -> bool:
        """Count a message, unless it is above the mailbox's rate."""
        if mailbox.rate is None:
            return False
        count, seconds = mailbox.rate
        now = time.monotonic()
        with self._lock:
            sent = self._sent.setdefault(
                mailbox.address, collections.deque(maxlen=count)
            )
            if len(sent) == count and now - sent[0] < seconds:
                return True
            sent.append(now)
            return False


def _jwt(
    audience: str, tenant_id: str, client_id: str, lifetime: int, length: int
) -> str:
    """Make what looks like an app-only token, of `length` octets."""
    now = int(time.time())
    header = {"typ": "JWT", "alg": "RS256", "kid": secrets.token_urlsafe(20)}
    claims = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{tenant_id}/",
        "iat": now,
        "nbf": now,
        "exp": now + lifetime,
        "appid": client_id,
        "appidacr": "1",
        "idtyp": "app",
        "oid": "99999999-8888-7777-6666-555555555555",
        "tid": tenant_id,
        "roles": ["SMTP.SendAsApp"],
        "uti": secrets.token_urlsafe(16),
        "wids": [],
    }
    while True:
        signed = f"{_part(header)}.{_part(claims)}."
        missing = length - len(signed)
        if missing < _SIGNATURE + 60:
            filler = max(missing, _SIGNATURE)
            return signed + secrets.token_urlsafe(filler)[:filler]
        claims["wids"] += [
            str(uuid.uuid4())
            for _ in range(max(1, (missing - _SIGNATURE) // 60))
        ]


def _part(value: dict) -> str:
    text = json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
