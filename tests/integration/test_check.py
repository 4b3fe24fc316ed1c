"""check: what is wrong, where, and the cure; and nothing is sent with it."""
import os
import pwd
import re
import subprocess
from pathlib import Path

import pytest

from fake365 import ALERTS
from support import (
    BOSS, BUILD, IS_PLAIN, MESSAGE, OUTSIDER, STUCK, TOP, assert_fatal,
    assert_sent, configure, line_of,
)

README = TOP / "README.md"
MANUAL = TOP / "cmd" / "sendmail365" / "sendmail365.conf.5"

SHOP = "shop@contoso.example"
PASSWORD_ONLY = {"tenant": None, "client_id": None, "authority": None,
                 "client_secret_file": None}

#: sections behind [account], the line that is wrong, words of the message
MISTAKES = {
    # rules that contradict, or are never reached
    "same-sender-twice": (
        f"[rewrite]\nrule = root {ALERTS}\nrule = root {{sender}}\n",
        "rule = root {", ["never reached", "first match counts", "remove it"]),
    "same-sender-in-capitals": (
        f"[rewrite]\nrule = Cron@Web1.example {ALERTS}\n"
        "rule = cron@web1.example {sender}\n",
        "rule = cron@", ["never reached", "Cron@Web1.example"]),
    "same-user-twice": (
        f"[rewrite]\nrule = user:www-data {ALERTS}\n"
        "rule = user:www-data {sender}\n",
        "rule = user:www-data {", ["never reached"]),
    "behind-everybody": (
        f"[rewrite]\nrule = * {ALERTS}\nrule = root {{sender}}\n",
        "rule = root", ["never reached", 'has "*"', "put it before"]),
    "behind-its-domain": (
        f"[rewrite]\nrule = @web1.example {ALERTS}\n"
        "rule = root@web1.example {sender}\n",
        "rule = root@", ["never reached", "@web1.example"]),
    "behind-a-pattern": (
        f"[rewrite]\nrule = *@*.example {ALERTS}\n"
        "rule = root@web*.example {sender}\n",
        "rule = root@", ["never reached", "*@*.example"]),
    "route-behind-its-domain": (
        "[account shop]\n[route]\nrule = @shop.example shop\n"
        f"rule = a@shop.example {ALERTS}\n",
        "rule = a@", ["never reached", "@shop.example"]),
    "route-of-a-rewritten-sender": (
        f"[account shop]\n[rewrite]\nrule = @shop.example {ALERTS}\n"
        "[route]\nrule = a@shop.example shop\n",
        "rule = a@", ["never reached", "[rewrite]", ALERTS, "route that"]),
    "route-against-rewrite": (
        f"[account shop]\n[rewrite]\nrule = root {SHOP}\n"
        f"[route]\nrule = @contoso.example {ALERTS}\nrule = * shop\n",
        "rule = root", [f"mail from {SHOP}", "may not send as it",
                        f"begin [route] with: rule = {SHOP} shop"]),
    # addresses in rules
    "target-without-domain": (
        "[rewrite]\nrule = root alerts\n",
        "rule =", ['"alerts" has no domain', "whole address"]),
    "target-of-two-addresses": (
        "[rewrite]\nrule = root a@b@c.example\n",
        "rule =", ["bad address", "a@b@c.example"]),
    "target-of-a-bad-domain": (
        "[rewrite]\nrule = root @contoso\n",
        "rule =", ['"contoso" is not a domain', "such as contoso.com"]),
    "target-unknown-word": (
        "[rewrite]\nrule = root {user}\n", "rule =", ["{user}"]),
    "no-target": (
        "[rewrite]\nrule = root\n",
        "rule =", ["is no rule", "write a pattern", "{sender}"]),
    "arrow": (
        f"[rewrite]\nrule = root -> {ALERTS}\n",
        "rule =", ["is no rule", "write a pattern"]),
    "pattern-of-two-addresses": (
        f"[rewrite]\nrule = a@b@c.example {ALERTS}\n",
        "rule =", ['"a@b@c.example" is no address', "@DOMAIN"]),
    "pattern-without-domain": (
        f"[rewrite]\nrule = root@ {ALERTS}\n",
        "rule =", ['"" is not a domain']),
    "pattern-of-a-bad-domain": (
        f"[rewrite]\nrule = root@web1..example {ALERTS}\n",
        "rule =", ['"web1..example" is not a domain']),
    "pattern-of-two-stars": (
        f"[rewrite]\nrule = *a*@web1.example {ALERTS}\n",
        "rule =", ['more than one "*"']),
    "user-without-name": (
        f"[rewrite]\nrule = user: {ALERTS}\n",
        "rule =", ["names no user", "user:www-data"]),
    "user-in-capitals": (
        f"[rewrite]\nrule = USER:www-data {ALERTS}\n",
        "rule =", ['"USER:www-data" is no address', "user:NAME"]),
    "reply-to-of-two-addresses": (
        "[rewrite]\nreply_to = never a@b@c.example\n",
        "reply_to", ['"a@b@c.example" is no address']),
    "send-as-of-a-user": (
        f"[account shop]\nsend_as = user:www-data\n[route]\ndefault = shop\n"
        f"rule = @x.example {ALERTS}\n",
        "send_as", ["user:www-data", "goes by address"]),
    # who may send as whom
    "target-that-nobody-may-be": (
        "[rewrite]\nrule = root ceo@contoso.example\n",
        "rule =", ["no account may send as ceo@contoso.example",
                   "add it to send_as", "Send As in Exchange"]),
    "target-domain-that-nobody-may-use": (
        "[account shop]\nsend_as = @shop.example\n[route]\n"
        "rule = @shop.example shop\n[rewrite]\n"
        "rule = root @fabrikam.example\n",
        "rule = root", ["no account may send as anybody @fabrikam.example",
                        "add addresses of that domain to send_as"]),
    "target-of-another-account": (
        f"[account shop]\n[rewrite]\nrule = root {SHOP}\n"
        "[route]\nrule = @shop.example shop\n",
        "rule = root", [f"mail from {SHOP}", "may not send as it",
                        f"begin [route] with: rule = {SHOP} shop"]),
    # accounts
    "account-that-nothing-leads-to": (
        "[account shop]\n", "[account shop]",
        ["[account shop]: nothing leads to this account",
         "rule = @DOMAIN shop"]),
    "account-without-name-that-nothing-leads-to": (
        "[account shop]\n[route]\ndefault = shop\n", "[account]",
        ["[account]: nothing leads to this account",
         f"rule = @DOMAIN {ALERTS}"]),
    "unknown-account": (
        "[account shop]\n[account reports]\n[route]\n"
        "rule = @x.example reports\nrule = @y.example shpo\n",
        "rule = @y", ['rule: "shpo"', 'did you mean "shop"?']),
    "unknown-default": (
        "[account shop]\n[route]\ndefault = shopp\n",
        "default", ['default: "shopp"', 'did you mean "shop"?']),
    "unknown-account-without-any-name": (
        "[route]\nrule = @x.example shop\n",
        "rule", ['"shop" is neither', "[account NAME]"]),
    "account-twice": (
        "[account shop]\n[account shop]\n", None,
        ["already", "another name"]),
    # aliases
    "alias-loop": (
        "[aliases]\na = b\nb = c, x@contoso.example\nc = a\n",
        "c = a", ["alias loop: a -> b -> c -> a", "write an address"]),
    "alias-to-a-program": (
        "[aliases]\nroot = |/bin/sh\n",
        "root", ["root: it leads to a pipe", "name an address"]),
    "alias-to-a-program-in-quotes": (
        "[aliases]\nroot = \"|/bin/sh -c 'a, b'\"\n",
        "root", ["root: it leads to a pipe"]),
    "alias-to-a-file": (
        "[aliases]\nroot = /var/mail/root\n",
        "root", ["root: it leads to a file", "name an address"]),
    "alias-to-a-list-in-a-file": (
        "[aliases]\nroot = :include:/etc/list\n",
        "root", [":include:", "name its addresses"]),
    "alias-to-no-address": (
        "[aliases]\nroot = a b@contoso.example\n",
        "root", ["root: bad address"]),
    "alias-with-a-comma-too-many": (
        f"[aliases]\nroot = {BOSS},,{OUTSIDER}\n", "root", ["a comma"]),
    "alias-twice": (
        f"[aliases]\nroot = {BOSS}\nROOT = {OUTSIDER}\n",
        "ROOT", ['"root" is in line', "already"]),
    "alias-of-an-address": (
        f"[aliases]\nroot@web1 = {BOSS}\n",
        "root@web1", ["no alias", "without a domain"]),
    "alias-for-all": (
        f"[aliases]\n* = {BOSS}\n", "*", ["default = LIST"]),
    # the rest of these sections
    "template-with-an-unknown-word": (
        "[rewrite]\ndisplay_name = {nmae} via {host}\n",
        "display_name", ["{nmae}", "{name}, {address}, {user} and {host}"]),
    "reply-to-misspelt": (
        "[rewrite]\nreply_to = nver\n",
        "reply_to", ['"nver"', "never PATTERN"]),
    "original-from-misspelt": (
        "[rewrite]\noriginal_from = nevr\n",
        "original_from", ['did you mean "never"?']),
    "auto-submitted-misspelt": (
        "[rewrite]\nauto_submitted = ad\n",
        "auto_submitted", ['did you mean "add"?']),
    "rules-misspelt": (
        f"[rewrite]\nrules = root {ALERTS}\n",
        "rules", ['did you mean "rule"?']),
    "rule-in-another-section": (
        "[direct_send]\nrule = * x\n", "rule", ["rule"]),
}


