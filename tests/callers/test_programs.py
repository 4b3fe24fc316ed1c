"""Programs that call sendmail, unmodified, on a host whose sendmail is ours.

What each one is given to do, and what arrives at Exchange. A caller that looks
at the exit status is run a second time, when Exchange refuses.
"""
import dataclasses
from typing import Any, Dict, Optional, Tuple

import machine
import pytest
from fake365 import Tenant
from machine import (AUTHOR, BCC, BOSS, CC, JDOE, TO, Machine, find_program,
                     text_of)

pytestmark = pytest.mark.skipif(
    machine.why_not() is not None, reason=str(machine.why_not()))


@pytest.fixture
def host(tmp_path):
    with Tenant() as tenant:
        yield Machine(tenant, tmp_path)


@dataclasses.dataclass
class Caller:
    """What a program is told to do, and what comes of it."""

    needs: str  # a program, or a file of the package that begins with "/"
    command: Any  # words, or text for sh
    recipients: Tuple[str, ...]
    subject: Optional[str] = "s"
    body: str = "body\n"  # the whole text, or a part if is_part
    is_part: bool = False
    stdin: bytes = b""
    user: str = "root"
    reply_to: Optional[str] = None
    refused: Optional[int] = None  # its exit status then; None: it looks away
    env: Dict[str, str] = dataclasses.field(default_factory=dict)
    files: Dict[str, str] = dataclasses.field(default_factory=dict)
    is_quiet: bool = True  # says nothing when all is well


# A lone dot, and no line end at the end.
BODY = b"one\n.\ntwo"
PHP_MAIL = """exit(mail("to@fabrikam.example", "s", "one\\r\\ntwo\\n.\\nlast",
    "From: Web <web@site.example>\\nCc: cc@fabrikam.example\\r\\n" .
    "Bcc: bcc@fabrikam.example"%s) ? 0 : 1);"""
PHPMAILER = """
require '/usr/share/php/libphp-phpmailer/autoload.php';
$m = new PHPMailer\\PHPMailer\\PHPMailer(true);
$m->%s();
$m->setFrom('web@site.example', 'Web');
$m->addAddress('to@fabrikam.example');
$m->addCC('cc@fabrikam.example');
$m->addBCC('bcc@fabrikam.example');
$m->Subject = 's';
$m->Body = "one\\n.\\ntwo";
try { exit($m->send() ? 0 : 1); } catch (Exception $e) { exit(2); }
"""
MIME_LITE = """
my $m = MIME::Lite->new(From => 'web@site.example',
    To => 'to@fabrikam.example', Bcc => 'bcc@fabrikam.example',
    Subject => 's', Data => "one\\n.\\ntwo");
exit($m->send ? 0 : 1);
"""
MAIL_SEND = """
my $m = Mail::Send->new(Subject => 's', To => 'to@fabrikam.example',
    Bcc => 'bcc@fabrikam.example');
my $fh = $m->open('sendmail');
print $fh "body\\n";
exit($fh->close ? 0 : 1);
"""
MIME_ENTITY = """
my $m = MIME::Entity->build(From => 'web@site.example',
    To => 'to@fabrikam.example', Subject => 's', Data => "body\\n");
exit($m->send('sendmail') ? 0 : 1);
"""
UPGRADES = """
import importlib.machinery, importlib.util, io, sys
loader = importlib.machinery.SourceFileLoader(
    "u", "/usr/bin/unattended-upgrade")
u = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("u", loader))
loader.exec_module(u)
u.apt_pkg.init()
u.apt_pkg.config.set("Unattended-Upgrade::Mail", "root")
u.send_summary_mail(["bash"], True, "All upgrades installed",
                    u.KeptPkgs(set), [], [], io.StringIO(), "log")
"""
GIT = """
export HOME=$PWD; git init -q -b main x && cd x || exit 9
git config user.name 'Jane Doe'; git config user.email jane@site.example
echo line >file; git add file; git commit -q -m 'Add a file'
git send-email --quiet --confirm=never --suppress-cc=all %s \
    --to=to@fabrikam.example --bcc=bcc@fabrikam.example HEAD^..HEAD \
    2>/dev/null || git send-email --quiet --confirm=never --suppress-cc=all \
    %s --to=to@fabrikam.example --bcc=bcc@fabrikam.example --root HEAD
"""
NMH_DRAFT = ("From: web@site.example\nTo: to@fabrikam.example\n"
             "Cc: cc@fabrikam.example\nSubject: s\n\nbody\n")
