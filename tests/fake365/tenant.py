"""The whole tenant: servers, accounts, certificates, and a configuration
of sendmail365 that fits them."""

import itertools
import os
import ssl
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional

from .certs import Certificates
from .costumes import COSTUMES
from .directory import ALERTS, Directory
from .entra import TokenConnection
from .exchange import Mx
from .listener import Listener
from .records import Connection, Journal, Line, Message, TokenRequest
from .scenario import Scenario
from .wire import context_for

_PATIENCE = 60  # seconds that a test waits for what will come


@dataclass
class Settings:
    """What can be changed while the tenant runs."""

    submission_certificate: str = "good"  # kinds, see certs.KINDS
    mx_certificate: str = "good"
    entra_certificate: str = "good"
    tls_version: Optional[str] = None  # exactly "1.1", "1.2" or "1.3"
    tarpit: float = 0.0  # seconds before a negative reply; Exchange: 5
    size_limit: int = 157286400  # announced as SIZE
    header_limit: int = 262144
    auth_line_limit: Optional[int] = None  # octets of the AUTH command
    mechanisms: Optional[List[str]] = None  # of AUTH; None: as it comes
    basic_authentication: bool = True  # whether a password can succeed
    reject_direct_send: bool = False  # 550 5.7.68 at the MX
    token_lifetime: int = 3599  # expires_in
    token_length: int = 1600  # octets


