"""Programs that call sendmail, calling ours, as their packages ship them.

Callers that are not installed where the tests run, or that need a minute
(cron), are played: the same argv, the same octets, the same kind of
descriptor. Where each shape comes from stands beside it.
"""
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))
BUILD = Path(os.environ.get("SENDMAIL365_BUILD", TOP / "build"))

from fake365 import ALERTS, Rule, Scenario, Tenant  # noqa: E402

SENDMAIL = str(BUILD / "sendmail")
TO = "to@fabrikam.example"
CC = "cc@fabrikam.example"
BCC = "bcc@fabrikam.example"
AUTHOR = "web@site.example"
REFUSAL = "554 5.2.0 STOREDRV.Submission.Exception: refused by the test"
LARGE = b"0123456789abcdef" * 4 + b"\n"


class Host:
    """A host whose sendmail is ours: the configuration is the user's own,
    so that callers need to know nothing of it."""

    def __init__(self, tenant, directory):
        self.tenant = tenant
        self.directory = directory
        self.folder = directory / "sendmail365"
        self.folder.mkdir()
        self.configure()

    def configure(self, **account):
        self.config = self.tenant.write_config(
            self.folder, timeout=60, **account)

    def run(self, *command, stdin=b"", **options):
        """Run a caller, without a terminal and with a home of its own."""
        environment = {
            **os.environ, "HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self.directory), "LC_ALL": "C.UTF-8",
            **options.pop("env", {})}
        source = {"input": stdin} if isinstance(stdin, bytes) else {
            "stdin": stdin}
        return subprocess.run(
            [str(c) for c in command], **source, env=environment, timeout=60,
            cwd=self.directory, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True, **options)

    def file(self, content, name="input"):
        path = self.directory / name
        path.write_bytes(content)
        return path

    def received(self):
        """The one message that Exchange has, checked for what holds of each:
        its sender is the account, no Bcc, and no line end but CRLF."""
        assert len(self.tenant.messages) == 1
        message = self.tenant.messages[0]
        assert message.sender == ALERTS
        froms = message.parsed.get_all("From")
        assert len(froms) == 1
        assert [a.addr_spec for a in froms[0].addresses] == [ALERTS]
        assert b"\nbcc:" not in b"\n" + message.head.lower()
        without = message.raw.replace(b"\r\n", b"")
        assert b"\r" not in without and b"\n" not in without
        return message

    def refuse(self):
        """Exchange refuses all messages from now on."""
        self.tenant.scenario = Scenario(Rule("final", "reply", REFUSAL))


@pytest.fixture
def host(tmp_path):
    with Tenant() as tenant:
        yield Host(tenant, tmp_path)


def assert_silent(done):
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def needs(program):
    return pytest.mark.skipif(
        not shutil.which(program), reason=f"{program} is not installed")


# ---- PHP's mail() ----

PHP_BASE = 'exit(mail("to@fabrikam.example", "subject", {body}, {headers}' \
    '{fifth}) ? 0 : 1);'


def php_mail(host, body='"body\\n"', headers='""', fifth=None):
    """mail() of a script; status 0: it returned true, 1: false."""
    script = PHP_BASE.format(
        body=body, headers=headers, fifth=f", {fifth}" if fifth else "")
    return host.run(
        "php", "-n", "-d", f"sendmail_path={SENDMAIL} -t -i -C {host.config}",
        "-d", "display_errors=stderr", "-r", script)


@needs("php")
def test_php_mail_with_mixed_line_ends_bcc_and_lone_dot(host):
    done = php_mail(
        host, body=r'"one\r\ntwo\n.\r\nlast"',
        headers=f'"From: Web <{AUTHOR}>\\nCc: {CC}\\r\\nBcc: {BCC}"',
        fifth=f'"-f{AUTHOR}"')
    assert_silent(done)
    message = host.received()
    assert sorted(message.recipients) == [BCC, CC, TO]
    assert message.body == b"one\r\ntwo\r\n.\r\nlast\r\n"
    assert message.parsed["From"] == f"Web <{ALERTS}>"
    assert message.parsed["Reply-To"].addresses[0].addr_spec == AUTHOR
    assert message.parsed["Subject"] == "subject"


