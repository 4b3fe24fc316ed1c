"""A stand-in Microsoft 365 tenant for the tests of sendmail365."""

from .certs import KINDS, Certificates, make_certs
from .directory import AUDIENCE, SCOPE, Mailbox
from .dns import BEHAVIOURS, Dns, Question
from .proxy import Proxy, ProxyConnection
from .records import Connection, Line, Message, TokenRequest
from .scenario import Rule, Scenario
from .tenant import ALERTS, PASSWORD, Settings, Tenant

__all__ = [
    "ALERTS",
    "AUDIENCE",
    "BEHAVIOURS",
    "Certificates",
    "Connection",
    "Dns",
    "KINDS",
    "Line",
    "Mailbox",
    "Message",
    "PASSWORD",
    "Proxy",
    "ProxyConnection",
    "Question",
    "Rule",
    "SCOPE",
    "Scenario",
    "Settings",
    "Tenant",
    "TokenRequest",
    "make_certs",
]