class Tenant:
    """A Microsoft 365 tenant on 127.0.0.1; use it as a context manager.

    `costume`, one of COSTUMES, is what its submission host looks like.
    `mailboxes` maps addresses to the options of directory.Mailbox; further
    keywords are those of Settings.
    """

    def __init__(
        self,
        directory: Optional[str] = None,
        *,
        costume: str = "exchange",
        mailboxes: Optional[Dict[str, dict]] = None,
        scenario: Optional[Scenario] = None,
        domain: str = "contoso.example",
        tenant_id: str = "aaaabbbb-0000-cccc-1111-dddd2222eeee",
        client_id: str = "11111111-2222-3333-4444-555555555555",
        client_secret: str = "s3cr3t~of+the/app=",
        expired_secret: str = "0ld~s3cr3t+of/the=app",
        names: Iterable[str] = (),
        **settings: Any,
    ):
        self.face = COSTUMES[costume]
        self.settings = Settings(**settings)
        self.scenario = scenario or Scenario()
        self.domain = domain
        self.tenant_id = tenant_id
        self.client_id = client_id
        self.client_secret = client_secret
        self.expired_secret = expired_secret
        if mailboxes is None:
            mailboxes = {ALERTS: self.face.default_mailbox(self)}
        self.directory = Directory(mailboxes)
        self.journal = Journal()
        self._temporary = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="fake365-")
            directory = self._temporary.name
        self.path = Path(directory)
        mx = domain.replace(".", "-") + ".mail.protection.outlook.com"
        self._certificates = Certificates(directory, [mx, *names])
        self.ca_file = self._certificates.ca_file
        self._contexts: Dict[tuple, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._stopping = threading.Event()
        self._submission = Listener("smtp", lambda s: self.face(s, self))
        self._mx = Listener("mx", lambda s: Mx(s, self))
        self._entra = Listener("entra", lambda s: TokenConnection(s, self))
        self.smtp_port = self._submission.port
        self.mx_port = self._mx.port
        self.entra_port = self._entra.port
        self.authority = f"https://localhost:{self.entra_port}"

    # Life

    def start(self) -> None:
        """Accept connections."""
        for listener in self._submission, self._mx, self._entra:
            listener.start()

    def stop(self) -> None:
        """End everything, also what is stalled."""
        self._stopping.set()
        for listener in self._submission, self._mx, self._entra:
            listener.stop()
        if self._temporary:
            self._temporary.cleanup()

    def __enter__(self) -> "Tenant":
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    # What it has seen

    @property
    def messages(self) -> List[Message]:
        """The messages accepted, in order."""
        return self.journal.messages

    @property
    def transcript(self) -> List[Line]:
        """Every line of every SMTP dialogue, secrets included."""
        return self.journal.transcript

    @property
    def token_requests(self) -> List[TokenRequest]:
        """The requests to the token endpoint."""
        return self.journal.token_requests

    @property
    def connections(self) -> List[Connection]:
        """The connections to all services, in order."""
        return self.journal.connections

    def dialogue(self, service: str = "submission") -> List[str]:
        """The transcript of a service as "C: ..." and "S: ..." lines."""
        return [
            f"{line.direction}: {line.text}"
            for line in self.transcript
            if line.service == service
        ]

    def wait_for(
        self, condition: Callable[[], bool], timeout: float = _PATIENCE
    ) -> bool:
        """Wait until a condition on the above holds; False: too late."""
        return self.journal.wait_for(condition, timeout)

    def wait_for_messages(
        self, count: int, timeout: float = _PATIENCE
    ) -> bool:
        """Wait until so many messages have been accepted."""
        return self.wait_for(lambda: len(self.messages) >= count, timeout)

    def revoke_tokens(self) -> None:
        """Make every token issued so far worthless: AUTH gets 535."""
        self.directory.revoke_tokens()

    # What the servers ask for

    @property
    def mechanisms(self) -> List[str]:
        """The mechanisms that the submission host offers."""
        wanted = self.settings.mechanisms
        return list(self.face.offered) if wanted is None else wanted

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the tenant."""
        self._stopping.wait(seconds)

    def hold(self, event: threading.Event) -> None:
        """Wait for an event, but not beyond the end of the tenant."""
        while not event.wait(0.02) and not self._stopping.is_set():
            pass

    def next_number(self) -> int:
        """A number not given before."""
        return next(self._numbers)

    def tls_context(self, service: str) -> ssl.SSLContext:
        """The context for a service; kept, so that sessions can resume."""
        kind = getattr(self.settings, f"{service}_certificate")
        version = self.settings.tls_version
        with self._lock:
            wanted = service, kind, version
            if wanted not in self._contexts:
                files = self._certificates.get(kind)
                self._contexts[wanted] = context_for(*files, version)
            return self._contexts[wanted]

    # The configuration of the client

    def config(
        self,
        login: bool = False,
        sections: Optional[Mapping[str, Mapping[str, Any]]] = None,
        **account: Any,
    ) -> str:
        """The text of a sendmail365.conf for this tenant.

        `login`: with a password, where a token would do. `account` adds or
        replaces keys of [account], `sections` whole sections or keys in
        them (`login`, too). None removes a key; a list repeats it.
        """
        wanted = {"account": self.account(login, **account)}
        for name, keys in (sections or {}).items():
            wanted[name] = {**wanted.get(name, {}), **keys}
        return "\n".join(
            _section(name, keys) for name, keys in wanted.items()
        )

    def write_config(
        self, directory: Any, login: bool = False, **overrides: Any
    ) -> str:
        """Write sendmail365.conf and its secret into a directory.

        Returns the path of the configuration; its state directory is
        `state` beside it, and so is `aliases`, an empty file, lest the
        machine's be read.
        """
        where = Path(directory)
        sections = dict(overrides.pop("sections", None) or {})
        service = {"state_directory": where / "state"}
        sections["service"] = {**service, **sections.get("service", {})}
        aliases = {"file": where / "aliases"}
        sections["aliases"] = {**aliases, **sections.get("aliases", {})}
        (where / "aliases").touch()
        secret, name = self.client_secret, "client-secret"
        if self._wants_password(login):
            user = overrides.get("user", self.account(login)["user"])
            secret, name = self.directory.mailbox(user).password, "password"
        _write_private(where / name, secret + "\n")
        path = where / "sendmail365.conf"
        _write_private(path, self.config(login, sections, **overrides))
        return str(path)

    def _wants_password(self, login: bool) -> bool:
        return login or "XOAUTH2" not in self.face.offered

    def account(self, login: bool = False, **keys: Any) -> Dict[str, Any]:
        """The keys of an [account] that signs in here; `keys` override."""
        mailbox = next(iter(self.directory.mailboxes.values()))
        common = {
            "user": mailbox.address,
            "host": "localhost",
            "port": self.smtp_port,
            "ca_file": self.ca_file,
            # Tests send more than a mailbox may.
            "messages_per_minute": 10000,
            "recipients_per_day": 1000000,
        }
        if not self.mechanisms:
            return {**common, "auth": "none", **keys}
        if self._wants_password(login):
            name = {"login": mailbox.login} if mailbox.login else {}
            return {**common, **name, "password_file": "password", **keys}
        cloud = {"cloud": self.face.cloud} if self.face.cloud else {}
        return {
            **common,
            **cloud,
            "tenant": self.domain,
            "client_id": self.client_id,
            "client_secret_file": "client-secret",
            "authority": self.authority,
            **keys,
        }


def _section(name: str, keys: Mapping[str, Any]) -> str:
    lines = [f"[{name}]"]
    for key, value in keys.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        lines += [f"{key} = {one}" for one in values if one is not None]
    return "\n".join(lines) + "\n"


def _write_private(path: Path, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