def assert_refused(mail, place, words):
    """check says so at this place, and sendmail sends nothing."""
    checked = mail.sendmail365("check")
    text = checked.stderr.decode()
    assert (checked.returncode, checked.stdout) == (78, b""), text
    assert re.fullmatch(r"sendmail365: fatal: [^\n]+\n", text), text
    for word in (place, *words):
        assert word in text
    assert_fatal(mail.sendmail(BOSS, stdin=MESSAGE), 78, place, *words)
    assert mail.tenant.connections == []
    assert not mail.state.exists()


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(mail, name):
    text, where, words = MISTAKES[name]
    configure(mail, text)
    place = mail.config + ":"
    if where is not None:
        place += f"{line_of(mail, where)}: "
    assert_refused(mail, place, words)


@pytest.mark.parametrize("keys, words", [
    ({"user": "{sender}", **PASSWORD_ONLY, "password_file": "client-secret"},
     ["{sender} needs auth = client-secret", "a password belongs to one"]),
    ({"user": "{sender}", **PASSWORD_ONLY, "auth": "none"},
     ["{sender} needs auth = client-secret"]),
    ({"user": "{sender}"},
     ['"send_as" is missing', "mailboxes that may sign in"]),
    ({"auth": "none", "host": None, **PASSWORD_ONLY},
     ["nothing can be sent", "set host to a relay", "[direct_send]"]),
    ({**PASSWORD_ONLY}, ["nothing says how to sign in", "auth = none"]),
], ids=["{sender}-with-a-password", "{sender}-that-does-not-sign-in",
        "{sender}-of-nobody", "auth-none-without-a-way", "no-auth-at-all"])