@needs("php")
def test_php_mail_without_headers_comes_from_the_account(host):
    assert_silent(php_mail(host))
    message = host.received()
    assert message.recipients == [TO]
    assert message.parsed["Date"] and message.parsed["Message-ID"]


@needs("php")
def test_php_fifth_parameter_may_name_an_allowed_sender(host):
    host.tenant.directory.mailbox(ALERTS).send_as = [AUTHOR]
    host.configure(send_as=AUTHOR)
    done = php_mail(host, headers=f'"From: {AUTHOR}"',
                    fifth=f'"-f{AUTHOR}"')
    assert_silent(done)
    message = host.tenant.messages[0]
    assert message.sender == AUTHOR
    assert message.parsed["From"] == AUTHOR


@needs("php")
@pytest.mark.parametrize("fifth, status, is_sent", [
    # What opens files elsewhere is accepted, and nothing is opened.
    ("'-fa@b.example -X{file} -OQueueDirectory={folder}'", 0, True),
    ("'-fa@b.example -oA{file} -D{file} -oQ{folder}'", 0, True),
    # escapeshellcmd() leaves paired quotes and backslashes as they are.
    (r''''-f"a\" -X{file} -OQueueDirectory={folder} "@b.example' ''', 1, False),
    # Further words are recipients; "touch" is one without a domain: refused,
    # and the others are reached.
    ("'-fa@b.example; touch {file}'", 1, True),
    ("'-fa@b.example -be'", 1, False),
    ("'-fa@b.example -C/etc/passwd -X{file}'", 1, False),
])
def test_php_fifth_parameter_cannot_write_files(host, fifth, status, is_sent):
    target = host.directory / "injected.php"
    folder = host.directory / "empty"
    folder.mkdir()
    done = php_mail(host, body="'<?php phpinfo();'",
                    fifth=fifth.format(file=target, folder=folder))
    assert (done.returncode, done.stdout) == (status, b"")
    assert b"root:" not in done.stderr  # nor can it read /etc/passwd
    assert not target.exists()
    assert not list(folder.iterdir())
    sent_to = [m.recipients for m in host.tenant.messages]
    assert sent_to == ([[TO]] if is_sent else [])


@needs("php")
@pytest.mark.parametrize("header", [
    r'"From: a@b.example\r\n\r\nBcc: evil@b.example"',
    r'"From: a@b.example\r\n\nBcc: evil@b.example"',
])
def test_php_refuses_a_header_with_an_empty_line(host, header):
    done = php_mail(host, headers=header)
    assert done.returncode == 1
    assert not host.tenant.messages


@needs("php")
def test_php_line_breaks_in_to_and_subject_add_no_recipient(host):
    script = (r'exit(mail("to@fabrikam.example\r\nBcc: evil@b.example", '
              r'"s\r\nBcc: evil@b.example", "b") ? 0 : 1);')
    host.run("php", "-n", "-d", f"sendmail_path={SENDMAIL} -t -i", "-r",
             script)
    for message in host.tenant.messages:
        assert message.parsed["Bcc"] is None
        assert message.parsed["Subject"] == "s  Bcc: evil@b.example"


@needs("php")
def test_php_mail_returns_false_when_exchange_refuses(host):
    host.refuse()
    done = php_mail(host)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"sendmail: fatal: ")
    assert done.stderr.count(b"\n") == 1
    assert not host.tenant.messages


@needs("php")
@pytest.mark.parametrize("reply, status", [
    ("451 4.7.0 Temporary server error", 75), ("550 5.1.1 unknown", 67),
    ("552 5.3.4 too large", 65)])
def test_php_mail_returns_false_for_every_status(host, reply, status):
    """75 is no success either."""
    host.tenant.scenario = Scenario(Rule("final", "reply", reply))
    done = host.run(SENDMAIL, "-C", host.config, TO, stdin=b"s\n")
    assert done.returncode == status
    assert php_mail(host).returncode == 1


@needs("php")
def test_php_mail_returns_false_when_the_secret_is_wrong(host):
    (host.folder / "client-secret").write_text("not-the-right~secret\n")
    done = php_mail(host, body='str_repeat("0123456789abcde\\n", 30000)')
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"AADSTS7000215" in done.stderr


# ---- mail programs ----

