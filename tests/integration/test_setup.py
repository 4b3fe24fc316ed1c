"""setup: asks or is told, and writes a configuration whole or not at all."""
import fcntl
import os
import pty
import re
import resource
import select
import shutil
import signal
import stat
import struct
import subprocess
import termios
import time

import pytest

from fake365 import ALERTS, PASSWORD, Rule
from service import Service
from support import BOSS, BUILD, STUCK
from test_secrets import assert_no_secret

NOBODY = 65534
PROGRAM = str(BUILD / "sendmail365")
CLIENT_ID = "11111111-2222-3333-4444-555555555555"
OTHER_ID = "44444444-3333-4444-5555-666666666666"
SECRET_ID = "99999999-8888-7777-6666-555555555555"

is_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be another user")


class Target:
    """A place for a configuration, and the options that a test needs."""

    def __init__(self, mail):
        self.mail = mail
        self.tenant = mail.tenant
        self.home = mail.home / "etc"
        self.home.mkdir()
        self.directory = self.home / "sendmail365"
        self.config = self.directory / "sendmail365.conf"
        self.secrets = self.directory / "secrets"
        self.secret = self.secrets / "client-secret"
        self.secret_source = mail.home / "given"
        self.secret_source.write_text(self.tenant.client_secret + "\n")

    def plumbing(self, login=False):
        """What only a stand-in needs."""
        keys = self.tenant.account(login=login)
        names = ["host", "port", "ca_file", "authority"]
        values = [f"account.{k}={keys[k]}" for k in names if k in keys]
        values += [f"aliases.file={self.mail.directory}/aliases",
                   f"service.state_directory={self.mail.state}",
                   f"service.socket={self.home}/submit"]
        return [word for v in values for word in ("--set", v)]

    def needed(self, **changed):
        """The options of a whole configuration; None leaves one out."""
        options = {"user": ALERTS, "tenant": self.tenant.domain,
                   "client_id": self.tenant.client_id,
                   "secret_file": self.secret_source, **changed}
        return [word for name, value in options.items() if value is not None
                for word in ("--" + name.replace("_", "-"), str(value))]

    def run(self, *options, stdin=b"", plumbing=None, prefix=(), **how):
        plumbing = self.plumbing() if plumbing is None else plumbing
        return subprocess.run(
            [*prefix, PROGRAM, "setup", "-C", str(self.config), *plumbing,
             *options], input=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, timeout=STUCK, **how)

    def files(self):
        """{name: contents} of all that is below home."""
        return {str(p.relative_to(self.home)): p.read_bytes()
                for p in self.home.rglob("*") if p.is_file()}

    def check(self):
        return subprocess.run([PROGRAM, "check", "-C", str(self.config)],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=STUCK)

    def assert_whole(self):
        """check finds nothing wrong; modes and owner are as they should be."""
        checked = self.check()
        assert (checked.returncode, checked.stderr) == (0, b""), checked
        modes = {self.directory: 0o755, self.config: 0o644,
                 self.secrets: 0o700, self.secret: 0o600}
        for path, mode in modes.items():
            found = path.lstat()
            assert stat.S_IMODE(found.st_mode) == mode, path
            assert found.st_uid == os.geteuid()
        assert not list(self.home.rglob("*.tmp"))
        assert not list(self.home.rglob("*.new"))


@pytest.fixture
def target(mail):
    return Target(mail)


def assert_refused(result, status, *words):
    """One line that says why."""
    text = result.stderr.decode()
    assert result.returncode == status, text
    assert re.fullmatch(r"sendmail365: fatal: [^\n]+\n", text), text
    for word in words:
        assert str(word) in text, text


# ---- by options ----

def test_options_alone(target):
    done = target.run(*target.needed(), "--domain", "contoso.example",
                      "--root", BOSS, "--test", BOSS)
    assert done.returncode == 0, done.stderr
    target.assert_whole()
    assert target.secret.read_text() == target.tenant.client_secret + "\n"
    # The test mail was really sent, and Exchange's answer is shown.
    [sent] = target.tenant.messages
    assert sent.recipients == [BOSS]
    assert b"status=sent (250 " in done.stderr
    assert f"test mail to {BOSS} is on its way".encode() in done.stdout
    assert_no_secret(target.tenant, done.stdout, done.stderr,
                     target.config.read_bytes())


def test_what_is_written_is_short(target):
    """The four lines of the README, and nothing that is the default."""
    done = target.run(*target.needed(client_id=CLIENT_ID), plumbing=[])
    assert done.returncode == 0, done.stderr
    lines = target.config.read_text().splitlines()
    assert [line for line in lines if line and line[0] != "#"] == [
        "[account]", f"user = {ALERTS}", f"tenant = {target.tenant.domain}",
        f"client_id = {CLIENT_ID}",
        "client_secret_file = secrets/client-secret"]
    assert [line for line in lines if line.startswith("#")]


def test_steps_have_the_values(target):
    steps = target.run(*target.needed()).stdout.decode()
    for command in (
            f"New-ServicePrincipal -AppId {target.tenant.client_id} "
            "-ObjectId OBJECT_ID",
            f"Add-MailboxPermission -Identity {ALERTS} -User OBJECT_ID "
            "-AccessRights FullAccess",
            f"Set-CASMailbox -Identity {ALERTS} "
            "-SmtpClientAuthenticationDisabled $false",
            "SMTP.SendAsApp", "Enterprise applications"):
        assert command in steps
    before = target.files()
    again = target.run("--print", plumbing=[])
    assert again.returncode == 0 and again.stdout.decode() in steps
    assert target.files() == before


def test_steps_quote_what_a_shell_would_read(target):
    user = "o'neil&$x@contoso.example"
    done = target.run(*target.needed(user=user))
    assert done.returncode == 0, done.stderr
    assert (b"Set-CASMailbox -Identity 'o''neil&$x@contoso.example' "
            in done.stdout)


def test_steps_quote_what_powershell_takes_for_a_quote(target):
    done = target.run(*target.needed(user="o’x&y‛z‟@contoso.example"))
    assert done.returncode == 0, done.stderr
    assert ("-Identity 'o’’x&y‛‛z‟@contoso.example' "
            in done.stdout.decode())


def test_steps_for_other_senders(target):
    done = target.run(*target.needed(),
                      "--set", "account.send_as=a@x.example, @y.example")
    assert (f"Add-RecipientPermission -Identity a@x.example -Trustee {ALERTS} "
            "-AccessRights SendAs").encode() in done.stdout
    assert b"Identity @y.example" not in done.stdout