def test_mistake_in_an_account(mail, keys, words):
    configure(mail, "", **keys)
    assert_refused(mail, f"{mail.config}:1: ", words)


def test_direct_send_to_no_domain(mail):
    """Nothing tells the tenant's own domains."""
    configure(mail, "[direct_send]\nenabled = yes\n", user="{sender}",
              send_as="*")
    assert_refused(mail, f"{mail.config}:1: ", [
        "set internal_domains in [direct_send]"])


def test_several_accounts_without_a_default(mail):
    configure(mail, "[account shop]\n[route]\nrule = @x.example shop\n")
    text = mail.tenant.config() + open(mail.config).read().partition("\n\n")[2]
    with open(mail.config, "w") as config:
        config.write(text.replace("[account]", "[account alerts]", 1))
    assert_refused(mail, f"{mail.config}:{line_of(mail, '[account shop]')}: ",
                   ["several accounts", "default = NAME in [route]"])


RULES = f"""\
[account shop]
send_as = orders@shop.example, @help.shop.example
[account reports]
[rewrite]
domain = contoso.example
rule = root@web1.example {ALERTS}
rule = user:shop orders@shop.example
rule = user:reports reports@contoso.example
rule = cron-*@web*.example {ALERTS}
rule = help @help.shop.example
rule = nagios {{sender}}
rule = * {ALERTS}
display_name = {{name}} ({{address}}) via {{user}}@{{host}}
reply_to = never user:www-data, @spam.example, nagios
original_from = never
auto_submitted = add
[route]
rule = user:reports reports
rule = @shop.example shop
rule = *@*.shop.example {SHOP}
rule = nagios {ALERTS}
default = {ALERTS}
[aliases]
root = ops, {BOSS}
ops = \\root, {OUTSIDER}
default = admin@contoso.example
"""


