"""Direct Send: the way to the tenant's MX, and all that can be in it.

The submission host is always down here, unless a test says otherwise: what
arrives has come through the MX, or has waited.
"""
import re
import select
import socket
import time

import pytest

from fake365 import ALERTS, KINDS, PASSWORD, Question, Rule
from support import (
    BOSS, COLLEAGUE, MESSAGE, OUTSIDER, STALL, STUCK, assert_fatal,
    assert_sent, finish,
)
from support_direct import (
    CLOSED, NO_SIGN_IN, connections, copies, kept, let_time_pass,
    line_of, received, send, set_up, words,
)
from support_dns import UNSHARE, why_not
from test_secrets import secrets_of

DOMAIN = "contoso.example"
OTHER_DOMAIN = "fabrikam.example"
EXCHANGE = "contoso-example.mail.protection.outlook.com"
SECOND = "second.mail.protection.outlook.com"
THIRD = "contoso-example.k-v1.mx.microsoft"
ALIVE = [("A", "127.0.0.1")]
DEAD = [("A", "127.0.0.2")]

MX = "mx"
slow = pytest.mark.slow


def at(phase, action, argument=None, **when):
    """A rule for the MX only."""
    return Rule(phase, action, argument, service=MX, **when)


def in_turn(phase, reply, count=1):
    """The first `count` connections that come so far get this reply."""
    return at(phase, "reply", reply, nth=1, last=count)


@pytest.fixture
def direct(given, dead_port):
    """Make programs whose [direct_send] has `keys`; mx is localhost."""
    def make(*rules, keys=None, login=True, stalls=False, **options):
        account = {"timeout": STALL} if stalls else {}
        return set_up(given(*rules, **options), login=login, port=dead_port,
                      direct=keys, **account)
    return make


@pytest.fixture
def by_dns(direct, resolver):
    """The same with the MX in DNS: `hosts` are (preference, name, records)."""
    def make(*rules, hosts=((10, EXCHANGE, ALIVE),), keys=None, names=None,
             **options):
        resolver.dns.records[DOMAIN] = [
            ("MX", preference, name) for preference, name, _ in hosts]
        resolver.dns.records.update(
            {name: records for _, name, records in hosts if records})
        mail = direct(*rules, keys={"mx": None, **(keys or {})},
                      names=names or [name for _, name, _ in hosts], **options)
        mail.prefix = resolver.prefix
        return mail
    return make


def contacted(tenant):
    """The names by which the MX was addressed, in order."""
    return [c.server_name for c in tenant.connections if c.service == MX]


def said(tenant, *verbs):
    """The commands of these verbs that the MX has got."""
    return [line[3:] for line in tenant.dialogue(MX)
            if line.startswith(tuple(f"C: {verb}" for verb in verbs))]


def assert_nothing_told(tenant):
    """The MX knows neither the sender, nor a recipient, nor the message."""
    assert said(tenant, "MAIL", "RCPT", "DATA", "BDAT", "AUTH") == []
    assert tenant.messages == []


# ---- the MX in DNS ----

def test_mx_of_the_recipient_s_domain(by_dns, resolver):
    mail = by_dns()
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert received(mail.tenant) == [(MX, [BOSS])]
    assert contacted(mail.tenant) == [EXCHANGE]
    assert resolver.questions == [
        f"MX {DOMAIN}", f"A {EXCHANGE}", f"AAAA {EXCHANGE}"]


def test_name_of_the_mx_is_never_made_up(by_dns, resolver):
    mail = by_dns(hosts=[(0, THIRD, ALIVE)])
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == [THIRD]
    assert not [q for q in resolver.questions if EXCHANGE in q]


def test_dns_is_not_asked_where_submission_works(by_dns, resolver):
    mail = by_dns()
    set_up(mail, direct={"mx": None})
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert received(mail.tenant) == [("submission", [BOSS])]
    assert resolver.questions == []


def test_preference_decides(by_dns):
    mail = by_dns(hosts=[
        (20, SECOND, ALIVE), (5, THIRD, ALIVE), (10, EXCHANGE, ALIVE)])
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == [THIRD]


THREE = [(10, SECOND, ALIVE), (5, EXCHANGE, ALIVE), (300, THIRD, ALIVE)]
IN_ORDER = [EXCHANGE, SECOND, THIRD]


@pytest.mark.parametrize("phase, action, argument", [
    ("ehlo2", "reply", "421 4.3.2 Service not available"),
    ("mail", "reply", "421 4.3.2 going down"),
    ("rcpt", "reply", "421 4.3.2 going down"),
    ("rcpt", "reply", "451 4.7.500 Access denied, please try again later"),
    ("final", "reply", "421 4.3.2 going down"),
    ("ehlo2", "close", None),
    ("ehlo2", "garbage", "digits"),
])
def test_next_host_does_what_one_cannot(by_dns, phase, action, argument):
    mail = by_dns(at(phase, action, argument, nth=1), hosts=THREE)
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == IN_ORDER[:2]
    assert copies(mail.tenant) == {BOSS: 1}