def test_password(target):
    target.secret_source.write_text(PASSWORD)
    done = target.run("--user", ALERTS, "--auth", "password", "--secret-file",
                      str(target.secret_source), "--test", BOSS,
                      plumbing=target.plumbing(login=True))
    assert done.returncode == 0, done.stderr
    assert "password_file = secrets/password" in target.config.read_text()
    assert b"nothing to do at Microsoft" in done.stdout
    assert len(target.tenant.messages) == 1


def test_password_at_microsoft(target):
    target.secret_source.write_text(PASSWORD)
    done = target.run("--user", ALERTS, "--auth", "password", "--secret-file",
                      str(target.secret_source), plumbing=[])
    assert done.returncode == 0, done.stderr
    for words in (b"end of December 2026", b"security defaults",
                  b"Set-CASMailbox -Identity " + ALERTS.encode()):
        assert words in done.stdout
    assert b"New-ServicePrincipal" not in done.stdout


def test_relay_without_sign_in(target):
    done = target.run("--user", ALERTS, "--auth", "none", "--host",
                      "relay.contoso.example", plumbing=[])
    assert done.returncode == 0, done.stderr
    assert "auth = none\nhost = relay.contoso.example\n" in (
        target.config.read_text())
    assert not target.secrets.exists()


def test_secret_from_standard_input(target):
    done = target.run(*target.needed(secret_file="-"),
                      stdin=target.tenant.client_secret.encode() + b"\r\n")
    assert done.returncode == 0, done.stderr
    target.assert_whole()
    assert target.secret.read_text() == target.tenant.client_secret + "\n"


def test_secret_elsewhere(target):
    """An administrator has put the secret somewhere: it stays there."""
    target.secret_source.chmod(0o600)
    done = target.run(*target.needed(secret_file=None), "--set",
                      f"account.client_secret_file={target.secret_source}")
    assert done.returncode == 0, done.stderr
    assert target.check().returncode == 0
    assert not target.secrets.exists()


def test_the_ids_mistake_is_seen(target):
    target.secret_source.write_text(SECRET_ID)
    done = target.run(*target.needed())
    assert done.returncode == 0
    assert b"this looks like the secret's ID" in done.stdout


@pytest.mark.parametrize("missing", [
    "user", "tenant", "client_id", "secret_file"])
def test_missing_option_is_named(target, missing):
    done = target.run(*target.needed(**{missing: None}))
    assert_refused(done, 64, f"--{missing.replace('_', '-')} is missing")
    assert target.files() == {}


def test_missing_host_is_named(target):
    done = target.run("--user", ALERTS, "--auth", "none", plumbing=[])
    assert_refused(done, 64, "--host is missing")