def test_configuration_of_everything(mail):
    configure(mail, RULES)
    result = mail.sendmail365("check")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode() == f"{mail.config}: ok\n"
    assert mail.tenant.connections == []
    assert_sent(mail.sendmail(BOSS, stdin=MESSAGE))


def examples():
    """The configurations that the documents show, as whole files."""
    readme = re.findall(r"```ini\n(.*?)```", README.read_text(), re.S)
    manual = re.findall(r"\.Bd -literal.*?\n(.*?)\.Ed", MANUAL.read_text(),
                        re.S)
    assert (len(readme), len(manual)) == (4, 3)
    smallest, *more = readme
    return [smallest, *(smallest + text for text in more), *manual]


@pytest.mark.parametrize("number", range(7))
def test_examples_of_the_documents(mail, number):
    (mail.directory / "secrets").mkdir()
    for name in ["client-secret", "secrets/client-secret", "secrets/shop",
                 "secrets/sendgrid-key"]:
        path = mail.directory / name
        path.write_text("secret\n")
        path.chmod(0o600)
    text = examples()[number]
    mail.config = str(mail.directory / "example.conf")
    Path(mail.config).write_text(text)
    environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(mail.directory)}
    result = mail.sendmail365("check", env=environment)
    assert (result.returncode, result.stderr) == (0, b"")


# ---- the file of aliases ----

ALIASES = f"""\
a: b
b: c, {BOSS}
c: a
ops: |/bin/sh, /dev/null, :include:/etc/list, {OUTSIDER}
ops: {BOSS}
two words: {BOSS}
nobody
none:
bell: \x07{BOSS}
csi\x9b31m: x y
root: {BOSS}
"""
REPORTS = [
    (3, "alias loop: a -> b -> c -> a"),
    (4, "it leads to a pipe; nothing is run here"),
    (4, "it leads to a file; nothing is written here"),
    (4, ":include:"),
    (5, '"ops" is skipped: it is in line 4 already'),
    (6, "needs quotes"),
    (7, "there is no colon; write NAME: ADDRESS"),
    (8, '"none" is skipped: it has no address'),
    (9, "control character"),
    (10, 'alias "csi\\xc2\\x9b31m": bad address "x y"'),
]


def test_mistakes_in_the_file_of_aliases(mail):
    """It belongs to others too: all are reported, the rest counts."""
    (mail.directory / "aliases").write_text(ALIASES)
    result = mail.sendmail365("check")
    *reports, last = result.stderr.decode().splitlines()
    assert (result.returncode, result.stdout) == (65, b"")
    assert len(reports) == len(REPORTS)
    for line, text in REPORTS:
        place = f"sendmail365: {mail.directory}/aliases:{line}: "
        assert [r for r in reports if r.startswith(place) and text in r], (
            text, reports)
    assert last == (f"sendmail365: fatal: {len(REPORTS)} problems with "
                    "aliases, named above; other mail is sent")
    assert_sent(mail.sendmail("root", stdin=MESSAGE))
    assert mail.tenant.messages[0].recipients == [BOSS]