LIST_CHANGES = """
d=$(mktemp -d) && mkdir -p $d/DEBIAN $d/usr/share/doc/zz &&
printf 'Package: zz\\nVersion: 2\\nArchitecture: all\\n%s' \
    'Maintainer: x <x@x>\nDescription: x\n' >$d/DEBIAN/control &&
printf 'zz (2) unstable; urgency=low\\n\\n  * A change.\\n\\n -- x <%s>  %s' \
    x@x.org 'Sat, 21 Nov 2026 07:37:54 +0000' |
    gzip >$d/usr/share/doc/zz/changelog.gz &&
dpkg-deb -b $d zz.deb >/dev/null &&
apt-listchanges --frontend=mail --email-address=root --show-all \
    --which=changelogs zz.deb
"""
SMARTD = {
    "SMARTD_MAILER": "/usr/share/smartmontools/smartd-runner",
    "SMARTD_ADDRESS": "root", "SMARTD_MESSAGE": "TEST EMAIL from smartd",
    "SMARTD_FAILTYPE": "EmailTest", "SMARTD_TFIRST": "now",
    "SMARTD_TFIRSTEPOCH": "1", "SMARTD_PREVCNT": "0", "SMARTD_NEXTDAYS": "",
    "SMARTD_DEVICE": "/dev/sda", "SMARTD_DEVICETYPE": "sat",
    "SMARTD_DEVICESTRING": "/dev/sda", "SMARTD_DEVICEINFO": "DISK",
}