MISTAKES = {
    "user": ({"user": "alerts"}, ["--user", "has no domain"]),
    "user-twice": ({"user": "a@b@c.example"}, ["--user"]),
    "tenant": ({"tenant": "common"}, ["--tenant", "no particular tenant"]),
    "client-id": ({"client_id": "11111111"}, ["--client-id", "is not an ID"]),
    "auth": ({"auth": "magic"}, ["--auth", "magic"]),
    "domain": ({"domain": "contoso"}, ["--domain", "is not a domain"]),
    "root": ({"root": "|/bin/sh"}, ["--root", "pipe"]),
    "test": ({"test": "boss"}, ["--test", "has no domain"]),
    "unknown-key": ({"set": "account.usr=x"}, ['did you mean "user"?']),
    "unknown-section": ({"set": "acount.user=x"}, ['"account"']),
    "no-section": ({"set": "user=x"}, ["SECTION.KEY"]),
    "no-value": ({"set": "account.host"}, ["SECTION.KEY=VALUE"]),
    "empty": ({"root": ""}, ["--root", "empty"]),
    # what a file could not say
    "comment": ({"set": "rewrite.display_name=a ; b"}, ["comment"]),
    "comment-at-once": ({"set": "aliases.a=; b@x.example"}, ["no value"]),
    "hash": ({"set": "rewrite.display_name=a # b"}, ["comment"]),
    "blank": ({"root": f"{BOSS} "}, ["blanks at the ends"]),
    "line-end": ({"set": f"aliases.a={BOSS}\n[log]"}, ["line end"]),
    "line-end-in-key": ({"set": f"aliases.a\nb={BOSS}"}, ["line end"]),
    "section-for-a-key": ({"set": f"aliases.[log]={BOSS}"}, ["aliases.[log]"]),
    "escape": ({"set": "aliases.a=\x1b[2J"}, ["control character"]),
    "not-utf-8": ({"set": b"aliases.a=\xff"}, ["UTF-8"]),
    "long": ({"set": "aliases.a=" + "x" * 200}, ["more than the limit"]),
    # what is right alone, and wrong together
    "host": ({"set": "account.host=evil.example"}, ["no host of Microsoft's",
                                                    "nothing is written"]),
    "loop": ({"root": "a", "set": "aliases.a=root"}, ["alias loop"]),
    "twice": ({"set": f"account.user={BOSS}"}, ["given twice"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(target, name):
    changed, words = MISTAKES[name]
    raw = [v for v in changed.values() if isinstance(v, bytes)]
    options = target.needed(**{
        k: v for k, v in changed.items() if not isinstance(v, bytes)})
    plumbing = [] if name == "host" else None
    done = target.run(*options, *[w for v in raw for w in ("--set", v)],
                      plumbing=plumbing)
    assert_refused(done, 64 if "nothing" not in str(words) and
                   name != "loop" else 78, *words)
    assert target.files() == {}
    assert not target.directory.exists()


@pytest.mark.parametrize("text, words", [
    (b"", "empty"), (b"\n", "empty"), (b"a\nb", "line end"),
    (b"\xef\xbb\xbfx", "byte order mark"), (b"x" * 20000, "no secret")])
def test_bad_secret(target, text, words):
    done = target.run(*target.needed(secret_file="-"), stdin=text)
    assert done.returncode in (64, 78)
    assert words in done.stderr.decode()
    assert not target.directory.exists()


ODD = {
    "rewrite.display_name": 'Web "1"#1; {name} = [x]: \'y\' \\',
    "aliases.ops": 'a#b@x.example, "c;d"@x.example',
}


def test_odd_values_survive(target):
    """What the reader of the file takes for nothing special comes back."""
    done = target.run(*target.needed(), "--root", BOSS, *[
        word for name, value in ODD.items()
        for word in ("--set", f"{name}={value}")])
    assert done.returncode == 0, done.stderr
    text = target.config.read_text()
    for name, value in ODD.items():
        assert f"{name.split('.')[1]} = {value}\n" in text
    target.assert_whole()


# ---- what is there already ----

def test_existing_configuration_stays(target):
    assert target.run(*target.needed()).returncode == 0
    before = target.files()
    again = target.run(*target.needed(user=BOSS))
    assert_refused(again, 64, target.config, "--replace")
    assert target.files() == before


def test_replace_keeps_the_old(target):
    assert target.run(*target.needed()).returncode == 0
    old = target.config.read_bytes()
    target.config.chmod(0o640)
    target.secret_source.write_text("another secret\n")
    done = target.run("--replace", *target.needed(user=BOSS))
    assert done.returncode == 0, done.stderr
    kept = target.directory / "sendmail365.conf.old"
    assert kept.read_bytes() == old
    assert stat.S_IMODE(kept.stat().st_mode) == 0o640
    # It may hold the password of a proxy.
    assert stat.S_IMODE(target.config.stat().st_mode) == 0o640
    # The old one still works, with the old secret.
    assert target.secret.read_text() == target.tenant.client_secret + "\n"
    assert (target.secrets / "client-secret-2").read_text() == (
        "another secret\n")
    assert "client_secret_file = secrets/client-secret-2\n" in (
        target.config.read_text())
    assert target.check().returncode == 0


def test_replace_again_and_again(target):
    """The secret in use is never touched, and there are never many."""
    assert target.run(*target.needed()).returncode == 0
    for i in range(4):
        in_use = re.search("secrets/(.*)", target.config.read_text())[1]
        kept = (target.secrets / in_use).read_text()
        target.secret_source.write_text(f"secret number {i}\n")
        assert target.run("--replace", *target.needed()).returncode == 0
        now = re.search("secrets/(.*)", target.config.read_text())[1]
        assert now != in_use
        assert (target.secrets / in_use).read_text() == kept
        assert (target.secrets / now).read_text() == f"secret number {i}\n"
    assert len(list(target.secrets.iterdir())) == 2


def test_replace_with_the_same_secret(target):
    assert target.run(*target.needed()).returncode == 0
    done = target.run("--replace", *target.needed(), "--root", BOSS)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in target.secrets.iterdir()] == ["client-secret"]
    target.assert_whole()


@pytest.mark.parametrize("spoil, words", [
    (lambda config: config.write_text("[acount]\n"),
     ["sendmail365.conf:1:", "account"]),
    (lambda config: config.chmod(0o666), ["others can write"]),
], ids=["wrong", "open"])
def test_replace_a_broken_one(target, spoil, words):
    """It is said that nothing of it is kept; and there is a new one."""
    assert target.run(*target.needed(), "--root", BOSS).returncode == 0
    spoil(target.config)
    done = target.run("--replace", *target.needed())
    assert done.returncode == 0, done.stderr
    for word in ["nothing is taken over from the old one", *words]:
        assert word in done.stderr.decode()
    assert "root =" not in target.config.read_text()
    target.assert_whole()


def test_replace_of_a_broken_one_asks_for_all(target):
    target.directory.mkdir(mode=0o755)
    target.config.write_text("[acount]\n")
    done = target.run("--replace", "--root", BOSS, plumbing=[])
    assert done.returncode == 64
    assert b"--user is missing" in done.stderr
    assert target.config.read_text() == "[acount]\n"


#: What an administrator has made of a configuration; {first} is the account's
#: lines behind its user, which are those of the stand-in.
GROWN = """\
; ours, see ticket 4711
[account shop]
user = shop@contoso.example   ; the web shop
tenant = 22222222-3333-4444-5555-666666666666
client_id = 33333333-3333-4444-5555-666666666666
client_secret_file = {shop}

# who sends as whom
[route]
default = {user}
rule = user:www-data shop
rule = @shop.example shop

[account]
# The mailbox that signs in: the sender of all mail.
user = {user}
{first}
max_connections = 2 ; be kind
send_as = reports@contoso.example
send_as = @example.org

[aliases]
# Who gets the mail of root, such as cron's.
Root = admin, boss@contoso.example  ; both
admin = admin@contoso.example
file = {aliases}

[queue]
lifetime = 2d

[service]
state_directory = {state}
socket = {socket}
"""


def grow(target):
    """The configuration of GROWN; returns its text."""
    assert target.run(*target.needed()).returncode == 0
    keys = target.tenant.account()
    shop = target.secrets / "shop"
    shop.write_text("of the shop\n")
    shop.chmod(0o600)
    target.config.write_text(GROWN.format(
        user=ALERTS, shop=shop, aliases=target.mail.directory / "aliases",
        state=target.mail.state, socket=target.home / "submit",
        first="\n".join(f"{k} = {v}" for k, v in
                        {**keys, "client_secret_file":
                         "secrets/client-secret"}.items() if k != "user")))
    return target.config.read_text()


def changes(old, new):
    """The lines that went, and those that came."""
    old, new = old.splitlines(), new.splitlines()
    return [x for x in old if x not in new], [x for x in new if x not in old]


def test_replace_without_options_changes_nothing(target):
    """The very same text, and the secret is where it was."""
    text = grow(target)
    before = target.files()
    done = target.run("--replace", plumbing=[])
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    assert target.config.read_text() == text
    kept = "sendmail365/sendmail365.conf.old"
    assert target.files() == {**before, kept: text.encode()}


def test_replace_changes_what_is_given(target):
    text = grow(target)
    done = target.run(
        "--replace", "--root", BOSS, "--domain", "contoso.example",
        "--default", "root", "--set", "queue.lifetime=3d", "--set",
        "aliases.ops=admin", "--set", "route.rule=user:backup shop",
        "--set", "log.level=debug", "--set", f"account.send_as={BOSS}",
        plumbing=[])
    assert done.returncode == 0, done.stderr
    new = target.config.read_text()
    went, came = changes(text, new)
    assert went == [
        "rule = user:www-data shop", "rule = @shop.example shop",
        "send_as = reports@contoso.example", "send_as = @example.org",
        "Root = admin, boss@contoso.example  ; both", "lifetime = 2d"]
    assert came == [
        "rule = user:backup shop", f"send_as = {BOSS}", f"root = {BOSS}",
        "# Who gets the mail of all other names.", "default = root",
        "ops = admin", "lifetime = 3d", "[rewrite]",
        "# Added to names without a domain.", "domain = contoso.example",
        "[log]", "level = debug"]
    # What is new stands where it belongs.
    aliases = new.partition("[aliases]\n")[2].partition("\n[queue]")[0]
    assert "ops = admin\n" in aliases and "default = root\n" in aliases
    assert target.check().returncode == 0
    # A second time there is nothing to do.
    assert target.run("--replace", "--root", BOSS, "--set",
                      "aliases.ops=admin", plumbing=[]).returncode == 0
    assert target.config.read_text() == new


def test_replace_that_contradicts_what_stays(target):
    text = grow(target)
    before = target.files()
    done = target.run("--replace", "--user", BOSS, plumbing=[])
    number = text.splitlines().index(f"default = {ALERTS}") + 1
    assert_refused(done, 78, "nothing is written", f":{number}: default",
                   ALERTS)
    assert target.files() == before
    done = target.run("--replace", "--user", BOSS, "--set",
                      f"route.default={BOSS}", plumbing=[])
    assert done.returncode == 0, done.stderr


def test_replace_of_accounts_that_have_names(target):
    """It is about the first, and the others stay."""
    text = grow(target).replace("[account]", "[account alerts]").replace(
        f"default = {ALERTS}", "default = alerts")
    first, _, rest = text.partition("[account alerts]")
    route = first.index("# who")
    target.config.write_text(
        f"[account alerts]{rest}\n{first[:route]}{first[route:]}")
    before = target.config.read_text()
    assert target.run("--replace", "--set", "account.max_connections=1",
                      plumbing=[]).returncode == 0
    assert changes(before, target.config.read_text()) == (
        ["max_connections = 2 ; be kind"], ["max_connections = 1"])


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_replace_keeps_line_ends(target, end):
    assert target.run(*target.needed()).returncode == 0
    text = "\n".join(target.config.read_text().splitlines())
    old = (text.replace("\n", end) if end == "\r\n" else text) + end
    target.config.write_bytes(old.encode())
    assert target.run("--replace", "--set", "log.level=info",
                      plumbing=[]).returncode == 0
    assert target.config.read_bytes() == (
        f"{old if end else old + chr(10)}\n[log]\nlevel = info\n".encode())


def test_replace_keeps_what_only_some_may_read(target):
    """A password of a proxy: the file stays as closed as it was."""
    assert target.run(*target.needed()).returncode == 0
    target.config.write_text(target.config.read_text().replace(
        "[account]\n", "[account]\nproxy = http://me:pass@127.0.0.1:1\n"))
    target.config.chmod(0o640)
    os.chown(target.config, -1, os.getegid())
    assert target.run("--replace", "--root", BOSS,
                      plumbing=[]).returncode == 0
    assert "proxy = http://me:pass@127.0.0.1:1\n" in (
        target.config.read_text())
    assert stat.S_IMODE(target.config.stat().st_mode) == 0o640
    assert target.check().returncode == 0


@pytest.mark.parametrize("options, status, words", [
    (["--client-id", OTHER_ID], 64, "--secret-file is missing"),
    (["--auth", "password"], 64, "--secret-file is missing"),
    (["--user", BOSS], 0, ""),
    (["--tenant", "CONTOSO.example"], 0, ""),
])
def test_replace_keeps_a_secret_that_belongs_to_it(
        target, options, status, words):
    """Another application's is another secret."""
    assert target.run(*target.needed()).returncode == 0
    before = target.files()
    done = target.run("--replace", *options, plumbing=[])
    assert done.returncode == status, done.stderr
    assert words in done.stderr.decode()
    if status:
        assert target.files() == before
    else:
        assert target.secret.read_text() == target.tenant.client_secret + "\n"
        target.assert_whole()


def test_replace_without_the_old_secret(target):
    assert target.run(*target.needed()).returncode == 0
    target.secret.unlink()
    done = target.run("--replace", "--root", BOSS, plumbing=[])
    assert_refused(done, 78, "without --secret-file", target.secret,
                   "no such file")
    done = target.run("--replace", "--secret-file", str(target.secret_source),
                      plumbing=[])
    assert done.returncode == 0, done.stderr
    target.assert_whole()


def test_replace_one_way_to_sign_in_by_another(target):
    """What belongs to the first goes; and back again."""
    assert target.run(*target.needed(), "--root", BOSS).returncode == 0
    target.secret_source.write_text(PASSWORD)
    done = target.run("--replace", "--auth", "password", "--secret-file",
                      str(target.secret_source), "--host",
                      "relay.contoso.example", "--login", "x", plumbing=[])
    assert done.returncode == 0, done.stderr
    text = target.config.read_text()
    for key in ("tenant", "client_id", "client_secret_file", "authority",
                "auth"):
        assert f"\n{key} = " not in text
    assert "password_file = secrets/password\n" in text
    assert f"root = {BOSS}\n" in text
    done = target.run("--replace", "--auth", "none", plumbing=[])
    assert done.returncode == 0, done.stderr
    text = target.config.read_text()
    assert "auth = none\n" in text and "password_file" not in text
    assert "host = relay.contoso.example\n" in text
    # An application's ID says what it is about.
    done = target.run("--replace", *target.needed(user=None))
    assert done.returncode == 0, done.stderr
    text = target.config.read_text()
    assert "auth = " not in text and "relay.contoso" not in text
    assert f"user = {ALERTS}\n" in text and f"root = {BOSS}\n" in text
    assert target.check().returncode == 0


def test_a_secret_that_is_there_stays(target):
    """Somebody has put one there, and nothing names it yet."""
    target.directory.mkdir(mode=0o755)
    target.secrets.mkdir(mode=0o700)
    target.secret.write_text("by hand\n")
    target.secret.chmod(0o600)
    assert target.run(*target.needed()).returncode == 0
    assert target.secret.read_text() == "by hand\n"
    assert (target.secrets / "client-secret-2").exists()


def test_links_are_not_followed(target):
    elsewhere = target.mail.home / "elsewhere"
    elsewhere.write_text("precious\n")
    target.directory.mkdir(mode=0o755)
    target.secrets.mkdir(mode=0o700)
    for name in ("client-secret", "client-secret-2"):
        (target.secrets / name).symlink_to(elsewhere)
    (target.directory / "sendmail365.conf.new").symlink_to(elsewhere)
    done = target.run(*target.needed())
    assert done.returncode == 0, done.stderr
    assert elsewhere.read_text() == "precious\n"
    used = target.secrets / "client-secret-2"
    assert not used.is_symlink()
    assert stat.S_IMODE(used.lstat().st_mode) == 0o600
    assert not target.config.is_symlink()


def test_secrets_that_is_a_link(target):
    elsewhere = target.mail.home / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    target.directory.mkdir(mode=0o755)
    target.secrets.symlink_to(elsewhere)
    done = target.run(*target.needed())
    assert done.returncode != 0 and b"secrets" in done.stderr
    assert list(elsewhere.iterdir()) == [] and target.files() == {}


@pytest.mark.parametrize("name, mode", [
    ("secrets", 0o755), (".", 0o777)])
def test_open_directory_is_refused(target, name, mode):
    target.directory.mkdir(mode=0o755)
    target.secrets.mkdir(mode=0o700)
    (target.directory / name).chmod(mode)
    done = target.run(*target.needed())
    assert_refused(done, 78, "nothing is changed", "chmod")
    assert target.files() == {}


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_umask_has_no_say(target, umask):
    done = target.run(*target.needed(), preexec_fn=lambda: os.umask(umask))
    assert done.returncode == 0, done.stderr
    target.assert_whole()


# ---- bad moments ----

@pytest.mark.limits
@pytest.mark.parametrize("octets", [10, 60])
@pytest.mark.parametrize("is_new", [True, False])
def test_file_size_limit(target, octets, is_new):
    """The secret does not fit, or the configuration does not."""
    if not is_new:
        assert target.run(*target.needed()).returncode == 0
        target.secret_source.write_text("another secret, of some length\n")
    before = target.files()
    done = target.run("--replace", *target.needed(), preexec_fn=lambda:
                      resource.setrlimit(resource.RLIMIT_FSIZE,
                                         (octets, octets)))
    assert_refused(done, 75, "nothing is changed", "File too large")
    assert target.files() == before
    assert target.directory.exists() != is_new


def in_namespace(script):
    """Words that run a command in a mount namespace that `script` makes."""
    return ["unshare", "--mount", "sh", "-euc", script + '\n"$@"', "sh"]


def needs_namespace():
    if shutil.which("unshare") is None or subprocess.run(
            ["unshare", "--mount", "true"], stderr=subprocess.DEVNULL
            ).returncode != 0:
        pytest.skip("no mount namespaces here")


@is_root
def test_full_disk(target):
    """Room for the secret alone: neither is there afterwards."""
    needs_namespace()
    listing = target.mail.home / "listing"
    prefix = in_namespace(
        f"mount -t tmpfs -o size=4k,mode=755 tmpfs {target.home}\n"
        f"trap 'find {target.home} > {listing}' EXIT")
    done = target.run(*target.needed(), prefix=prefix)
    assert_refused(done, 75, "nothing is changed", "No space left")
    assert listing.read_text().split() == [str(target.home)]


@is_root
def test_read_only_disk(target):
    needs_namespace()
    prefix = in_namespace(
        f"mount -t tmpfs -o ro tmpfs {target.home}")
    done = target.run(*target.needed(), prefix=prefix)
    assert_refused(done, 77, "Read-only")


def test_directory_that_cannot_be_made(target):
    shutil.rmtree(target.home)
    assert_refused(target.run(*target.needed()), 75, "cannot make")


KILLED = "mkdir,mkdirat,fchmod,fchmodat,fsync,renameat,linkat,unlinkat"


@pytest.mark.limits
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
@pytest.mark.parametrize("is_new", [True, False])
def test_killed_at_any_moment(target, is_new):
    """There is the old configuration or the new one, and it works."""
    moments = 0
    while True:
        moments += 1
        shutil.rmtree(target.directory, ignore_errors=True)
        target.secret_source.write_text("the first secret\n")
        if not is_new:
            assert target.run(*target.needed()).returncode == 0
        old = target.config.read_text() if not is_new else None
        target.secret_source.write_text("the second one\n")
        done = target.run(
            "--replace", *target.needed(user=BOSS), prefix=[
                "strace", "-o", "/dev/null", "-e", f"trace={KILLED}", "-e",
                f"inject={KILLED}:signal=KILL:when={moments}"])
        if done.returncode == 0:
            break
        assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), (
            done.stderr)
        if target.config.exists():
            text = target.config.read_text()
            assert f"user = {BOSS}" in text or text == old
            name = re.search("secrets/(.*)", text)[1]
            assert (target.secrets / name).read_text() == (
                "the second one\n" if f"user = {BOSS}" in text
                else "the first secret\n")
            assert target.check().returncode == 0
        else:
            assert is_new
        # What was left behind is in nobody's way.
        assert target.run("--replace", *target.needed()).returncode == 0
        assert target.check().returncode == 0
    assert moments > 5


def stopped_at(target, call, *options):
    """A setup that has come as far as its first system call of this name."""
    process = subprocess.Popen(
        ["strace", "-D", "-o", "/dev/null", "-e", f"trace={call}", "-e",
         f"inject={call}:signal=STOP:when=1", PROGRAM, "setup", "-C",
         str(target.config), *target.plumbing(), *options],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE)
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), process.stderr.read()
    return process