def test_all_hosts_are_tried_once(by_dns):
    mail = by_dns(at("ehlo2", "reply", "421 4.3.2 no"), hosts=THREE)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, THIRD, "421 4.3.2")
    assert contacted(mail.tenant) == IN_ORDER
    assert kept(mail, CLOSED) == []


@pytest.mark.parametrize("first", [
    (0, SECOND, DEAD), (0, SECOND, None), (0, "nobody.mx.microsoft", ALIVE),
], ids=["refuses", "no-address", "other-name-in-the-certificate"])
def test_first_host_is_dead(by_dns, first):
    mail = by_dns(hosts=[first, (10, EXCHANGE, ALIVE)], names=[EXCHANGE])
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant)[-1] == EXCHANGE
    assert kept(mail, CLOSED) == []


def test_next_host_gets_only_those_who_wait(by_dns):
    """One recipient is refused by the first host, which then goes down."""
    mail = by_dns(
        at("rcpt", "reply", "550 5.4.1 Recipient address rejected", nth=1),
        at("rcpt", "reply", "421 4.3.2 going down", nth=2), hosts=THREE)
    result = send(mail, BOSS, COLLEAGUE)
    assert words(result) == {BOSS: "deferred", COLLEAGUE: "sent"}
    assert received(mail.tenant) == [(MX, [COLLEAGUE])]
    assert said(mail.tenant, "RCPT") == [
        f"RCPT TO:<{to}>" for to in (BOSS, COLLEAGUE, COLLEAGUE)]


@pytest.mark.parametrize("phase, action, argument", [
    ("rcpt", "reply", "550 5.7.68 TenantInboundAttribution; not allowed"),
    ("rcpt", "reply", "550 5.4.1 Recipient address rejected"),
    ("rcpt", "reply", "450 4.2.2 Mailbox is busy"),
    ("final", "reply", "451 4.3.0 not this one, not now"),
    ("final", "reply", "550 5.7.509 does not pass DMARC verification"),
    ("final", "lose", None),
])
def test_next_host_is_not_asked_after_a_verdict(
        by_dns, phase, action, argument):
    """Neither is it where the message may have arrived."""
    mail = by_dns(at(phase, action, argument, nth=1), hosts=THREE)
    assert mail.sendmail(BOSS, stdin=MESSAGE).returncode == 75
    assert contacted(mail.tenant) == IN_ORDER[:1]


def test_five_hosts_are_enough(by_dns, resolver):
    names = [f"h{i}.mail.protection.outlook.com" for i in range(9)]
    mail = by_dns(hosts=[
        (9 - i, name, DEAD) for i, name in enumerate(names)])
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, "no connection")
    assert [q for q in resolver.questions if q.startswith("A ")] == [
        f"A {name}" for name in names[:3:-1]]


# ---- addresses ----