CALLERS = {
    "PHP mail()": Caller(
        "php", ["php", "-r", PHP_MAIL % ""], (BCC, CC, TO), user="jdoe",
        body="one\ntwo\n.\nlast\n", reply_to=AUTHOR, refused=1),
    "PHP mail() with -f": Caller(
        "php", ["php", "-r", PHP_MAIL % ', "-fweb@site.example"'],
        (BCC, CC, TO), body="one\ntwo\n.\nlast\n", reply_to=AUTHOR,
        user="jdoe", refused=1),
    "mb_send_mail()": Caller(
        "/etc/php/8.2/mods-available/mbstring.ini",
        ["php", "-r", 'mb_language("uni"); exit(mb_send_mail('
         '"to@fabrikam.example", "s", "J\u00f6rg\\n", '
         '"From: web@site.example") ? 0 : 1);'], (TO,), body="J\u00f6rg\n",
        is_part=True, reply_to=AUTHOR, refused=1),
    "PHPMailer isMail": Caller(
        "/usr/share/php/libphp-phpmailer/autoload.php",
        ["php", "-r", PHPMAILER % "isMail"], (BCC, CC, TO), user="jdoe",
        body="one\n.\ntwo\n", is_part=True, reply_to=AUTHOR, refused=2),
    "PHPMailer isSendmail": Caller(
        "/usr/share/php/libphp-phpmailer/autoload.php",
        ["php", "-r", PHPMAILER % "isSendmail"], (BCC, CC, TO), user="jdoe",
        body="one\n.\ntwo\n", is_part=True, reply_to=AUTHOR, refused=2),
    "bsd-mailx": Caller(
        "bsd-mailx", ["bsd-mailx", "-s", "s", "-b", BCC, "-c", CC, TO],
        (BCC, CC, TO), body="one\n.\ntwo\n", stdin=BODY, refused=1),
    "bsd-mailx by jdoe, with an author": Caller(
        "bsd-mailx", ["bsd-mailx", "-r", AUTHOR, "-s", "s", "root"], (BOSS,),
        stdin=b"body\n", user="jdoe", reply_to=AUTHOR, refused=1),
    "s-nail": Caller(
        "s-nail", ["s-nail", "-s", "s", "-b", BCC, "-c", CC, TO],
        (BCC, CC, TO), body="one\n.\ntwo", stdin=BODY, refused=4),
    "s-nail with an author": Caller(
        "s-nail", ["s-nail", "-r", AUTHOR, "-s", "s", TO], (TO,),
        stdin=b"body\n", reply_to=AUTHOR, refused=4),
    "mutt": Caller(
        "mutt", ["mutt", "-n", "-e", "set copy=no", "-s", "s", "-b", BCC,
                 "--", TO], (BCC, TO), body="one\n.\ntwo\n", stdin=BODY,
        refused=1),
    "mutt with DSN": Caller(
        "mutt", ["mutt", "-n", "-e", "set copy=no use_8bitmime "
                 "dsn_notify='failure,delay' dsn_return=hdrs "
                 "use_envelope_from from=web@site.example", "-s", "s", "--",
                 TO], (TO,), stdin=b"body\n", reply_to=AUTHOR, refused=1),
    "nmh": Caller(
        "/usr/lib/mh/post", "export HOME=$PWD; install-mh -auto 2>/dev/null; "
        "cat >draft; exec /usr/lib/mh/post draft", (CC, TO),
        stdin=NMH_DRAFT.encode(), reply_to=AUTHOR),
    "nmh sendmail/smtp": Caller(
        "/usr/lib/mh/post", "export HOME=$PWD; install-mh -auto 2>/dev/null; "
        "cat >draft; exec /usr/lib/mh/post -mts sendmail/smtp draft",
        (CC, TO), stdin=NMH_DRAFT.encode(), reply_to=AUTHOR, refused=1),
    "swaks": Caller(
        "swaks", ["swaks", "--pipe", "/usr/sbin/sendmail -bs", "--silent",
                  "--from", AUTHOR, "--to", f"{TO},{CC}", "--header",
                  "Subject: s", "--body", "one\\n.\\ntwo"], (CC, TO),
        body="one\n.\ntwo\n", is_part=True, reply_to=AUTHOR, refused=26),
    "git send-email": Caller(
        "/usr/lib/git-core/git-send-email", GIT % ("", ""), (BCC, TO),
        subject="[PATCH] Add a file", body="+line\n", is_part=True,
        reply_to="jane@site.example", is_quiet=False, refused=69),
    "MIME::Lite": Caller(
        "/usr/share/perl5/MIME/Lite.pm",
        ["perl", "-MMIME::Lite", "-e", MIME_LITE], (BCC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR, refused=69),
    "Mail::Send": Caller(
        "/usr/share/perl5/Mail/Send.pm",
        ["perl", "-MMail::Send", "-e", MAIL_SEND], (BCC, TO), refused=1),
    "MIME::Entity": Caller(
        "/usr/share/perl5/MIME/Entity.pm",
        ["perl", "-MMIME::Entity", "-e", MIME_ENTITY], (TO,),
        reply_to=AUTHOR, refused=1),
    "mime-construct": Caller(
        "mime-construct", ["mime-construct", "--to", "root", "--subject", "s",
                           "--string", "body\n"], (BOSS,), refused=69),
    "mpack": Caller(
        "mpack", "echo content >data.bin; exec mpack -s s data.bin " + TO,
        (TO,), body="Y29udGVudAo=", is_part=True),
    "popularity-contest": Caller(
        "/etc/cron.daily/popularity-contest",
        "mkdir -p /var/log; sh /etc/cron.daily/popularity-contest --crond",
        (TO,), subject=None, body="POPULARITY-CONTEST-0", is_part=True,
        files={"popularity-contest.conf":
               "PARTICIPATE=yes\nUSEHTTP=no\nUSETOR=no\nENCRYPT=no\n"
               "MAILTO=to@fabrikam.example\nMAILFROM=root@web1\nDAY=\n"
               f"MY_HOSTID={'0' * 32}\n"}, is_quiet=False),
    "smartd": Caller(
        "/usr/share/smartmontools/smartd_warning.sh",
        "/usr/share/smartmontools/smartd_warning.sh >/dev/null", (BOSS,),
        subject="SMART error (EmailTest) detected on host: web1",
        body="This message was generated by the smartd daemon", is_part=True,
        env=SMARTD),
    "Icinga 2": Caller(
        "/etc/icinga2/scripts/mail-host-notification.sh",
        ["/etc/icinga2/scripts/mail-host-notification.sh", "-d", "now", "-l",
         "db1", "-n", "db1", "-o", "PING CRITICAL", "-r", "root", "-s",
         "DOWN", "-t", "PROBLEM", "-f", "icinga@site.example"], (BOSS,),
        subject="[PROBLEM] Host db1 is DOWN!", body="PING CRITICAL",
        is_part=True, reply_to="icinga@site.example"),
    "logwatch": Caller(
        "logwatch", ["logwatch", "--output", "mail", "--range", "today",
                     "--service", "zz-sys"], (BOSS,), body="Release: Linux",
        subject="Logwatch for web1 (Linux)", is_part=True),
    "unattended-upgrades": Caller(
        "unattended-upgrade", ["/usr/bin/python3", "-c", UPGRADES], (BOSS,),
        subject="unattended-upgrades result for web1.contoso.example: SUCCESS",
        body="Packages that were upgraded:\n bash\n", is_part=True),
    "apt-listchanges": Caller(
        "apt-listchanges", LIST_CHANGES, (BOSS,),
        subject="apt-listchanges: changelogs for web1", body="* A change.",
        is_part=True, is_quiet=False),
    "procmail": Caller(
        "procmail", ["procmail", "-m", "/etc/forward.rc"], (TO,),
        stdin=b"From web@site.example Mon Jan  1 00:00:00 2026\n"
        b"Return-Path: <web@site.example>\nFrom: web@site.example\n"
        b"Subject: s\n\nbody\n", body="body\n\n", reply_to=AUTHOR,
        files={"forward.rc": ":0\n! to@fabrikam.example\n"}),
    "vacation": Caller(
        "vacation", "echo 'Subject: away\n\nI am away.' "
        ">/var/jdoe/.vacation.msg; vacation -I; exec vacation jdoe", (TO,),
        user="jdoe", subject="away", body="I am away.\n",
        stdin=b"From to@fabrikam.example Mon Jan  1 00:00:00 2026\n"
        b"From: to@fabrikam.example\nTo: jdoe@web1\nSubject: s\n\nbody\n"),
    "sudo": Caller(
        "sudo", ["sudo", "-n", "ls"], (BOSS,), user="jdoe",
        subject="*** SECURITY information for web1.contoso.example ***",
        body="COMMAND=/usr/bin/ls", is_part=True, is_quiet=False,
        files={"sudoers": "Defaults !authenticate\nroot ALL=(ALL) ALL\n"}),
    "anacron": Caller(
        "anacron", "mkdir -p spool; printf 'MAILTO=jdoe\\n1 0 job echo out\\n'"
        " >tab; exec anacron -d -f -n -s -t tab -S spool", (JDOE,),
        subject="Anacron job 'job' on web1", body="out\n", is_quiet=False),
}


def runnable(table):
    """The rows as parameters; those of programs that are not there skip."""
    for name, caller in table.items():
        there = (machine.has(caller.needs) if caller.needs.startswith("/")
                 else find_program(caller.needs) is not None)
        yield pytest.param(caller, id=name, marks=[] if there else [
            pytest.mark.skip(reason=f"{caller.needs} is not installed")])


def run(host, caller):
    for name, content in caller.files.items():
        host.file(name, content, 0o440 if name == "sudoers" else 0o644)
    words = {"stdin": caller.stdin, "user": caller.user, "env": caller.env}
    if isinstance(caller.command, str):
        return host.shell(caller.command, **words)
    return host.run(*caller.command, **words)


def check_caller(host, caller):
    """Run it and look at what has arrived."""
    done = run(host, caller)
    message = host.received()
    if caller.is_quiet:
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert tuple(sorted(message.recipients)) == caller.recipients
    if caller.subject is not None:
        assert message.parsed["Subject"].strip() == caller.subject
    if caller.is_part:
        assert caller.body in (text_of(message) + message.body.decode())
    else:
        assert text_of(message) == caller.body
    reply_to = message.parsed["Reply-To"]
    assert reply_to == caller.reply_to or [
        a.addr_spec for a in reply_to.addresses] == [caller.reply_to]


@pytest.mark.parametrize("caller", runnable(CALLERS))
def test_what_a_caller_sends_arrives(host, caller):
    check_caller(host, caller)


def looking(table):
    return {n: c for n, c in table.items() if c.refused is not None}


@pytest.mark.parametrize("caller", runnable(looking(CALLERS)))
def test_a_caller_that_looks_sees_a_refusal(host, caller):
    host.refuse()
    assert run(host, caller).returncode == caller.refused
    assert not host.tenant.messages


@pytest.mark.parametrize("kind", ["postfix", "sendmail"])
def test_monitoring_sees_an_empty_queue(host, kind):
    plugin = "/usr/lib/nagios/plugins/check_mailq"
    if not machine.has(plugin):
        pytest.skip("check_mailq is not installed")
    done = host.run(plugin, "-w", "1", "-c", "5", "-M", kind)
    assert done.returncode == 0
    assert done.stdout.startswith(b"OK")


def test_newaliases_of_maintainer_scripts(host):
    done = host.run("newaliases")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