def go_on(process):
    process.send_signal(signal.SIGCONT)
    return subprocess.CompletedProcess(
        process.args, process.wait(STUCK), stderr=process.stderr.read())


@pytest.mark.limits
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("secret", ["the same", "another"])
def test_two_at_once(target, is_new, secret):
    """The second one is sent away while the first one writes."""
    replace = [] if is_new else ["--replace"]
    if not is_new:
        target.secret_source.write_text("before\n")
        assert target.run(*target.needed()).returncode == 0
    mine, other = target.secret_source, target.mail.home / "other"
    mine.write_text("the same\n")
    other.write_text(f"{secret}\n")
    # The secret is written, and the configuration that names it is not.
    first = stopped_at(target, "fchmodat", *replace, *target.needed())
    before = target.files()
    done = target.run(*replace, *target.needed(user=BOSS, secret_file=other))
    assert_refused(done, 75, target.config, "at this moment; try again")
    assert target.files() == before
    assert go_on(first).returncode == 0
    text = target.config.read_text()
    assert f"user = {ALERTS}" in text
    name = re.search("secrets/(.*)", text)[1]
    assert (target.secrets / name).read_text() == "the same\n"
    assert target.check().returncode == 0
    assert not list(target.home.rglob("*.lock"))


@pytest.mark.limits
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace")
@pytest.mark.parametrize("is_new", [True, False])
def test_who_was_faster_is_not_replaced(target, is_new):
    replace = [] if is_new else ["--replace"]
    if not is_new:
        assert target.run(*target.needed()).returncode == 0
    other = target.mail.home / "other"
    other.write_text("another\n")
    # What is there has been read, and nothing has been written.
    first = stopped_at(target, "mkdir", *replace, *target.needed())
    done = target.run(*replace, *target.needed(user=BOSS, secret_file=other))
    assert done.returncode == 0, done.stderr
    before = target.files()
    assert_refused(go_on(first), 64, target.config, "nothing is changed",
                   "somebody else has written it meanwhile")
    assert target.files() == before
    assert target.check().returncode == 0