class Witness:
    """Has a port at ::1, or another address, and sees who comes there."""

    def __init__(self, port=0, address="::1"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.settimeout(STUCK)
        try:
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            pytest.skip(f"there is no {address} here")
        self.port = self._socket.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def listen(self):
        """From now on; before, connections are refused."""
        self._socket.listen()

    def was_called(self):
        """Whether somebody has connected, without waiting for it."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def turn_away(self, mail, *recipients):
        """Send a message, and end the connection that comes by 421."""
        process = mail.start(*recipients)
        process.stdin.write(MESSAGE)
        process.stdin.close()
        process.stdin = None
        with self._socket.accept()[0] as connection:
            connection.sendall(b"421 4.3.2 not here\r\n")
        return finish(process)


BOTH = [("AAAA", "::1"), ("A", "127.0.0.1")]


def test_ipv4_comes_first(by_dns):
    mail = by_dns(hosts=[(10, EXCHANGE, BOTH)])
    with Witness(mail.tenant.mx_port) as witness:
        witness.listen()
        assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
        assert not witness.was_called()
    [connection] = [c for c in mail.tenant.connections if c.service == MX]
    assert connection.peer == "127.0.0.1"


def test_ipv6_where_ipv4_does_not_answer(by_dns):
    mail = by_dns(hosts=[(10, EXCHANGE, [("AAAA", "::1"), *DEAD])])
    with Witness(mail.tenant.mx_port) as witness:
        witness.listen()
        result = witness.turn_away(mail, BOSS)
        assert_fatal(result, 75, "421 4.3.2 not here", "[::1]")


def test_several_addresses_of_a_host(by_dns):
    mail = by_dns(hosts=[(10, EXCHANGE, [*DEAD, ("A", "127.0.0.3"), *ALIVE])])
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == [EXCHANGE]


# ---- what DNS may say ----

NOWHERE = {
    "nodata": ({DOMAIN: "nodata"}, {}, ["no MX record"]),
    "nxdomain": ({DOMAIN: "nxdomain"}, {}, [
        "does not exist", "internal_domains"]),
    "servfail": ({DOMAIN: "servfail"}, {}, ["does not answer"]),
    "refused": ({DOMAIN: "refused"}, {}, ["does not answer"]),
    "silence": ({DOMAIN: "silence"}, {}, ["does not answer", "time-out"]),
    "malformed": ({DOMAIN: "malformed"}, {}, ["makes no sense"]),
    "loop": ({DOMAIN: "loop"}, {}, ["makes no sense"]),
    "null": ({}, {DOMAIN: [("MX", 0, ".")]}, ["takes no mail"]),
    "address-only": ({}, {DOMAIN: ALIVE}, ["no MX record"]),
    "alias-loop": ({}, {DOMAIN: [("CNAME", "a.example")],
                        "a.example": [("CNAME", DOMAIN)]},
                   ["makes no sense"]),
    "alias-to-nowhere": ({}, {DOMAIN: [("CNAME", "a.example")]},
                         ["does not exist"]),
    "alias-of-a-host": ({}, {DOMAIN: [("CNAME", "a.example")],
                             "a.example": ALIVE}, ["no MX record"]),
    "twelve-aliases": ({}, {
        DOMAIN: [("CNAME", "a0.example")],
        **{f"a{i}.example": [("CNAME", f"a{i + 1}.example")]
           for i in range(11)},
        "a11.example": [("MX", 0, EXCHANGE)]}, ["aliases"]),
    "host-unknown": ({}, {EXCHANGE: []}, ["cannot resolve", EXCHANGE]),
    "host-servfail": ({EXCHANGE: "servfail"}, {}, ["cannot resolve"]),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_dns_shows_no_way(by_dns, resolver, name):
    """The mail waits, and nothing is remembered: DNS gets mended."""
    behaviours, records, says = NOWHERE[name]
    mail = by_dns()
    good = dict(resolver.dns.records)
    resolver.dns.behaviours.update(behaviours)
    resolver.dns.records.update(records)
    if "silence" in behaviours.values():
        resolver.wait_for_answers(1)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "Direct Send: ", DOMAIN.partition(".")[0], *says)
    assert connections(mail.tenant) == 0
    if EXCHANGE not in (*behaviours, *records):
        assert not [q for q in resolver.questions if EXCHANGE in q]
    resolver.dns.behaviours.clear()
    resolver.dns.records.clear()
    resolver.dns.records.update(good)
    resolver.wait_for_answers()
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert received(mail.tenant) == [(MX, [BOSS])]


@pytest.mark.parametrize("name", ["nodata", "nxdomain", "servfail", "null"])
def test_dns_shows_no_way_and_there_is_no_other(by_dns, resolver, name):
    behaviours, records, says = NOWHERE[name]
    mail = by_dns()
    set_up(mail, direct={"mx": None}, **NO_SIGN_IN)
    resolver.dns.behaviours.update(behaviours)
    resolver.dns.records.update(records)
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, *says)


@pytest.mark.parametrize("behaviour", ["truncate", "largest"])
def test_answer_that_comes_over_tcp(by_dns, resolver, behaviour):
    mail = by_dns()
    resolver.dns.behaviours[DOMAIN] = behaviour
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert received(mail.tenant) == [(MX, [BOSS])]
    assert Question(DOMAIN, "MX", "tcp") in resolver.dns.questions


def many(first):
    """As many hosts as an answer can have; the first one has a name."""
    return [("MX", 1, f"h{i:04}.evil.example") for i in range(1900)] + [first]


def test_host_among_1900(by_dns, resolver):
    mail = by_dns()
    resolver.dns.records[DOMAIN] = many(("MX", 0, EXCHANGE))
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == [EXCHANGE]


def test_1900_hosts_of_somebody_else(by_dns, resolver):
    mail = by_dns()
    resolver.dns.records[DOMAIN] = many(("MX", 2, EXCHANGE))
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "h0000.evil.example", "no host of Exchange")
    assert not [q for q in resolver.questions if "evil" in q]


@pytest.mark.parametrize("count", [1, 2, 8])
def test_aliases_are_followed(by_dns, resolver, count):
    mail = by_dns()
    names = [DOMAIN, *[f"a{i}.example" for i in range(count)]]
    for name, alias in zip(names, names[1:]):
        resolver.dns.records[name] = [("CNAME", alias)]
    resolver.dns.records[names[-1]] = [("MX", 10, EXCHANGE)]
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == [EXCHANGE]


def test_host_that_is_an_alias_keeps_its_name(by_dns, resolver):
    mail = by_dns(hosts=[(10, EXCHANGE, [("CNAME", "host.evil.example")])])
    resolver.dns.records["host.evil.example"] = ALIVE
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == [EXCHANGE]


# ---- hosts that are not Exchange's ----

IMPOSTORS = [
    "mail.contoso.example",
    "mail.evil.example",
    f"{EXCHANGE}.evil.example",
    "contoso-example.mail.protection.outlook.co",
    "contoso-example-mail.protection.outlook.com",
    "evilmail.protection.outlook.com",
    "mail.protection.outlook.com",
    "contoso-example.protection.outlook.com",
    "contoso-example.mail.protection.outlook.example",
    "mx.microsoft",
    "evilmx.microsoft",
    "contoso.mx.microsoft.com",
    "contoso.mx.microsoft.evil.example",
    "contoso.mx-microsoft.com",
    "localhost",
]


@slow
@pytest.mark.parametrize("host", IMPOSTORS)
def test_host_that_is_not_exchange_s(by_dns, resolver, host):
    """It would answer, and its certificate would verify."""
    mail = by_dns(hosts=[(0, host, ALIVE)])
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, f"the MX of {DOMAIN} is {host}",
                 "no host of Exchange Online", "set mx in [direct_send]")
    assert connections(mail.tenant) == 0
    assert [q for q in resolver.questions if q.startswith("A")] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "-x.mx.microsoft",
                                  "a_b.mx.microsoft", "a b.mx.microsoft"])
def test_host_that_is_no_name(by_dns, resolver, host):
    mail = by_dns(hosts=[(0, host, None)])
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "no MX record that names a host")
    assert connections(mail.tenant) == 0


def test_impostor_in_front_of_the_right_host(by_dns, resolver):
    mail = by_dns(hosts=[(0, "mail.evil.example", ALIVE),
                         (10, EXCHANGE, ALIVE)])
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == [EXCHANGE]
    assert not [q for q in resolver.questions if "evil" in q]


@pytest.mark.parametrize("host", [
    EXCHANGE.upper(), "Contoso-Example.K-V1.MX.Microsoft",
    "aaaabbbb-0000-cccc-1111-dddd2222eeee.mail.protection.outlook.com",
    "a.b.c.mail.protection.outlook.com",
])
def test_host_that_is_exchange_s(by_dns, resolver, host):
    mail = by_dns(hosts=[(0, host, None)])
    resolver.dns.records[host.lower()] = ALIVE
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert [name.lower() for name in contacted(mail.tenant)] == [host.lower()]


def test_right_name_at_a_wrong_address(by_dns):
    """Forged addresses lead to somebody without the certificate."""
    mail = by_dns(mx_certificate="wrong-name")
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "certificate", EXCHANGE, "mismatch")
    assert_nothing_told(mail.tenant)


def test_mx_of_the_configuration_is_not_looked_up(by_dns, resolver):
    """Whoever configures it may name any host."""
    host = "hub.contoso.example"
    mail = by_dns(keys={"mx": host}, hosts=[(0, host, ALIVE)])
    resolver.dns.records[DOMAIN] = [("MX", 0, "mail.evil.example")]
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert contacted(mail.tenant) == [host]
    assert resolver.questions == [f"A {host}", f"AAAA {host}"]


# ---- several domains, many recipients ----

NEIGHBOUR = f"n1@{OTHER_DOMAIN}"
SECOND_NEIGHBOUR = f"n2@{OTHER_DOMAIN}"
TWO_DOMAINS = {"internal_domains": f"{DOMAIN}, {OTHER_DOMAIN}"}
OURS = {to: "250 2.1.5 Recipient OK"
        for to in (NEIGHBOUR, SECOND_NEIGHBOUR)}
FABRIKAM = "fabrikam-example.mail.protection.outlook.com"


@pytest.fixture
def two_domains(by_dns, resolver):
    def make(*rules):
        resolver.dns.records[OTHER_DOMAIN] = [("MX", 0, FABRIKAM)]
        return by_dns(*rules, keys=TWO_DOMAINS, recipients=OURS, hosts=[
            (10, EXCHANGE, ALIVE), (70, FABRIKAM, ALIVE)])
    return make


def test_one_session_for_each_domain(two_domains, resolver):
    mail = two_domains()
    result = send(mail, BOSS, NEIGHBOUR, "colleague@Contoso.EXAMPLE",
                  SECOND_NEIGHBOUR)
    assert result.returncode == 0
    assert received(mail.tenant) == [
        (MX, [BOSS, "colleague@Contoso.EXAMPLE"]),
        (MX, [NEIGHBOUR, SECOND_NEIGHBOUR])]
    assert contacted(mail.tenant) == [EXCHANGE, FABRIKAM]
    assert [q for q in resolver.questions if q.startswith("MX")] == [
        f"MX {DOMAIN}", f"MX {OTHER_DOMAIN}"]


def test_one_domain_does_not_stop_another(two_domains, resolver):
    mail = two_domains()
    resolver.dns.behaviours[DOMAIN] = "nxdomain"
    result = send(mail, BOSS, NEIGHBOUR, OUTSIDER.replace("fabrikam", "x"))
    assert result.returncode == 75
    assert list(words(result).values()) == ["deferred", "sent", "deferred"]
    assert received(mail.tenant) == [(MX, [NEIGHBOUR])]


def test_one_domain_may_be_closed_and_another_open(two_domains):
    mail = two_domains(at(
        "rcpt", "reply", "550 5.7.68 TenantInboundAttribution", nth=1))
    for _ in range(2):
        result = send(mail, BOSS, NEIGHBOUR, stdin=MESSAGE + b"x\r\n")
        assert words(result) == {BOSS: "deferred", NEIGHBOUR: "sent"}
    assert contacted(mail.tenant) == [EXCHANGE, FABRIKAM]
    result = send(mail, BOSS, NEIGHBOUR)
    assert words(result) == {BOSS: "deferred", NEIGHBOUR: "sent"}
    assert contacted(mail.tenant) == [EXCHANGE, FABRIKAM, FABRIKAM]


def test_subdomain_is_another_domain(direct):
    mail = direct()
    result = mail.sendmail("boss@sub.contoso.example", stdin=MESSAGE)
    assert_fatal(result, 75, "no connection")
    assert "Direct Send" not in line_of(result)
    assert connections(mail.tenant) == 0


def test_450_recipients_take_three_transactions(direct):
    mail = direct()
    recipients = [f"r{i}@{DOMAIN}" for i in range(450)]
    assert_sent(mail.sendmail(*recipients, stdin=MESSAGE))
    got = [m.recipients for m in mail.tenant.messages]
    assert [len(some) for some in got] == [200, 200, 50]
    assert sum(got, []) == recipients
    assert connections(mail.tenant) == 1


@slow
def test_450_recipients_of_which_some_are_refused(direct):
    refused = {f"r{i}@{DOMAIN}": "550 5.4.1 Recipient address rejected"
               for i in range(0, 450, 9)}
    mail = direct(recipients=refused)
    recipients = [f"r{i}@{DOMAIN}" for i in range(450)]
    result = send(mail, *recipients)
    assert result.returncode == 75
    assert words(result) == {
        to: "deferred" if to in refused else "sent" for to in recipients}
    assert set(copies(mail.tenant)) == set(recipients) - set(refused)
    assert set(copies(mail.tenant).values()) == {1}


# ---- TLS ----

BAD = [kind for kind in KINDS if kind != "good"]
HELLO = "250-XX0PEPF00000001.mail.protection.outlook.com Hello [127.0.0.1]\n"


@slow
@pytest.mark.parametrize("kind", BAD)
def test_bad_certificate_of_the_mx(direct, kind):
    mail = direct(mx_certificate=kind)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "Direct Send: ", "certificate", "localhost")
    assert_nothing_told(mail.tenant)
    assert kept(mail, CLOSED) == []


def test_system_does_not_trust_what_ca_file_does(direct):
    mail = direct(keys={"ca_file": None})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "Direct Send: ", "certificate")
    assert_nothing_told(mail.tenant)


NO_TLS = {
    "not-offered": (at("ehlo", "reply", HELLO + "250 SIZE 157286400"),
                    ["does not offer STARTTLS", "in the clear"]),
    "garbled": (at("ehlo", "reply", HELLO + "250 XXXXXXXA"),
                ["does not offer STARTTLS", "in the clear"]),
    "refused": (at("starttls", "reply", "454 4.7.0 TLS not available"),
                ["454 4.7.0"]),
    "unknown": (at("starttls", "reply", "500 5.3.3 Unrecognized command"),
                ["500 5.3.3"]),
    "injected": (at("starttls", "inject"), ["in the clear after STARTTLS"]),
    "injected-octet": (at("starttls", "inject", "x"),
                       ["in the clear after STARTTLS"]),
    "plain-text": (at("tls", "raw", "250 ok\r\n"), ["TLS"]),
    "closed": (at("tls", "close"), ["TLS"]),
}


@pytest.mark.parametrize("tls", ["verify", "encrypt"])
@pytest.mark.parametrize("name", NO_TLS)
def test_nothing_is_sent_in_the_clear(direct, name, tls):
    rule, says = NO_TLS[name]
    mail = direct(rule, keys={"tls": tls})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "Direct Send: ", *says)
    assert_nothing_told(mail.tenant)


@pytest.mark.parametrize("kind", [
    "self-signed", *[pytest.param(kind, marks=slow) for kind in KINDS
                     if kind != "self-signed"]])
def test_encrypt_takes_any_certificate(direct, kind):
    mail = direct(mx_certificate=kind, keys={"tls": "encrypt"})
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_sent(result)
    [sent] = mail.tenant.messages
    assert (sent.service, sent.tls) == (MX, True)


def test_encrypt_is_for_the_mx_only(direct):
    """Those who sign in are as careful as ever."""
    mail = direct(submission_certificate="self-signed")
    set_up(mail, direct={"tls": "encrypt"})
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert received(mail.tenant) == [(MX, [BOSS])]
    assert not [line for line in mail.tenant.dialogue()
                if line.startswith("C: AUTH")]


def test_extensions_from_before_tls_are_not_believed(direct):
    mail = direct(
        at("ehlo", "reply", HELLO + "250-STARTTLS\n250 SIZE 1"),
        drop={"CHUNKING"})
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert mail.tenant.messages[0].via == "DATA"


# ---- no credential on port 25 ----

@pytest.mark.parametrize("login", [False, True], ids=["XOAUTH2", "LOGIN"])
@pytest.mark.parametrize("tls", ["verify", "encrypt"])
def test_nobody_signs_in_at_the_mx(direct, tls, login):
    """It may offer what it likes, and ask for it."""
    offer = HELLO + ("250-STARTTLS\n250-AUTH LOGIN XOAUTH2 PLAIN\n"
                     "250-CHUNKING\n250 PIPELINING")
    mail = direct(
        at("ehlo", "reply", offer), at("ehlo2", "reply", offer),
        at("mail", "reply", "530 5.7.57 Client not authenticated", nth=2),
        keys={"tls": tls}, login=login)
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, "530 5.7.57")
    tenant = mail.tenant
    assert login or tenant.directory.tokens
    heard = "\n".join(
        line.text for line in tenant.transcript if line.service == MX)
    heard = heard.encode("utf-8", "surrogateescape")
    heard += b"".join(m.raw for m in tenant.messages)
    assert not re.search(
        rb"^AUTH|Bearer|token|password|secret", heard, re.I | re.M)
    for secret in [PASSWORD.encode(), *secrets_of(tenant)]:
        assert secret not in heard
    assert {m.user for m in tenant.messages} == {""}


def test_dialogue_with_the_mx(direct):
    """All that is said on port 25, word for word."""
    mail = direct()
    assert_sent(mail.sendmail(BOSS, COLLEAGUE, stdin=MESSAGE))
    name = mail.tenant.messages[0].hello
    assert mail.tenant.wait_for(
        lambda: "C: QUIT" in mail.tenant.dialogue(MX))
    assert [line[3:] for line in mail.tenant.dialogue(MX)
            if line.startswith("C: ")] == [
        f"EHLO {name}", "STARTTLS", f"EHLO {name}",
        f"MAIL FROM:<{ALERTS}> SIZE={len(MESSAGE)}", f"RCPT TO:<{BOSS}>",
        f"RCPT TO:<{COLLEAGUE}>", f"BDAT {len(MESSAGE)} LAST",
        f"({len(MESSAGE)} octets)", "QUIT"]


# ---- a way that is closed ----

HOUR = 3600
TEN_MINUTES = 600

#: What closes the way -> where it is said, and the cure.
CLOSING = {
    "5.7.68": (
        "rcpt", "550 5.7.68 TenantInboundAttribution; Direct Send not "
        "allowed for this organization from unauthorized sources",
        ["refuses Direct Send", "inbound connector",
         "RejectDirectSend $false"]),
    "5.7.51": (
        "rcpt", "550 5.7.51 TenantInboundAttribution; There is a partner "
        "connector configured that matched the message's recipient domain",
        ["partner connector", "Set-InboundConnector"]),
    "5.7.64": (
        "rcpt", "550 5.7.64 TenantAttribution; Relay Access Denied",
        ["Relay Access Denied", "SMTP AUTH", "internal_domains"]),
    "5.7.606": (
        "rcpt", "550 5.7.606 Access denied, banned sending IP "
        "[192.0.2.1]. To request removal from this list please visit "
        "https://sender.office.com/ (AS16012609)",
        ["banned", "sender.office.com"]),
    "5.7.649": (
        "rcpt", "550 5.7.649 Access denied, banned sending IP [192.0.2.1]",
        ["sender.office.com"]),
    "spamhaus": (
        "rcpt", "550 5.7.1 Service unavailable, Client host [192.0.2.1] "
        "blocked using Spamhaus. To request removal from this list see "
        "https://www.spamhaus.org/query/ip/192.0.2.1 (AS16012609)",
        ["block list", "link in the reply", "SMTP AUTH"]),
    "at-the-door": (
        "banner", "554 5.7.1 Service unavailable; Client host blocked",
        ["554 5.7.1", "greeting"]),
    "hello": (
        "ehlo2", "501 5.5.4 Invalid domain name", ["501 5.5.4"]),
}


def explanation(mail):
    return mail.sendmail365("explain", ALERTS, "--to", BOSS).stdout.decode()


@pytest.mark.parametrize("name", CLOSING)
def test_closed_way_is_remembered_and_explained(direct, dead_port, name):
    phase, reply, cure = CLOSING[name]
    mail = direct(at(phase, "reply", reply))
    tenant = mail.tenant
    assert "closed" not in explanation(mail)

    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "Direct Send: ", reply.partition(";")[0], *cure)
    assert connections(tenant) == 1
    [path] = kept(mail, CLOSED)
    left = int(path.read_text().partition("\n")[0]) - time.time()
    assert HOUR - 60 < left <= HOUR

    # The next message does not go there, and says as much.
    result = mail.sendmail(BOSS, COLLEAGUE, stdin=MESSAGE)
    assert_fatal(result, 75, f"closed for {DOMAIN}",
                 "not tried again before", *cure)
    assert connections(tenant) == 1
    shown = explanation(mail)
    for word in [f"Direct Send: closed for {DOMAIN}", *cure]:
        assert word in shown

    # What submission can deliver is not touched by it.
    set_up(mail)
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert received(tenant) == [("submission", [BOSS])]

    # Later it is tried again.
    set_up(mail, port=dead_port)
    let_time_pass(path, int(time.time()))
    assert "closed" not in explanation(mail)
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, *cure)
    assert connections(tenant) == 2


def test_way_that_is_open_again_is_used(direct):
    mail = direct(reject_direct_send=True)
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, "5.7.68")
    mail.tenant.settings.reject_direct_send = False
    [path] = kept(mail, CLOSED)
    let_time_pass(path)
    for _ in range(2):
        assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert len(mail.tenant.messages) == 2


@pytest.mark.parametrize("content", [
    b"", b"\n", b"soon\nclosed", b"-1\nx", b"9" * 30 + b"\nx", b"\0" * 50,
    b"%d\n" % (1 << 62),
], ids=repr)
def test_torn_file_closes_nothing(direct, content):
    mail = direct(reject_direct_send=True)
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, "5.7.68")
    mail.tenant.settings.reject_direct_send = False
    [path] = kept(mail, CLOSED)
    path.write_bytes(content)
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))


def test_another_way_is_not_closed(direct, dead_port):
    """A change of the configuration makes a new try."""
    mail = direct(reject_direct_send=True)
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, "5.7.68")
    mail.tenant.settings.reject_direct_send = False
    set_up(mail, port=dead_port, direct={"tls": "encrypt"})
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))


def test_explanation_is_not_longer_than_the_rest(direct):
    """A long reply is cut, and the reason does not get lost by that."""
    reply = "550 5.7.68 TenantInboundAttribution; " + "x" * 900
    mail = direct(at("rcpt", "reply", reply))
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, "5.7.68")
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "closed for", "5.7.68")
    assert "closed for" in explanation(mail)


def test_both_reasons_are_told(direct):
    """Also where each of them is long."""
    trailer = ("[XX0P000CA0001.NAMPRD00.PROD.OUTLOOK.COM "
               "2026-11-24T22:11:52.000Z 08DE000000000001]")
    mail = direct(
        Rule("auth", "reply", "535 5.7.139 Authentication unsuccessful, the "
             "request did not meet the criteria to be authenticated "
             f"successfully. Contact your administrator. {trailer}",
             service="submission"),
        reject_direct_send=True)
    set_up(mail)
    told = ["Sign-in logs", "5.7.68", "refuses Direct Send"]
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 77, *told,
                 "RejectDirectSend $false")
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 77, *told, "closed for")


# ---- port 25 is blocked ----

def test_port_that_refuses_is_remembered(given, dead_port):
    mail = given()
    with Witness(address="127.0.0.1") as witness:
        port = witness.port
        set_up(mail, port=dead_port, direct={"port": port})
        cure = [f"no connection to localhost port {port}", "firewall",
                "refused"]
        assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 75, *cure)
        [path] = kept(mail, CLOSED)
        left = int(path.read_text().partition("\n")[0]) - time.time()
        assert TEN_MINUTES - 60 < left <= TEN_MINUTES
        witness.listen()
        result = mail.sendmail(BOSS, stdin=MESSAGE)
        assert_fatal(result, 75, f"closed for {DOMAIN}", *cure)
        assert not witness.was_called()
        assert "closed for" in explanation(mail)
        let_time_pass(path)
        result = witness.turn_away(mail, BOSS)
        assert_fatal(result, 75, "421 4.3.2 not here")
        assert "closed" not in explanation(mail)


def test_port_that_is_unreachable_is_remembered(direct):
    """A network namespace without a network."""
    if why_not():
        pytest.skip(why_not())
    mail = direct()
    mail.prefix = (*UNSHARE, "--net")
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "Direct Send: ", "unreachable", "firewall")
    assert len(kept(mail, CLOSED)) == 1
    mail.prefix = ()
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, f"closed for {DOMAIN}", "unreachable")
    assert connections(mail.tenant) == 0
    let_time_pass(kept(mail, CLOSED)[0])
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))


def test_port_that_swallows_connections_is_remembered(given, dead_port):
    """As a firewall does that drops packets: the queue of it is full."""
    mail = given()
    with socket.socket() as full, socket.socket() as first:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        first.connect(full.getsockname())
        port = full.getsockname()[1]
        set_up(mail, port=dead_port, direct={"port": port}, timeout=STALL)
        result = mail.sendmail(BOSS, stdin=MESSAGE)
        assert_fatal(result, 75, "Direct Send: ", "timed out", "firewall")
    assert len(kept(mail, CLOSED)) == 1


def test_server_that_stalls_is_not_a_closed_port(direct):
    mail = direct(at("banner", "stall"), stalls=True)
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "Direct Send: ", "time-out")
    assert kept(mail, CLOSED) == []


# ---- what the MX says of a recipient or a message ----

VERDICTS = {
    "5.4.1": ("rcpt", "550 5.4.1 Recipient address rejected: Access denied."),
    "5.7.133": ("rcpt", "550 5.7.133 RESOLVER.RST.SenderNotAuthenticated"),
    "5.1.10": ("rcpt", "550 5.1.10 RESOLVER.ADR.RecipientNotFound"),
    "5.7.507": ("rcpt", "550 5.7.507 Access denied, rejected by recipient"),
    "4.2.2": ("rcpt", "450 4.2.2 Mailbox is busy"),
    "held-back": ("rcpt", "451 4.7.500 Access denied, try again later"),
    "wrong-region": ("rcpt", "451 4.4.62 Mail sent to the wrong Office 365 "
                     "region. ATTR35"),
    "sender": ("mail", "501 5.1.7 Invalid address"),
    "dmarc": ("final", "550 5.7.509 Access denied, sending domain does not "
              "pass DMARC verification"),
    "spf": ("final", "550 5.7.23 The message was rejected because of Sender "
            "Policy Framework violation"),
    "content": ("final", "554 5.6.211 Invalid MIME Content"),
}


@slow
@pytest.mark.parametrize("name", VERDICTS)
def test_verdict_of_the_mx_is_not_the_last_word(direct, name):
    """Submission may do what the MX refuses; the next message tries both."""
    phase, reply = VERDICTS[name]
    mail = direct(at(phase, "reply", reply))
    for count in (1, 2):
        result = send(mail, BOSS)
        assert result.returncode == 75
        assert words(result) == {BOSS: "deferred"}
        assert f"Direct Send: localhost[127.0.0.1]:{mail.tenant.mx_port} " \
            f"said: {reply[:40]}" in line_of(result)
        assert connections(mail.tenant) == count
    assert kept(mail, CLOSED) == []
    set_up(mail)
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))
    assert received(mail.tenant) == [("submission", [BOSS])]


@slow
@pytest.mark.parametrize("action, argument", [
    ("raw", "2500 ok\r\n"), ("raw", "250-one\r\n550 other\r\n"),
    ("nul", None), ("long-line", None), ("endless-lines", None),
    ("garbage", "digits"), ("close-mid", None),
])
@pytest.mark.parametrize("phase", ["banner", "ehlo2", "rcpt"])
def test_mx_that_talks_nonsense(direct, phase, action, argument):
    mail = direct(at(phase, action, argument))
    result = mail.sendmail(BOSS, stdin=MESSAGE)
    assert_fatal(result, 75, "Direct Send: ")
    assert line_of(result).isprintable()
    assert mail.tenant.messages == []
    assert kept(mail, CLOSED) == []
