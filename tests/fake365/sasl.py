"""The server's side of the SASL mechanisms, as they travel over SMTP.

Each is a generator, begun with the client's initial response ("": none):
it yields a challenge, is sent the answer, both in base64, and returns the
credentials.
"""

import base64
import binascii
import re
from typing import Callable, Dict, Generator, NamedTuple

_USERNAME = base64.b64encode(b"Username:").decode()
_PASSWORD = base64.b64encode(b"Password:").decode()
_XOAUTH2 = re.compile(r"user=([^\x01]*)\x01auth=Bearer ([^\x01]+)\x01\x01")
_PLAIN = re.compile(r"([^\0]*)\0([^\0]+)\0([^\0]+)")


class Credentials(NamedTuple):
    """Who somebody claims to be; both "" if that was malformed."""

    mechanism: str
    user: str
    secret: str  # the password or the token


Exchange = Generator[str, str, Credentials]


def _login(initial: str) -> Exchange:
    user = initial or (yield _USERNAME)
    password = yield _PASSWORD
    return Credentials("LOGIN", _decode(user), _decode(password))


def _plain(initial: str) -> Exchange:
    match = _PLAIN.fullmatch(_decode(initial or (yield "")))
    # An identity to act for (RFC 4616) is nothing that a relay grants.
    if not match or match[1]:
        return Credentials("PLAIN", "", "")
    return Credentials("PLAIN", match[2], match[3])


def _xoauth2(initial: str) -> Exchange:
    match = _XOAUTH2.fullmatch(_decode(initial or (yield "")))
    return Credentials("XOAUTH2", *(match.groups() if match else ("", "")))


#: What a server can do if it offers it.
MECHANISMS: Dict[str, Callable[[str], Exchange]] = {
    "LOGIN": _login,
    "PLAIN": _plain,
    "XOAUTH2": _xoauth2,
}


def _decode(encoded: str) -> str:
    """Decode base64 strictly; "" if it is none."""
    try:
        octets = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return ""
    return octets.decode("utf-8", "surrogateescape")