def bsd_mailx(host, *arguments, stdin=b"body\n"):
    rc = host.file(f"set sendmail={SENDMAIL}\n".encode(), "mailrc")
    return host.run("bsd-mailx", *arguments, stdin=stdin,
                    env={"MAILRC": str(rc)})


@needs("bsd-mailx")
def test_bsd_mailx_with_bcc(host):
    assert_silent(bsd_mailx(host, "-s", "hello", "-b", BCC, "-c", CC, TO,
                            stdin=b"caf\xc3\xa9\n.\nend"))
    message = host.received()
    assert sorted(message.recipients) == [BCC, CC, TO]
    assert message.body.startswith("caf\u00e9\r\n".encode())
    assert message.parsed["Subject"] == "hello"


@needs("bsd-mailx")
def test_bsd_mailx_with_an_author(host):
    assert_silent(bsd_mailx(host, "-r", AUTHOR, "-s", "hello", TO))
    message = host.received()
    assert message.recipients == [TO]
    assert message.parsed["Reply-To"].addresses[0].addr_spec == AUTHOR


@needs("bsd-mailx")
def test_bsd_mailx_with_an_empty_body(host):
    done = bsd_mailx(host, "-s", "hello", TO, stdin=b"")
    assert done.returncode == 0
    assert host.received().body.strip() == b""


@needs("bsd-mailx")
def test_bsd_mailx_reports_a_refusal(host):
    host.refuse()
    done = bsd_mailx(host, "-s", "hello", TO)
    assert done.returncode == 1
    assert b"sendmail process failed with error code 69" in done.stderr
    assert b"sendmail: fatal: " in done.stderr


def mutt(host, *arguments, stdin=b"body\n", settings=""):
    rc = host.file(
        f'set sendmail="{SENDMAIL} -C {host.config} -oem -oi"\n'
        f"set copy=no\n{settings}\n".encode(), "muttrc")
    return host.run("mutt", "-n", "-F", rc, *arguments, stdin=stdin)


@needs("mutt")
def test_mutt_with_bcc_and_attachment(host):
    content = bytes(range(256)) * 400
    attachment = host.file(content, "data.bin")
    done = mutt(host, "-s", "hello", "-b", BCC, "-c", CC, "-a", attachment,
                "--", TO)
    assert_silent(done)
    message = host.received()
    assert sorted(message.recipients) == [BCC, CC, TO]
    [part] = message.parsed.iter_attachments()
    assert part.get_filename() == "data.bin"
    assert part.get_content() == content


@needs("mutt")
def test_mutt_with_envelope_sender_8bit_and_dsn(host):
    settings = (f"set from={AUTHOR} use_from use_envelope_from\n"
                "set use_8bitmime allow_8bit charset=utf-8 "
                "send_charset=utf-8\n"
                "set dsn_notify='failure,delay' dsn_return=hdrs")
    done = mutt(host, "-s", "hello", "--", TO, settings=settings,
                stdin="caf\u00e9\n".encode())
    assert_silent(done)
    message = host.received()
    assert message.recipients == [TO]
    assert message.body == "caf\u00e9\r\n".encode()
    assert message.parsed["Reply-To"].addresses[0].addr_spec == AUTHOR


@needs("mutt")
def test_mutt_reports_a_refusal(host):
    host.refuse()
    done = mutt(host, "-s", "hello", "--", TO)
    assert done.returncode == 1
    assert b"child exited 69" in done.stdout + done.stderr


# ---- scripts ----

RECIPE = f"From: {AUTHOR}\nTo: {TO}\nBcc: {BCC}\nSubject: s\n\nbody\n"


def test_python_subprocess(host):
    script = ("import subprocess, sys\n"
              "subprocess.run([sys.argv[1], '-t', '-oi'], check=True,\n"
              "               input=sys.argv[2].encode())\n")
    done = host.run("/usr/bin/python3", "-c", script, SENDMAIL, RECIPE)
    assert_silent(done)
    message = host.received()
    assert sorted(message.recipients) == [BCC, TO]
    assert message.body == b"body\r\n"