def test_client_secret_with_a_blank_behind_it(mail):
    """Which belongs to a password, and hardly to this."""
    secret = mail.directory / "client-secret"
    secret.write_text(secret.read_text().strip() + " \n")
    result = mail.sendmail365("check")
    assert result.returncode == 0
    assert result.stdout.startswith(f"{secret}: warning: a blank, ".encode())


def test_file_of_aliases_that_is_missing(mail):
    configure(mail, "[aliases]\nfile = nowhere\n")
    result = mail.sendmail365("check")
    assert (result.returncode, result.stdout) == (78, b"")
    assert result.stderr.decode() == (
        f"sendmail365: fatal: {mail.directory}/nowhere: there is no such "
        "file; create it, or take \"file\" out of [aliases]\n")


# ---- warnings ----

@pytest.mark.parametrize("text, is_warned", [
    ("", True),
    ("[aliases]\nroot = admin\n", True),
    ("[aliases]\ndefault = admin\n", True),
    (f"[aliases]\nboss = {BOSS}\n", True),
    (f"[aliases]\nroot = {BOSS}\n", False),
    (f"[aliases]\nroot = admin\nadmin = {BOSS}\n", False),
    (f"[aliases]\ndefault = {BOSS}\n", False),
    ("[rewrite]\ndomain = contoso.example\n", False),
])
def test_mail_to_root_goes_nowhere(mail, text, is_warned):
    """A warning, and what it says is true."""
    configure(mail, text)
    result = mail.sendmail365("check")
    assert (result.returncode, result.stderr) == (0, b"")
    *warnings, last = result.stdout.decode().splitlines()
    assert last == f"{mail.config}: ok"
    assert len(warnings) == is_warned
    assert all("mail to root" in w and "root = ADDRESS" in w for w in warnings)
    sent = mail.sendmail("root", stdin=MESSAGE)
    assert sent.returncode == (65 if is_warned else 0)


def test_control_characters_of_a_path(mail):
    """Whoever names the file does not move the terminal."""
    strange = mail.directory / "a\x9b31mb"
    strange.mkdir()
    for name in ("sendmail365.conf", "client-secret", "aliases"):
        os.rename(mail.directory / name, strange / name)
    mail.config = str(strange / "sendmail365.conf")
    (strange / "aliases").write_text("root: x y\n")
    for text in ("[aliases]\n", "[aliasses]\n"):
        with open(mail.config) as config:
            text = config.read().replace("[aliases]\n", text).replace(
                str(mail.directory / "aliases"), str(strange / "aliases"))
        with open(mail.config, "w") as config:
            config.write(text)
        result = mail.sendmail365("check")
        shown = result.stdout + result.stderr
        assert b"\\xc2\\x9b31m" in shown and "\x9b".encode() not in shown


# ---- the user of the service ----

SERVICE_UID = 64321


def in_host_with_service_user(mail, *command):
    """Run a command where there is a user sendmail365."""
    passwd = mail.home / "passwd"
    passwd.write_text(Path("/etc/passwd").read_text() +
                      f"sendmail365:x:{SERVICE_UID}:65534::/:/bin/false\n")
    passwd.chmod(0o644)
    return subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c",
         'mount --bind "$0" /etc/passwd && exec "$@"', str(passwd),
         *map(str, command)],
        capture_output=True, stdin=subprocess.DEVNULL, timeout=STUCK)


is_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be another user")