# ---- users ----

def as_user(home, **environment):
    return {"user": NOBODY, "group": NOBODY, "extra_groups": [],
            "cwd": "/", "env": {"HOME": str(home), **environment}}


@pytest.fixture
def open_home(tmp_path_factory):
    """A directory that any user reaches, and nobody's home in it."""
    base = tmp_path_factory.mktemp("open")
    for parent in (base, base.parent, base.parent.parent):
        parent.chmod(0o711)
    os.chown(base, NOBODY, NOBODY)
    return base


@is_root
def test_user_is_told_to_use_sudo(target, open_home):
    done = subprocess.run([PROGRAM, "setup", *target.needed()],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=STUCK,
                          **as_user(open_home))
    assert_refused(done, 77, "sudo sendmail365 setup", "~/.config/sendmail365")


@is_root
def test_user_with_an_own_directory(target, open_home):
    own = open_home / "xdg" / "sendmail365"
    own.mkdir(parents=True)
    os.chown(own, NOBODY, NOBODY)
    environment = as_user(open_home, XDG_CONFIG_HOME=str(own.parent))
    done = subprocess.run(
        [PROGRAM, "setup", *target.needed(secret_file="-")],
        input=b"a secret", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=STUCK, **environment)
    assert done.returncode == 0, done.stderr
    for path, mode in ((own / "sendmail365.conf", 0o644),
                       (own / "secrets", 0o700),
                       (own / "secrets" / "client-secret", 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert path.stat().st_uid == NOBODY
    checked = subprocess.run([PROGRAM, "check"], stdout=subprocess.PIPE,
                             timeout=STUCK, **environment)
    assert f"{own}/sendmail365.conf: ok".encode() in checked.stdout


@is_root
def test_directory_of_another(target, open_home):
    """No permission: one line, nothing changed."""
    done = subprocess.run(
        [PROGRAM, "setup", "-C", f"{target.home}/x/sendmail365.conf",
         *target.needed(secret_file="-")], input=b"a secret",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=STUCK,
        **as_user(open_home))
    assert_refused(done, 77, "Permission denied")


# ---- the test mail, and the service ----

def test_failing_test_names_cause_and_cure(given):
    target = Target(given(Rule(
        "auth", "reply", "535 5.7.139 Authentication unsuccessful, "
        "SmtpClientAuthentication is disabled for the Tenant.")))
    done = target.run(*target.needed(), "--test", BOSS)
    assert done.returncode == 77, done.stderr
    assert b"Set-CASMailbox" in done.stderr
    assert (f"echo test | sendmail365 submit -v -C {target.config} {BOSS}"
            .encode() in done.stdout)
    assert (f"sendmail365 setup --replace -C {target.config}\n".encode()
            in done.stdout)
    target.assert_whole()


def test_test_mail_is_not_queued(given):
    """Try again later is an answer, too: the queue must not hide it."""
    target = Target(given(Rule("mail", "reply", "432 4.3.2 STOREDRV; "
                               "Concurrent connections limit exceeded")))
    spool = target.mail.home / "spool"
    for name in (".", "incoming", "queue", "failed"):
        (spool / name).mkdir(mode=0o700)
    done = target.run(*target.needed(), "--test", BOSS,
                      "--set", f"queue.directory={spool}")
    assert done.returncode == 75, done.stderr
    assert b"432 4.3.2" in done.stderr
    assert not [p for p in spool.rglob("*") if p.is_file()]


def test_verbose_shows_the_dialogue(target):
    done = target.run(*target.needed(), "--test", BOSS, "-v")
    assert done.returncode == 0
    assert b"RCPT TO" in done.stderr
    assert_no_secret(target.tenant, done.stdout, done.stderr)


def test_running_service_is_told_of(target):
    service = Service(target.mail)
    service.configure().start()
    try:
        plumbing = target.plumbing()
        plumbing[-1] = f"service.socket={service.socket}"
        done = target.run(*target.needed(), plumbing=plumbing)
        assert done.returncode == 0, done.stderr
        assert b"To have the service take it, restart the" in done.stdout
    finally:
        service.stop()


def test_no_service(target):
    done = target.run(*target.needed())
    assert b"The service" not in done.stdout


# ---- at a terminal ----

class Terminal:
    """setup with a controlling terminal of its own."""

    def __init__(self, *command):
        self.master, slave = pty.openpty()
        self.slave = slave
        self.seen = b""
        self.process = subprocess.Popen(
            [PROGRAM, "setup", *command], stdin=slave, stdout=slave,
            stderr=slave, start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)))

    def read(self, patience=0.05):
        """Take what comes; False: nothing more."""
        if not select.select([self.master], [], [], patience)[0]:
            return False
        self.seen += os.read(self.master, 4096)
        return True

    def expect(self, words):
        """Wait for words that have not been seen; what came up to them."""
        end = time.monotonic() + STUCK
        while words.encode() not in self.seen[self.mark:]:
            assert self.process.poll() is None or self.read(), self.seen
            assert time.monotonic() < end, self.seen
            self.read()
        at = self.seen.index(words.encode(), self.mark) + len(words)
        text, self.mark = self.seen[self.mark:at], at
        return text.decode()

    mark = 0

    def type(self, text):
        os.write(self.master, text.encode())

    def answer(self, question, text):
        self.expect(question)
        self.expect(": ")
        self.type(text + "\n")

    def echoes(self):
        return bool(termios.tcgetattr(self.slave)[3] & termios.ECHO)

    def wait(self):
        end = time.monotonic() + STUCK
        while self.process.poll() is None:
            assert time.monotonic() < end, self.seen
            self.read()
        while self.read():
            pass
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STUCK)
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def open_terminal(target):
    opened = []

    def make(*options, plumbing=None):
        plumbing = target.plumbing() if plumbing is None else plumbing
        opened.append(Terminal(
            "-C", str(target.config), *plumbing, *options))
        return opened[-1]

    yield make
    for terminal in opened:
        terminal.close()


