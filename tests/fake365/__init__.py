"""A stand-in Microsoft 365 tenant for the tests of sendmail365."""

from .certs import KINDS, Certificates, make_certs
from .costumes import COSTUMES
from .directory import ALERTS, AUDIENCE, PASSWORD, SCOPE, Mailbox
from .dns import BEHAVIOURS, Dns, Question
from .proxy import Proxy, ProxyConnection
from .records import Connection, Line, Message, TokenRequest
from .scenario import Rule, Scenario
from .tenant import Settings, Tenant

__all__ = [
    "ALERTS",
    "AUDIENCE",
    "BEHAVIOURS",
    "COSTUMES",
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