def test_python_popen_of_the_faq(host):
    script = ("import os, sys\n"
              "p = os.popen(sys.argv[1] + ' -t -i', 'w')\n"
              "p.write(sys.argv[2])\n"
              "status = p.close()\n"
              "sys.exit(0 if status is None else 3)\n")
    command = ["/usr/bin/python3", "-c", script, SENDMAIL, RECIPE]
    assert_silent(host.run(*command))
    assert sorted(host.received().recipients) == [BCC, TO]
    host.refuse()
    assert host.run(*command).returncode == 3


PERL = r"""
my ($command, $large) = @ARGV;
open(my $mail, "|$command") or die "open: $!";
print $mail "From: web\@site.example\nTo: to\@fabrikam.example\n";
print $mail "Subject: s\n\n", "0123456789abcdef\n" x $large, "body\n";
close $mail;
exit($? >> 8);
"""


@needs("perl")
def test_perl_pipe(host):
    done = host.run("perl", "-e", PERL, f"{SENDMAIL} -t -oi -oem", 0)
    assert_silent(done)
    assert host.received().body == b"body\r\n"


@needs("perl")
def test_perl_pipe_reports_a_refusal(host):
    host.refuse()
    done = host.run("perl", "-e", PERL, f"{SENDMAIL} -t -oi -oem", 0)
    assert done.returncode == os.EX_UNAVAILABLE


@needs("perl")
@pytest.mark.parametrize("arguments, status", [
    ("-t --no-such-option", os.EX_USAGE),
    ("-t -C /nonexistent", os.EX_CONFIG),
    ("-f 'not@@valid' to@fabrikam.example", os.EX_USAGE),
])
def test_perl_is_not_killed_by_sigpipe(host, arguments, status):
    """430 kB for a sendmail that knows at once that it cannot send."""
    done = host.run("perl", "-e", PERL, f"{SENDMAIL} {arguments}", 25000)
    assert done.returncode == status
    assert done.stderr.startswith(b"sendmail: fatal: ")
    assert not host.tenant.messages


# ---- callers that are played ----

CRON_HEAD = (b"From: root (Cron Daemon)\nTo: to@fabrikam.example\n"
             b"Subject: Cron <root@web1> backup (failed)\n"
             b"MIME-Version: 1.0\n"
             b"Content-Type: text/plain; charset=UTF-8\n"
             b"Content-Transfer-Encoding: 8bit\n"
             b"X-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/root>\n\n")
CRONIE_HEAD = CRON_HEAD.replace(
    b"root (Cron Daemon)", b'"(Cron Daemon)" <root>').replace(
    b"MIME-", b"Auto-Submitted: auto-generated\nPrecedence: bulk\nMIME-")
PLAIN = b"Subject: s\nTo: to@fabrikam.example\n\nbody\n"
WITH_BCC = (b"From: web@site.example\nTo: to@fabrikam.example\n"
            b"Bcc: bcc@fabrikam.example,\n other@fabrikam.example\n"
            b"Subject: s\n\nbody\n")