@is_root
def test_root_reads_the_secret_of_the_service_and_not_its_configuration(mail):
    check = [mail.sendmail365_path, "check", "-C", mail.config]
    secret = mail.directory / "client-secret"
    os.chown(secret, SERVICE_UID, 0)
    result = in_host_with_service_user(mail, *check)
    assert (result.returncode, result.stderr) == (0, b"")
    secret.chmod(0o640)
    assert b"others can read" in in_host_with_service_user(
        mail, *check).stderr
    secret.chmod(0o600)
    os.chown(secret, SERVICE_UID + 1, 0)
    assert b"it belongs to user" in in_host_with_service_user(
        mail, *check).stderr
    os.chown(secret, SERVICE_UID, 0)
    os.chown(mail.config, SERVICE_UID, 0)
    assert b"it belongs to user sendmail365" in in_host_with_service_user(
        mail, *check).stderr


@is_root
def test_the_service_is_told_how_it_may_read_a_secret(
        mail, other_user, tmp_path):
    other_user(mail)
    Path(mail.config).chmod(0o644)
    os.chown(mail.config, 0, 0)
    secret = mail.directory / "client-secret"
    os.chown(secret, 0, 0)
    mail.directory.chmod(0o755)
    tmp_path.chmod(0o711)
    check = ["setpriv", "--reuid", "sendmail365", "--clear-groups",
             mail.sendmail365_path, "check", "-C", mail.config]
    result = in_host_with_service_user(mail, *check)
    assert f"run: chown sendmail365 '{secret}'" in result.stderr.decode()
    os.chown(secret, SERVICE_UID, 0)
    result = in_host_with_service_user(mail, *check)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.fixture
def reachable(mail, tmp_path_factory):
    """The service's user may go where the configuration is."""
    base = tmp_path_factory.getbasetemp()
    for path in (base.parent, base, mail.home, mail.directory,
                 mail.tenant.path):
        path.chmod(0o711)
    os.chown(mail.directory / "client-secret", SERVICE_UID, 0)
    return mail


def warnings_of(mail, **sections):
    """What root's check warns of, where it finds nothing wrong otherwise."""
    configure(mail, "".join(
        f"[{name}]\n{text}\n" for name, text in sections.items()))
    os.chown(mail.directory / "client-secret", SERVICE_UID, 0)
    Path(mail.config).chmod(0o644)
    result = in_host_with_service_user(
        mail, mail.sendmail365_path, "check", "-C", mail.config)
    assert (result.returncode, result.stderr) == (0, b"")
    *warnings, last = result.stdout.decode().splitlines()
    assert last == f"{mail.config}: ok"
    start = f"{mail.config}: warning: "
    return [w.removeprefix(start) for w in warnings if w.startswith(start) and
            "mail to root" not in w]


@is_root
@pytest.mark.parametrize("mode, cure", [
    (0o644, None), (0o600, "run: chmod a+r '{path}'")])
def test_ca_file_that_only_root_reads(reachable, mode, cure):
    path = Path(reachable.tenant.ca_file)
    path.chmod(mode)
    found = warnings_of(reachable)
    assert bool(found) == bool(cure)
    if cure:
        assert path.name in found[0] and cure.format(path=path) in found[0]


@is_root
@pytest.mark.skipif(
    not IS_PLAIN or not all(p.stat().st_mode & 1 for p in BUILD.parents),
    reason="others cannot use this build")
def test_the_service_is_told_how_it_may_read_a_ca_file(reachable):
    """What check says is what the caller of sendmail is told."""
    path = Path(reachable.tenant.ca_file)
    path.chmod(0o600)
    configure(reachable, "")
    Path(reachable.config).chmod(0o644)
    own(reachable.directory / "client-secret")
    for command in (["sendmail365", "check"], ["sendmail365", "submit", BOSS]):
        program, name, *rest = command
        result = in_host_with_service_user(
            reachable, "setpriv", "--reuid", "sendmail365", "--clear-groups",
            BUILD / program, name, "-C", reachable.config, *rest)
        assert result.returncode == 78
        assert f"run: chmod a+r '{path}'" in result.stderr.decode()


