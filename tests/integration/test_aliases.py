"""Where mail for names without a domain goes."""
import os
import re

import pytest

from fake365 import ALERTS
from support import (
    BOSS, COLLEAGUE, MESSAGE, OUTSIDER, assert_fatal, assert_sent, configure,
)

HOST = os.uname().nodename
ADMIN = "admin@contoso.example"


@pytest.fixture
def aliases(mail):
    """Make programs with a file of aliases, [aliases] and [rewrite]."""
    def make(file="", section="", rewrite=""):
        configure(mail, f"[aliases]\n{section}[rewrite]\n{rewrite}")
        (mail.directory / "aliases").write_text(file)
        return mail
    return make


def recipients_of(mail, *names):
    """Whom a message to these names reaches."""
    before = len(mail.tenant.messages)
    assert_sent(mail.sendmail("-i", "--", *names, stdin=MESSAGE))
    [sent] = mail.tenant.messages[before:]
    assert sent.raw == MESSAGE
    return sent.recipients


# ---- look-up ----

#: the file, [aliases], recipients -> whom they are
LOOKUPS = {
    "section": ("", f"root = {BOSS}\n", ["root"], [BOSS]),
    "file": (f"root: {BOSS}\n", "", ["root"], [BOSS]),
    "section-before-file": (
        f"root: {OUTSIDER}\nops: {COLLEAGUE}\n", f"root = {BOSS}\n",
        ["root", "ops"], [BOSS, COLLEAGUE]),
    "section-leads-to-file": (
        f"ops: {COLLEAGUE}\n", f"root = ops, {BOSS}\n", ["root"],
        [COLLEAGUE, BOSS]),
    "file-leads-to-section": (
        "root: ops\n", f"ops = {COLLEAGUE}\n", ["root"], [COLLEAGUE]),
    "nested": (
        f"a: b\nb: c, {BOSS}\nc: d\nd: {OUTSIDER}\n", "", ["a"],
        [OUTSIDER, BOSS]),
    "list": (
        f"all: {BOSS}, {COLLEAGUE} , {OUTSIDER}\n", "", ["all"],
        [BOSS, COLLEAGUE, OUTSIDER]),
    "continued": (
        f"all: {BOSS},\n  {COLLEAGUE},\n# a comment\n\t{OUTSIDER}\n", "",
        ["all"], [BOSS, COLLEAGUE, OUTSIDER]),
    "named": (
        f"root: \"Doe, Jane\" <{BOSS}>\n", "", ["root"], [BOSS]),
    "capitals": (f"Root: {BOSS}\n", "", ["rOOT"], [BOSS]),
    "quoted": (f"\"root\": {BOSS}\n", "", ["root"], [BOSS]),
    "no-blank": (f"root:{BOSS}\n", "", ["root"], [BOSS]),
    "windows": (f"root: {BOSS}\r\nops: {COLLEAGUE}\r\n", "", ["root", "ops"],
                [BOSS, COLLEAGUE]),
    "duplicates": (
        f"a: {BOSS}, b\nb: {BOSS.upper()}, {COLLEAGUE}, a2\na2: {BOSS}\n", "",
        ["a", "b", BOSS, "A"], [BOSS, COLLEAGUE]),
    "beside-addresses": (
        f"root: {BOSS}\n", "", [OUTSIDER, "root"], [OUTSIDER, BOSS]),
    "itself": (f"root: root, {BOSS}\n", f"default = {ADMIN}\n", ["root"],
               [BOSS, ADMIN]),
    "backslash": (f"root: \\ops\nops: {OUTSIDER}\n", f"default = {ADMIN}\n",
                  ["root"], [ADMIN]),
    "default": ("", f"default = {ADMIN}, {BOSS}\n", ["root", "ops"],
                [ADMIN, BOSS]),
    "default-of-the-file": (f"*: {ADMIN}\nroot: {BOSS}\n", "",
                            ["root", "ops"], [BOSS, ADMIN]),
    "default-of-the-section-first": (
        f"*: {OUTSIDER}\n", f"default = {ADMIN}\n", ["ops"], [ADMIN]),
    "default-that-is-an-alias": (
        f"staff: {BOSS}\n", "default = staff\n", ["ops"], [BOSS]),
    "default-of-a-member": (
        "root: somebody\n", f"default = {ADMIN}\n", ["root"], [ADMIN]),
    "skipped-entry": (
        f"root\nroot x: {OUTSIDER}\nroot: {BOSS}\n", "", ["root"], [BOSS]),
    "8-bit": (f"größe: {BOSS}\n", "", ["größe"], [BOSS]),
    # names of this host
    "host": (f"root: {BOSS}\n", "", [f"root@{HOST}"], [BOSS]),
    "host-in-capitals": (
        f"root: {BOSS}\n", "", [f"ROOT@{HOST.upper()}"], [BOSS]),
    "localhost": (f"root: {BOSS}\n", "", ["root@localhost"], [BOSS]),
    "localdomain": (
        f"root: {BOSS}\n", "", ["root@localhost.localdomain"], [BOSS]),
    "default-of-localdomain": (
        "", f"default = {ADMIN}\n",
        ["ops@localhost", "x@localhost.localdomain"], [ADMIN]),
    "host-of-a-member": (
        f"root: ops@localhost, www@{HOST.partition('.')[0]}\n"
        f"ops: {BOSS}\nwww: {OUTSIDER}\n", "", ["root"], [BOSS, OUTSIDER]),
    "loop-over-the-host-is-itself": (
        f"root: root@localhost, {BOSS}\n", f"default = {ADMIN}\n", ["root"],
        [BOSS, ADMIN]),
    "other-host": (
        f"boss: {OUTSIDER}\n", f"default = {ADMIN}\n", [BOSS], [BOSS]),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_lookup(aliases, name):
    file, section, names, reached = LOOKUPS[name]
    assert recipients_of(aliases(file, section), *names) == reached


@pytest.mark.parametrize("rewrite, reached", [
    ("domain = contoso.example\n", ["nobody@contoso.example"]),
    ("", None),
])
@pytest.mark.parametrize("name", ["nobody", "root"])
def test_what_comes_behind_the_aliases(aliases, rewrite, reached, name):
    """[rewrite] domain completes what no alias has; else it is refused."""
    mail = aliases("root: nobody\nops: root\n", "", rewrite)
    if reached is not None:
        assert recipients_of(mail, name) == reached
        assert recipients_of(mail, "ops", "nobody") == reached
        return
    result = mail.sendmail(name, stdin=MESSAGE)
    assert_fatal(result, 65, 'recipient "nobody" has no domain',
                 '"domain" in [rewrite]', '"nobody" or "default" in [aliases]')
    assert mail.tenant.connections == []


def test_default_comes_before_the_domain(aliases):
    mail = aliases("", f"default = {ADMIN}\n", "domain = contoso.example\n")
    assert recipients_of(mail, "root") == [ADMIN]
    # ... and a default without a domain gets it
    mail = aliases("", "default = staff\n", "domain = contoso.example\n")
    assert recipients_of(mail, "root") == ["staff@contoso.example"]


def test_recipients_of_the_header(aliases):
    """The envelope is expanded, the header is completed only."""
    mail = aliases(f"root: {BOSS}\nops: {OUTSIDER}\n", "",
                   "domain = contoso.example\n")
    assert_sent(mail.sendmail("-t", stdin=(
        f"From: {ALERTS}\nTo: root, Ops Team <ops>\nBcc: ops\n\nx\n"
    ).encode()))
    [sent] = mail.tenant.messages
    assert sent.recipients == [BOSS, OUTSIDER]
    assert b"To: root@contoso.example, Ops Team <ops@contoso.example>\r\n" in (
        sent.head)


def test_aliases_are_no_senders(aliases):
    """Who is behind a name changes nothing of whom it is from."""
    mail = aliases(f"root: {OUTSIDER}\n")
    assert_sent(mail.sendmail("-f", "root", "root",
                              stdin=b"From: root\n\nx\n"))
    [sent] = mail.tenant.messages
    assert (sent.sender, sent.recipients) == (ALERTS, [OUTSIDER])
    assert OUTSIDER.encode() not in sent.raw


def test_change_counts_for_the_next_message(aliases):
    """No newaliases is needed, and it does no harm."""
    mail = aliases(f"root: {BOSS}\n")
    assert recipients_of(mail, "root") == [BOSS]
    (mail.directory / "aliases").write_text(f"root: {OUTSIDER}\n")
    assert recipients_of(mail, "root") == [OUTSIDER]
    for args in (["-bi"], ["-I"]):
        assert_sent(mail.sendmail(*args))
    assert recipients_of(mail, "root") == [OUTSIDER]


def test_newaliases(aliases, tmp_path):
    """Whatever the file is like: maintainer scripts run it."""
    mail = aliases("a: b\nb: a\nroot: |/bin/sh\n")
    newaliases = tmp_path / "newaliases"
    newaliases.symlink_to(os.path.abspath(mail.sendmail_path))
    mail.sendmail_path = str(newaliases)
    for file in ("aliases", "client-secret", "sendmail365.conf"):
        assert_sent(mail.sendmail())
        (mail.directory / file).unlink()
    assert_sent(mail.sendmail())
    assert mail.tenant.connections == []


# ---- what cannot be delivered ----

#: the file, the one recipient that is not reached, words
REFUSALS = {
    "pipe": ("all: \"|/bin/touch {mark}\", {boss}\n", "all",
             ["aliases:1)", "leads to a pipe", "name an address"]),
    "pipe-without-quotes": ("all: {boss}, |/bin/touch {mark}\n", "all",
                            ["leads to a pipe"]),
    "file": ("all: {mark}, {boss}\n", "all",
             ["leads to a file", "nothing is written here"]),
    "include": ("x: y\nall: {boss}, :include:{mark}\n", "all",
                ["aliases:2)", ":include:", "name its addresses"]),
    "all-of-them": ("all: |/x, /y, :include:/z, {boss}\n", "all",
                    ["leads to a pipe", "and 2 more like that"]),
    "instruction": ("all: {boss}, :fail: no longer here\n", "all",
                    [":fail:"]),
    "below": ("all: ops, {boss}\nops: |/bin/sh\n", "ops",
              ['alias "ops"', "aliases:2)"]),
    "no-address": ("all: {boss}, a b\n", "all", ["bad address", "a b"]),
    "comment": ("all: {boss}, {boss} # me\n", "all", ["line of its own"]),
    "loop": ("all: a, {boss}\na: b\nb: a\n", "b",
             ["alias loop: a -> b -> a", "aliases:3)"]),
    "loop-to-the-first": ("all: a, {boss}\na: all\n", "a",
                          ["alias loop: all -> a -> all"]),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refused_member(aliases, name):
    """The others get the mail; status and text say who does not."""
    file, refused, words = REFUSALS[name]
    mail = aliases()
    mark = mail.directory / "mark"
    (mail.directory / "aliases").write_text(
        file.format(boss=BOSS, mark=mark))
    result = mail.sendmail("all", stdin=MESSAGE)
    assert_fatal(result, 65, "sent to 1 of 2 recipients", f"not to {refused}:",
                 *words)
    assert [m.recipients for m in mail.tenant.messages] == [[BOSS]]
    assert not mark.exists()
    assert OUTSIDER not in result.stderr.decode()


@pytest.mark.parametrize("file, words", [
    ("root: |/bin/sh\n", ['alias "root"', "leads to a pipe"]),
    ("root: ops\nops: root\n", ["alias loop: root -> ops -> root"]),
    ("root: ops\nops: /dev/null\n", ['alias "ops"', "leads to a file"]),
])
def test_alias_that_reaches_nobody(aliases, file, words):
    mail = aliases(file)
    assert_fatal(mail.sendmail("root", stdin=MESSAGE), 65, *words)
    assert mail.tenant.connections == []


@pytest.mark.parametrize("recipient", [
    "|/bin/true", "/tmp/x", ":include:/etc/passwd", "\\root", "\"|/bin/true\"",
])
def test_operands_are_never_programs_or_files(aliases, recipient):
    """Not even where a default would take any name."""
    mail = aliases("", f"default = {ADMIN}\n")
    assert_fatal(mail.sendmail("--", recipient, stdin=MESSAGE), 65, "bad rec")
    assert mail.tenant.connections == []


# ---- files of all kinds ----

UNREADABLE = {
    "missing": (lambda path: None,
                ["no such file", 'take "file" out of [aliases]']),
    "directory": (lambda path: path.mkdir(), ["not a regular file"]),
    "fifo": (os.mkfifo, ["not a regular file"]),
    "5-MB": (lambda path: path.write_bytes(b"#\n" * 2_500_000),
             ["larger than 4 MB", "make it shorter"]),
}


@pytest.mark.parametrize("rewrite", ["", "domain = contoso.example\n"])
@pytest.mark.parametrize("name", UNREADABLE)
def test_file_that_cannot_be_read(aliases, name, rewrite):
    """It matters to those who are in it, and to nobody else."""
    make, words = UNREADABLE[name]
    mail = aliases("", "file = other\n", rewrite)
    path = mail.directory / "other"
    make(path)
    for name in ("root", "root@localhost", f"root@{HOST}"):
        result = mail.sendmail(name, stdin=MESSAGE)
        assert_fatal(result, 78, f"{path}: ", *words)
    assert mail.tenant.connections == []
    assert recipients_of(mail, BOSS) == [BOSS]
    result = mail.sendmail("root", OUTSIDER, stdin=MESSAGE)
    assert_fatal(result, 75, "not to root: ", str(path))
    assert mail.tenant.messages[1].recipients == [OUTSIDER]


def test_file_that_others_cannot_read(aliases, other_user):
    mail = aliases(f"root: {BOSS}\n")
    options = other_user(mail)
    if not options:
        pytest.skip("only root can be refused nothing")
    path = mail.directory / "aliases"
    os.chown(path, 0, 0)
    path.chmod(0o600)
    result = mail.sendmail("root", stdin=MESSAGE, **options)
    assert_fatal(result, 78, f"{path}: this user cannot read it",
                 f"run: chmod a+r '{path}'")
    path.chmod(0o644)
    assert_sent(mail.sendmail("root", stdin=MESSAGE, **options))


@pytest.mark.parametrize("file", [
    b"", b"\n\n#\n", b"\xef\xbb\xbfroot: boss@contoso.example\n",
    b"root: boss@contoso.example", b"root: boss@contoso.example\n\0\0\0",
    b"\0" * 10000, bytes(range(256)) * 100, b"a" * 100_000,
    b"root: " + b"x" * 100_000 + b"@x.example\n", b"root: " + b"," * 50_000,
    b"root: (" + b"(" * 50_000, b":" * 1000, b"root:\n" * 10_000,
    b"\xff\xfe: \xff\n" * 100,
], ids=lambda b: repr(b[:12]) + str(len(b)))
def test_strange_file(mail, file):
    """Nothing in it stops mail to others, or is sent somewhere else."""
    (mail.directory / "aliases").write_bytes(file)
    result = mail.sendmail("root", "\"a b\"@x.example", stdin=MESSAGE)
    reached = [m.recipients for m in mail.tenant.messages]
    if b"root: boss" in file:
        assert_sent(result)
        assert reached == [[BOSS, '"a b"@x.example']]
    else:
        assert_fatal(result, 65, "not to root")
        assert reached == [['"a b"@x.example']]
    checked = mail.sendmail365("check")
    assert checked.returncode in (0, 65)
    assert len(checked.stderr) < 2_000_000


@pytest.mark.slow
def test_10000_aliases(aliases):
    """A chain through all of them, and a list of all."""
    file = "".join(f"n{i}: n{i + 1}\n" for i in range(10_000))
    file += f"n10000: {BOSS}\n"
    mail = aliases(file)
    assert recipients_of(mail, "n0") == [BOSS]
    assert recipients_of(mail, "n9999", "n5000") == [BOSS]
    names = [f"u{i}@contoso.example" for i in range(10_000)]
    (mail.directory / "aliases").write_text(
        "".join(f"n{i}: {name}\n" for i, name in enumerate(names)) +
        "all: " + ", ".join(f"n{i}" for i in range(10_000)) + "\n")
    before = len(mail.tenant.messages)
    assert_sent(mail.sendmail("all", stdin=MESSAGE))
    got = sum((m.recipients for m in mail.tenant.messages[before:]), [])
    assert got == names


@pytest.mark.slow
def test_more_recipients_than_a_message_may_have(aliases):
    """What is left out is said, and the others get it."""
    names = ", ".join(f"u{i}@contoso.example" for i in range(10_050))
    mail = aliases(f"all: {names}\n")
    result = mail.sendmail("all", stdin=MESSAGE)
    assert_fatal(result, 65, "more than 10000 recipients", "not to all")
    got = sum((m.recipients for m in mail.tenant.messages), [])
    assert len(got) == 10_000 and len(set(got)) == 10_000


# ---- those who send to names ----

CRON = b"""\
From: root (Cron Daemon)
To: %s
Subject: Cron <root@web1> run-parts /etc/cron.daily
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit
X-Cron-Env: <SHELL=/bin/sh>

/etc/cron.daily/logrotate: failed
"""
AT = b"Subject: Output from your job        7\nTo: root\n\nbash: x\n"
SMARTD = b"""\
To: root
Subject: SMART error (CurrentPendingSector) detected on host: web1

This message was generated by the smartd daemon running on: web1
"""
MDADM = b"""\
From: mdadm monitoring <root>
To: root
Subject: Fail event on /dev/md0:web1

A Fail event had been detected on md device /dev/md0.
"""
UPGRADES = b"""\
Subject: unattended-upgrades result for web1: SUCCESS
From: root
To: root

All upgrades installed
"""
#: arguments and message, as these programs have them
CALLERS = {
    "debian-cron": (["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"],
                    CRON % b"root"),
    "cronie": (["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f",
                "root"], CRON % b"root"),
    "cron-of-a-user": (["-i", "-FCronDaemon", "-oem", "www-data"],
                       CRON % b"www-data"),
    "systemd-cron": (["-i", "-B8BITMIME", "root"], CRON % b"root"),
    "at": (["-i", "root"], AT),
    "smartd-through-mail": (["-i", "root"], SMARTD),
    "smartd-through-s-nail": (["-i", "-t"], SMARTD),
    "mdadm": (["-t"], MDADM),
    "unattended-upgrades": (["-oi", "-t"], UPGRADES),
    "logcheck": (["-oi", "-f", "logcheck", "--", f"logcheck@{HOST}"],
                 MESSAGE),
}


@pytest.mark.parametrize("name", CALLERS)
def test_caller(aliases, name):
    """With Debian's own aliases and one line of the administrator's."""
    args, given_as = CALLERS[name]
    mail = aliases(f"mailer-daemon: postmaster\npostmaster: root\n"
                   "www-data: root\nlogcheck: root\n"
                   f"root: {BOSS}\n", "", "domain = contoso.example\n")
    assert_sent(mail.sendmail(*args, stdin=given_as))
    [sent] = mail.tenant.messages
    assert (sent.recipients, sent.sender) == ([BOSS], ALERTS)
    [author] = sent.parsed["From"].addresses
    assert author.addr_spec == ALERTS
    subject = re.search(rb"Subject: (.*)", given_as)[1].strip().decode()
    assert str(sent.parsed["Subject"]).split() == subject.split()