#: question, the answer that is right
QUESTIONS = [
    ("The mailbox", lambda t: ALERTS),
    ("It signs in", lambda t: ""),
    ("tenant", lambda t: t.tenant.domain),
    ("(client) ID", lambda t: t.tenant.client_id),
    ("Value", lambda t: t.tenant.client_secret),
    ("domain of names", lambda t: ""),
    ("mail of root", lambda t: BOSS),
]


def test_dialogue(target, open_terminal):
    t = open_terminal()
    t.answer("The mailbox", "alerts")
    t.expect("has no domain")
    t.answer("The mailbox", "alerts@contoso")
    t.expect('"contoso" is no whole domain')
    t.answer("The mailbox", "{sender}")
    t.answer("The mailbox", "")
    t.answer("The mailbox", f"  {ALERTS} ")
    t.answer("It signs in", "magic")
    t.expect("magic")
    t.answer("It signs in", "")
    t.answer("tenant", "common")
    t.expect("no particular tenant")
    t.expect("[contoso.example]")
    t.expect(": ")
    t.type(target.tenant.domain + "\n")
    t.answer("(client) ID", "\x1b[A")
    t.expect("control character")
    t.answer("(client) ID", target.tenant.client_id)
    t.expect("Value (it is not shown): ")
    assert not t.echoes()
    t.type(SECRET_ID + "\n")
    t.expect("the secret's ID")
    t.expect("shown): ")
    t.type("\n")
    t.expect("empty")
    t.expect("shown): ")
    t.type(target.tenant.client_secret + "\n")
    t.answer("domain of names", "contoso")
    t.expect("is not a domain")
    t.answer("domain of names", "")
    assert t.echoes()
    t.answer("mail of root", BOSS)
    t.expect("Set-CASMailbox")
    t.answer("send a test mail", "boss")
    t.expect("has no domain")
    t.answer("send a test mail", "")
    assert t.wait() == 0, t.seen
    target.assert_whole()
    [sent] = target.tenant.messages
    assert sent.recipients == [BOSS]
    assert_no_secret(target.tenant, t.seen, target.config.read_bytes())
    assert SECRET_ID.encode() not in t.seen
    text = target.config.read_text()
    assert "domain = contoso.example\n" in text
    assert f"root = {BOSS}\n" in text