#: name -> (argv, standard input, recipients, body)
PLAYED = {
    # cron 3.0pl1-162: one argument for all of MAILTO; output that lacks a
    # last line end, which every message must have
    "Debian cron": (
        ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", f"{TO},{CC}"],
        CRON_HEAD + b"caf\xc3\xa9\n.\nend", [CC, TO],
        b"caf\xc3\xa9\r\n.\r\nend\r\n"),
    "Debian cron, any octets": (
        ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", TO],
        CRON_HEAD + LARGE * 8000, [TO], (LARGE * 8000).replace(
            b"\n", b"\r\n")),
    # cronie: src/do_command.c
    "cronie": (
        ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", "root"],
        CRONIE_HEAD + b"output\n", [TO], b"output\r\n"),
    # busybox: miscutils/crond.c
    "busybox crond": (["-ti"], PLAIN, [TO], b"body\r\n"),
    # anacron 2.3
    "anacron": (["-FAnacron", "-odi", TO], PLAIN, [TO], b"body\r\n"),
    # fail2ban 1.0: no -i, no -t, no final line end
    "fail2ban": (
        ["-f", AUTHOR, TO], b"Subject: ban\nFrom: F <web@site.example>\n"
        b"To: to@fabrikam.example\n\nHi,\n\nThe IP", [TO],
        b"Hi,\r\n\r\nThe IP\r\n"),
    # mdadm --monitor: popen("/usr/sbin/sendmail -t")
    "mdadm": (
        ["-t"], b"From: mdadm monitoring <root@web1>\n" + PLAIN, [TO],
        b"body\r\n"),
    # logwatch: no -i, so a lone dot ends the report
    "logwatch": (["-t"], PLAIN + b".\nnot sent\n", [TO], b"body\r\n"),
    # Perl's Email::Sender and Mail::Box: Bcc in the header, all in argv
    "Email::Sender": (
        ["-i", "-f", AUTHOR, "--", TO, BCC], WITH_BCC, [BCC, TO],
        b"body\r\n"),
    # PHPMailer's isSendmail()
    "PHPMailer": (
        ["-t", "-i", "-oi", f"-f{AUTHOR}", "-t"], WITH_BCC,
        [BCC, "other@fabrikam.example", TO], b"body\r\n"),
    # Symfony Mailer, -t removed
    "Symfony": (["-i", f"-f{AUTHOR}", "--", TO], PLAIN, [TO], b"body\r\n"),
    # git send-email 2.39: no "--"
    "git send-email": (
        ["-f", AUTHOR, "-i", TO, CC], PLAIN, [CC, TO], b"body\r\n"),
    # Sympa: an empty word for the null sender
    "Sympa": (
        ["-N", "success,delay,failure", "-VID", "-f", "", "--", TO], PLAIN,
        [TO], b"body\r\n"),
    # MediaWiki: two To fields, one of them an empty group
    "MediaWiki": (
        ["-t", "-i", "-f", AUTHOR],
        b"To: undisclosed-recipients:;\n" + PLAIN, [TO], b"body\r\n"),
}


@pytest.mark.parametrize("name", PLAYED)
@pytest.mark.parametrize("kind", ["pipe", "file", "socket"])
def test_played_caller(host, name, kind):
    arguments, text, recipients, body = PLAYED[name]
    if kind == "pipe":
        done = host.run(SENDMAIL, *arguments, stdin=text)
    elif kind == "file":
        with open(host.file(text), "rb") as stream:
            done = host.run(SENDMAIL, *arguments, stdin=stream)
    else:
        done = run_with_socket(host, arguments, text)
    assert_silent(done)
    message = host.received()
    assert sorted(message.recipients) == sorted(recipients)
    assert message.body == body


def run_with_socket(host, arguments, text):
    """As Node.js gives its children a standard input."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        writer = subprocess.Popen(
            ["cat", str(host.file(text))], stdout=ours)
        ours.close()
        done = host.run(SENDMAIL, *arguments, stdin=theirs)
        writer.wait()
    return done


def test_nodemailer_with_mixed_line_ends_and_arguments(host):
    """nodemailer 6.8: CRLF in the header, the body as supplied, -t and
    recipients, the Bcc field kept."""
    text = (b"From: web@site.example\r\nTo: to@fabrikam.example\r\n"
            b"Bcc: bcc@fabrikam.example\r\nSubject: s\r\n\r\none\ntwo\r\n")
    assert_silent(run_with_socket(host, ["-i", "-t", TO, BCC], text))
    message = host.received()
    assert sorted(message.recipients) == [BCC, TO]
    assert message.body == b"one\r\ntwo\r\n"


def test_mailutils_closes_standard_output_and_error(host):
    """GNU mailutils 3.15."""
    done = host.run("/bin/sh", "-c", 'exec "$@" >&- 2>&-', "sh", SENDMAIL,
                    "-oi", "-f", AUTHOR, "-t", stdin=WITH_BCC)
    assert_silent(done)
    assert len(host.received().recipients) == 3


def test_cron_with_an_empty_environment(host):
    """cronie runs it with the job's environment, PHP-FPM with none."""
    arguments, text, recipients, _ = PLAYED["Debian cron"]
    done = subprocess.run(
        [SENDMAIL, "-C", host.config, *arguments], input=text, env={},
        cwd="/", timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert_silent(done)
    assert sorted(host.received().recipients) == recipients


def test_message_for_nobody_is_refused(host):
    done = host.run(SENDMAIL, "-t", stdin=b"Subject: s\n\nbody\n")
    assert done.returncode == os.EX_USAGE
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert not host.tenant.messages