@is_root
def test_ca_file_whose_directory_is_closed(reachable):
    folder = Path(reachable.tenant.ca_file).parent
    folder.chmod(0o700)
    [found] = warnings_of(reachable)
    assert f"install -m 0644 '{folder}/ca.pem' /etc/sendmail365/ca.pem" in found


@is_root
def test_secret_that_only_root_reads(reachable):
    """Not one of those that the service is given copies of."""
    configure(reachable, "")
    secret = reachable.directory / "client-secret"
    os.chown(secret, 0, 0)
    result = in_host_with_service_user(
        reachable, reachable.sendmail365_path, "check", "-C", reachable.config)
    assert f"run: chown sendmail365 '{secret}'" in result.stdout.decode()


def own(path):
    os.chown(path, SERVICE_UID, 0)


def make_nothing(folder, file):
    folder.rmdir()


def make_own(folder, file):
    own(folder)


def make_file(folder, file):
    file.touch()
    own(file)


def make_link(folder, file):
    own(folder)
    file.symlink_to("/dev/null")


def make_second_name(folder, file):
    own(folder)
    file.touch()
    file.with_name("other").hardlink_to(file)


def make_fifo(folder, file):
    own(folder)
    os.mkfifo(file)
    own(file)


def make_folder(folder, file):
    own(folder)
    file.mkdir()


def make_roots_file(folder, file):
    own(folder)
    file.touch(mode=0o644)


def make_open(folder, file):
    own(folder)
    folder.chmod(0o775)


def make_anothers(folder, file):
    os.chown(folder, SERVICE_UID + 1, 0)


LOG = {
    "missing": (make_nothing, [
        "there is no such directory",
        "run: install -d -m 0750 -o sendmail365 '{folder}'"]),
    "own": (make_own, None),
    "own-file": (make_file, None),
    "not-writable": (lambda folder, file: None, [
        "{folder}: user sendmail365 cannot make files there",
        "such as /var/log/sendmail365"]),
    "link": (make_link, ["{file}: this is a link", "rm '{file}'"]),
    "second-name": (make_second_name, ["{file}: this is not", "one name"]),
    "fifo": (make_fifo, ["{file}: this is not", "move it away"]),
    "folder": (make_folder, ["is a directory", "{file}/sendmail365.log"]),
    "file-of-root": (make_roots_file, [
        "user sendmail365 cannot write to it",
        "run: chown -h sendmail365 '{file}'"]),
    "open": (make_open, ["{folder}: others can write"]),
    "folder-of-another": (make_anothers, ["{folder}: others can write"]),
}


@is_root
@pytest.mark.parametrize("name", LOG)
def test_log_file_is_looked_at(reachable, name):
    """With the eyes of the service; and nothing is made."""
    make, words = LOG[name]
    folder = reachable.home / "logs"
    file = folder / "mail.log"
    folder.mkdir(mode=0o755)
    make(folder, file)
    before = sorted(folder.rglob("*"))
    found = warnings_of(reachable, log=f"to = {file}")
    assert sorted(folder.rglob("*")) == before
    assert bool(found) == bool(words), found
    for word in words or []:
        assert word.format(folder=folder, file=file) in found[0]


def test_log_file_without_a_service(mail):
    """Who has no such user is the service."""
    configure(mail, f"[log]\nto = {mail.home}/logs/mail.log\n")
    result = mail.sendmail365("check")
    assert result.returncode == 0
    assert f"install -d -m 0750 -o {pwd.getpwuid(os.geteuid()).pw_name} " in (
        result.stdout.decode())


@pytest.mark.skipif(Path("/var/log/sendmail365").exists(), reason="it exists")
def test_usual_log_directory_is_made_by_the_service(mail):
    for name, is_usual in (("x.log", True), ("more/x.log", False)):
        configure(mail, f"[log]\nto = /var/log/sendmail365/{name}\n")
        result = mail.sendmail365("check")
        assert result.returncode == 0
        assert ("no such directory" not in result.stdout.decode()) == is_usual