#: What is typed, and what is understood; None: it is asked for again.
PASTED = [
    (f" \t{ALERTS}  ", ALERTS),
    (f"\u200b{ALERTS}\u00a0", ALERTS),
    (f"\ufeff{ALERTS}\u202c", ALERTS),
    (ALERTS.replace("@", "\u00ad@"), ALERTS),
    (ALERTS.replace("@", " @"), ALERTS),
    (f"<{ALERTS}>", ALERTS), (f"{ALERTS};", ALERTS), (f"{ALERTS}.", ALERTS),
    (ALERTS.replace("@", ".@"), None), (f"Alerts <{ALERTS}>", None),
    (f"mailto:{ALERTS}", None), (f"{ALERTS} {ALERTS}", None),
    ("alerts@[192.0.2.1]", None), ("alerts@contoso,example", None),
    ("alerts@contoso..example", None), ("https://admin.microsoft.com", None),
    ("?", None), ("-", None),
]


@pytest.mark.parametrize("typed, understood", PASTED)
def test_pasted_mailbox(target, open_terminal, typed, understood):
    t = open_terminal("--auth", "none", "--host", "relay.contoso.example",
                      "--no-test", plumbing=[])
    t.answer("The mailbox", typed)
    if understood is None:
        t.answer("The mailbox", ALERTS)
    t.answer("domain of names", "")
    t.answer("mail of root", "")
    assert t.wait() == 0, t.seen
    text = target.config.read_text()
    assert f"user = {ALERTS}\n" in text
    assert "domain = contoso.example\n" in text
    assert f"root = {ALERTS}\n" in text


@pytest.mark.parametrize("typed", ["{}\u00a0", " {} ", "\u200b{}\t"])
def test_pasted_secret(target, open_terminal, typed):
    """Blanks are no part of what Entra makes."""
    t = open_terminal(*target.needed(secret_file=None), "--no-test",
                      "--auth", "client-secret")
    for wrong, words in [("", "paste it"), (" \u00a0", "paste it"),
                         (f" {SECRET_ID} ", "the secret's ID"),
                         ("two words", "a blank, a quotation mark"),
                         ("“quoted”", "a blank, a quotation mark")]:
        t.expect("shown): ")
        t.type(wrong + "\n")
        t.expect(words)
    t.expect("shown): ")
    t.type(typed.format(target.tenant.client_secret) + "\n")
    t.answer("domain of names", "")
    t.answer("mail of root", "")
    assert t.wait() == 0, t.seen
    assert target.secret.read_text() == target.tenant.client_secret + "\n"


def test_pasted_password_is_taken_as_it_is(target, open_terminal):
    t = open_terminal("--user", ALERTS, "--auth", "password", "--host",
                      "relay.contoso.example", "--login", "x", "--no-test",
                      plumbing=[])
    t.expect("shown): ")
    t.type(" two words \n")
    t.answer("domain of names", "")
    t.answer("mail of root", "")
    assert t.wait() == 0, t.seen
    assert (target.secrets / "password").read_text() == " two words \n"


def test_one_id_for_both(target, open_terminal):
    t = open_terminal(*target.needed(tenant=None, client_id=None), "--auth",
                      "client-secret", "--no-test", plumbing=[])
    t.answer("tenant", OTHER_ID.upper())
    t.answer("(client) ID", OTHER_ID)
    t.expect("the answer for the tenant, too")
    t.answer("(client) ID", CLIENT_ID.upper())
    t.answer("domain of names", "")
    t.answer("mail of root", "")
    assert t.wait() == 0, t.seen
    assert f"client_id = {CLIENT_ID.upper()}\n" in target.config.read_text()


@pytest.mark.parametrize("typed, line", [
    ("OAuth", None), ("Password", "password_file = "), ("NONE", "auth = none")])
def test_way_to_sign_in_in_any_case(target, open_terminal, typed, line):
    t = open_terminal("--user", ALERTS, "--host", "relay.contoso.example",
                      "--login", "x", "--no-test", plumbing=[])
    t.answer("It signs in", typed)
    if typed == "OAuth":
        t.expect("tenant")
        t.expect(": ")
        return
    if typed == "Password":
        t.expect("shown): ")
        t.type("secret\n")
    t.answer("domain of names", "")
    t.answer("mail of root", "")
    status = t.wait()
    if typed == "Password":
        assert status == 0, t.seen
        assert line in target.config.read_text()
    else:
        # A relay that wants no name, and a name for it.
        assert status == 78 and b"login goes with password_file" in t.seen


def test_dialogue_in_a_narrow_terminal(target, open_terminal):
    t = open_terminal("--no-test")
    fcntl.ioctl(t.slave, termios.TIOCSWINSZ, struct.pack("4H", 10, 20, 0, 0))
    for question, answer in QUESTIONS:
        t.answer(question, answer(target))
    assert t.wait() == 0, t.seen
    target.assert_whole()


def test_dialogue_asks_only_what_is_missing(target, open_terminal):
    t = open_terminal(*target.needed(client_id=None), "--auth",
                      "client-secret", "--no-test")
    t.answer("(client) ID", target.tenant.client_id)
    t.answer("domain of names", "-")
    t.answer("mail of root", "-")
    assert t.wait() == 0, t.seen
    assert b"The mailbox" not in t.seen and b"Value" not in t.seen
    assert t.seen.count(b"in brackets") == 1
    target.assert_whole()
    assert "[rewrite]" not in target.config.read_text()
    assert "root =" not in target.config.read_text()


def test_dialogue_of_a_relay(target, open_terminal):
    t = open_terminal("--no-test", plumbing=[])
    t.answer("The mailbox", ALERTS)
    t.answer("It signs in", "password")
    t.answer("The server", "relay.contoso.example")
    t.answer("The user name", "apikey")
    t.answer("The password", PASSWORD)
    t.answer("domain of names", "-")
    t.answer("mail of root", "-")
    assert t.wait() == 0, t.seen
    assert_no_secret(target.tenant, t.seen)
    text = target.config.read_text()
    for line in ("host = relay.contoso.example", "login = apikey",
                 "password_file = secrets/password"):
        assert line + "\n" in text


def test_dialogue_of_a_password_at_microsoft(target, open_terminal):
    """The server is known: the file has no need to say it."""
    t = open_terminal("--no-test", plumbing=[])
    t.answer("The mailbox", ALERTS)
    t.answer("It signs in", "password")
    t.answer("The server", "")
    t.answer("The password", PASSWORD)
    t.answer("domain of names", "-")
    t.answer("mail of root", "-")
    assert t.wait() == 0, t.seen
    assert "host" not in target.config.read_text()


def test_dialogue_that_replaces(target, open_terminal):
    """An empty answer is the old one; the secret is not shown."""
    text = grow(target)
    t = open_terminal("--replace", "--no-test", plumbing=[])
    for question, shown in [
            ("The mailbox", ALERTS), ("It signs in", "client-secret"),
            ("tenant", target.tenant.domain),
            ("(client) ID", target.tenant.client_id)]:
        t.expect(question)
        t.expect(f"[{shown}]: ")
        t.type("\n")
    t.expect("Value (it is not shown; empty: as it is): ")
    t.type("\n")
    t.expect("domain of names")
    t.expect("[-]: ")
    t.type("\n")
    t.expect("mail of root")
    t.expect("[admin, boss@contoso.example]: ")
    t.type("\n")
    assert t.wait() == 0, t.seen
    assert target.config.read_text() == text
    assert target.secret.read_text() == target.tenant.client_secret + "\n"
    assert_no_secret(target.tenant, t.seen)


def test_dialogue_that_replaces_some(target, open_terminal):
    text = grow(target)
    t = open_terminal("--replace", plumbing=[])
    t.answer("The mailbox", "")
    t.answer("It signs in", "")
    t.answer("tenant", "")
    t.answer("(client) ID", OTHER_ID)
    # That of another application cannot stay.
    t.expect("Value (it is not shown): ")
    t.type("\n")
    t.expect("empty")
    t.expect("shown): ")
    t.type("the-second-one\n")
    t.answer("domain of names", "-")
    t.answer("mail of root", "-")
    t.answer("send a test mail", "-")
    assert t.wait() == 0, t.seen
    assert changes(text, target.config.read_text()) == (
        [f"client_id = {target.tenant.client_id}",
         "client_secret_file = secrets/client-secret",
         "# Who gets the mail of root, such as cron's.",
         "Root = admin, boss@contoso.example  ; both"],
        [f"client_id = {OTHER_ID}",
         "client_secret_file = secrets/client-secret-2"])


def test_dialogue_that_leaves_a_relay(target, open_terminal):
    """Its password goes to no other server."""
    target.secret_source.write_text(PASSWORD)
    assert target.run(
        "--user", ALERTS, "--auth", "password", "--host",
        "relay.contoso.example", "--login", "x", "--set", "account.port=2525",
        "--secret-file", str(target.secret_source), plumbing=[]
    ).returncode == 0
    t = open_terminal("--replace", "--no-test", plumbing=[])
    t.answer("The mailbox", "")
    t.expect("[password]: ")
    t.type("\n")
    t.expect("[relay.contoso.example]: ")
    t.type("smtp.office365.com\n")
    t.expect("The password (it is not shown): ")
    t.type("the second one\n")
    t.answer("domain of names", "")
    t.answer("mail of root", "")
    t.wait()
    assert (target.secrets / "password").read_text() == PASSWORD + "\n"
    text = target.config.read_text()
    assert "password_file = secrets/password-2\n" in text
    for key in ("host", "port", "login"):
        assert f"\n{key} = " not in text


def test_dialogue_that_replaces_a_broken_one(target, open_terminal):
    target.directory.mkdir(mode=0o755)
    target.config.write_text("[acount]\nuser = x@y.example\n")
    t = open_terminal("--replace", "--no-test")
    t.expect("nothing is taken over from the old one")
    for question, answer in QUESTIONS:
        t.answer(question, answer(target))
    assert t.wait() == 0, t.seen
    assert b"x@y.example" not in t.seen
    target.assert_whole()


def test_dialogue_without_the_old_secret(target, open_terminal):
    assert target.run(*target.needed()).returncode == 0
    target.secret.unlink()
    t = open_terminal("--replace", "--no-test", plumbing=[])
    for question in ("The mailbox", "It signs in", "tenant", "(client) ID"):
        t.answer(question, "")
    t.expect("no such file")
    t.expect("Value (it is not shown): ")
    t.type(target.tenant.client_secret + "\n")
    t.answer("domain of names", "")
    t.answer("mail of root", "")
    assert t.wait() == 0, t.seen
    target.assert_whole()


ENDS = {"ctrl-c": "\x03", "ctrl-d": "\x04", "ctrl-backslash": "\x1c"}


# valgrind reports every signal that would dump a core.
@pytest.mark.parametrize("end", [
    pytest.param(end, marks=pytest.mark.slow if end == "ctrl-backslash"
                 else ()) for end in ENDS])
@pytest.mark.parametrize("place", range(len(QUESTIONS)))
def test_dialogue_that_is_left(target, open_terminal, place, end):
    t = open_terminal()
    for question, answer in QUESTIONS[:place]:
        t.answer(question, answer(target))
    t.expect(QUESTIONS[place][0])
    t.expect(": ")
    t.type(ENDS[end])
    status = t.wait()
    assert status == {"ctrl-c": -signal.SIGINT, "ctrl-d": 64,
                      "ctrl-backslash": -signal.SIGQUIT}[end], t.seen
    assert t.echoes()
    assert target.files() == {} and not target.directory.exists()
    assert_no_secret(target.tenant, t.seen)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_while_the_secret_is_typed(target, open_terminal, number):
    t = open_terminal()
    for question, answer in QUESTIONS[:4]:
        t.answer(question, answer(target))
    t.expect("shown): ")
    t.type("half of")
    t.process.send_signal(number)
    assert t.wait() == -number
    assert t.echoes() and b"half of" not in t.seen
    assert not target.directory.exists()


@pytest.mark.slow  # the end by a signal lets nothing be released
def test_left_at_the_test(target, open_terminal):
    """The configuration is there by then, and stays."""
    t = open_terminal()
    for question, answer in QUESTIONS:
        t.answer(question, answer(target))
    t.expect("send a test mail")
    t.expect(": ")
    t.type("\x03")
    assert t.wait() == -signal.SIGINT
    target.assert_whole()
    assert target.tenant.messages == []


def test_existing_configuration_is_said_before_any_question(
        target, open_terminal):
    assert target.run(*target.needed()).returncode == 0
    t = open_terminal()
    assert t.wait() == 64
    assert b"--replace" in t.seen and b"The mailbox" not in t.seen
