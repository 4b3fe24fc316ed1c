"""The AppArmor profiles: what its parser says, and what the programs do.

Where the kernel has no AppArmor, what strace sees of the programs in real use
is compared with the rules, as the parser gives them with all it includes.
"""
import itertools
import os
import re
import shutil
import subprocess

import pytest

from installed import TOP, Host, why_not
from test_units import Service, trace_real_use

reason = why_not() or (
    None if shutil.which("apparmor_parser") else "no apparmor_parser")
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

PROFILE = TOP / "etc/apparmor/sendmail365"
SERVE, COMMANDS, FRONT = (
    "sendmail365-serve", "sendmail365", "sendmail365-sendmail")
ATTACHED = {"/usr/sbin/sendmail365": COMMANDS,
            "/usr/libexec/sendmail365/sendmail": FRONT}


def parser(*options):
    return subprocess.run(
        ["apparmor_parser", *options, PROFILE], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)


def test_the_parser_takes_it():
    done = parser("-QK", "--skip-cache", "--warn=all")
    assert done.returncode == 0, done.stderr
    names = parser("-N").stdout.split()
    assert sorted(names) == sorted([SERVE, COMMANDS, FRONT])


def test_only_what_every_release_has_is_included_without_condition():
    always = set(re.findall(r"^\s*include <([^>]+)>", PROFILE.read_text(),
                            re.M))
    assert always == {"tunables/global", "abstractions/base",
                      "abstractions/nameservice"}


# Rules as regular expressions

def pattern(glob):
    """A glob of AppArmor, without variables, as a regular expression."""
    out, depth, i = "", 0, 0
    while i < len(glob):
        c = glob[i]
        if glob.startswith("**", i):
            out += ".+" if glob[i - 1] == "/" and glob[i + 2:] == "" else ".*"
            i += 1
        elif c == "*":
            out += "[^/]+" if glob[i - 1] == "/" and glob[i + 1:] == "" else (
                "[^/]*")
        elif c == "[":
            end = glob.index("]", i)
            out += glob[i:end + 1]
            i = end
        elif c == "{":
            out, depth = out + "(?:", depth + 1
        elif c == "}":
            out, depth = out + ")", depth - 1
        elif c == "," and depth:
            out += "|"
        else:
            out += "[^/]" if c == "?" else re.escape(c)
        i += 1
    return out


class Rules:
    """What the three profiles allow."""

    def __init__(self):
        text = re.sub(r"^\s*#.*$", "", parser("-p").stdout, flags=re.M)
        self.variables = dict(re.findall(
            r"^(@\{\w+\})\s*\+?=\s*(.*)$", text, re.M))
        self.files, self.families = {}, {}
        for name, body in re.findall(r"^profile (\S+)[^\n]*\{\n(.*?)^\}",
                                     text, re.M | re.S):
            self.families[name] = set(re.findall(
                r"^\s*network (\w+)", body, re.M))
            self.files[name] = [
                (bool(deny), re.compile(pattern(path)), perms)
                for deny, glob, perms in re.findall(
                    r"^\s*(?:audit\s+)?(deny\s+)?(?:owner\s+)?"
                    r"([/@]\S*)\s+([a-zA-Z]+)\s*,\s*(?:#.*)?$", body, re.M)
                for path in self.expand(glob)]

    def expand(self, glob):
        found = re.search(r"@\{\w+\}", glob)
        if not found:
            return [re.sub("//+", "/", glob)]
        values = self.variables[found[0]].split()
        return list(itertools.chain.from_iterable(
            self.expand(glob.replace(found[0], value, 1))
            for value in values))

    def missing(self, profile, path, wanted):
        """The permissions that a path lacks, such as "w"."""
        allowed, denied = set(), set()
        for deny, regex, perms in self.files[profile]:
            if regex.fullmatch(path):
                (denied if deny else allowed).update(perms)
        return "".join(sorted(set(wanted) - (allowed - denied)))


@pytest.fixture(scope="module")
def rules():
    return Rules()


# What strace has seen

OPEN = re.compile(r"(?:openat|open)\(.*?(O_[A-Z_|]+).*= \d+<(.*)>$")
AT = re.compile(r"(?:AT_FDCWD(?:<([^>]*)>)?|\d+<([^>]*)>), \"([^\"]*)\"")
CHANGES = ("mkdirat", "unlinkat", "renameat", "renameat2", "linkat",
           "fchmodat", "fchownat", "mkdir", "unlink", "rename", "chmod")


def wants(call):
    """[(path, permissions)] of one system call that has succeeded."""
    opened = OPEN.match(call)
    if opened:
        path = opened[2].replace(" (deleted)", "")
        mode = ("rw" if "O_RDWR" in call else
                "w" if "O_WRONLY" in call else "r")
        if "O_PATH" in opened[1] or not path.startswith("/"):
            return []
        is_folder = "O_DIRECTORY" in opened[1] and "TMPFILE" not in opened[1]
        return [(path.rstrip("/") + "/" if is_folder else path, mode)]
    name = call.split("(", 1)[0]
    if name in CHANGES:
        places = [os.path.normpath(os.path.join(a or b or "/", path))
                  for a, b, path in AT.findall(call)]
        places = places or re.findall(r'"(/[^"]*)"', call)
        return [(p + "/" if name.startswith("mkdir") else p, "w")
                for p in places]
    file = re.search(r"\d+<(/[^>]*)>", call)
    if name == "mmap" and "PROT_EXEC" in call and file:
        return [(file[1], "m")]
    if name == "flock" and file:
        return [(file[1].replace(" (deleted)", ""), "k")]
    path = re.search(r'sun_path="(/[^"]*)"', call)
    if name == "connect" and path:
        return [(path[1], "w")]
    return []


def follow(lines, is_service):
    """(profile, system call) of all that has succeeded, in order."""
    profile, parts = {}, {}
    for line in lines:
        found = re.match(r"(\d+) +(.*)", line)
        if not found:
            continue
        pid, call = found[1], found[2]
        if call.endswith("<unfinished ...>"):
            parts[pid] = call[:-len("<unfinished ...>")]
            started = re.match(r"(vfork|clone3?)\(", call)
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", call)
        if resumed:
            call = parts.pop(pid, "") + resumed[1]
        call = re.sub(r"\)\s+= ", ") = ", call)
        if not re.search(r"\) = (?!-1)", call):
            continue
        started = re.match(r"(?:vfork|fork|clone3?)\(.*= (\d+)", call)
        if started:
            profile.setdefault(started[1], profile.get(pid))
        program = re.match(r'execve\("([^"]+)"', call)
        if program:
            real = program[1]
            if real in ("/usr/sbin/sendmail", "/usr/bin/mailq",
                        "/usr/bin/newaliases", "/usr/lib/sendmail"):
                real = "/usr/libexec/sendmail365/sendmail"
            if profile.get(pid):
                yield profile[pid], call
            profile[pid] = ATTACHED.get(real)
            if is_service and profile[pid] == COMMANDS:
                profile[pid] = SERVE
        elif profile.get(pid):
            yield profile[pid], call


def check(rules, lines, is_service=False):
    """Each use is allowed; returns the profiles and paths that were seen."""
    seen = set()
    refused = set()
    folders = set()
    for profile, call in follow(lines, is_service):
        for path, wanted in wants(call):
            path = re.sub("^/var/run/", "/run/", path)
            if path.endswith("/"):
                folders.add(path)
            elif path + "/" in folders:
                path += "/"
            seen.add((profile, path))
            lacks = rules.missing(profile, path, wanted)
            if lacks:
                refused.add((profile, path, lacks))
        program = re.match(r'execve\("([^"]+)"', call)
        if program and rules.missing(profile, program[1], "px"):
            refused.add((profile, program[1], "px"))
        family = re.match(r"socket\(AF_(\w+)", call)
        if family and family[1] != "UNIX" and (
                family[1].lower() not in rules.families[profile]):
            refused.add((profile, family[1], "network"))
    assert refused == set()
    return seen


@pytest.fixture
def host(tmp_path):
    with Host(tmp_path) as one:
        one.configure(log={"to": "stderr", "level": "debug"})
        yield one


STRACE = ("strace", "-f", "-q", "-y", "-s", "300", "-e",
          "trace=%file,%process,socket,connect,mmap,flock")


def test_the_service_keeps_to_its_profile(host, rules, tmp_path):
    lines = trace_real_use(host, Service(host, tmp_path), *STRACE[1:])
    seen = check(rules, lines, is_service=True)
    for path in ("/run/credentials/sendmail365.service/secrets_client-secret",
                 "/etc/sendmail365/sendmail365.conf"):
        assert (SERVE, path) in seen


def test_commands_and_front_end_keep_to_theirs(host, rules):
    """Without a service: submit, check, queue; root and users, any file."""
    home = "/home/jane"
    host.run(f"mkdir -p {home}/.config && chown -R daemon: {home} && "
             "mkdir -p /home/data && chmod 1777 /home/data")
    host.run(f"mkdir -p {home}/.config/sendmail365 && "
             f"cp -R /etc/sendmail365/. {home}/.config/sendmail365 && "
             f"chown -R daemon: {home}")
    as_jane = ["env", f"HOME={home}", "sh", "-c"]
    message = "printf 'Subject: x\\n\\nx\\n'"
    lines = []
    for number, (user, script) in enumerate((
            ("root", f"{message} | $S /usr/sbin/sendmail root@localhost"),
            ("root", "$S /usr/sbin/sendmail365 check >/home/data/out"),
            ("root", "$S /usr/sbin/sendmail365 queue list"),
            ("root", "$S /usr/bin/mailq >/home/data/queue 2>&1"),
            ("root", "$S /usr/sbin/sendmail365 explain root"),
            ("daemon", f"{message} >/home/data/in; cd /home/data; "
             "$S /usr/sbin/sendmail -v boss@contoso.example </home/data/in >out2"),
            ("daemon", "$S /usr/sbin/sendmail365 submit -v -C "
             f"{home}/.config/sendmail365/sendmail365.conf "
             "boss@contoso.example </home/data/in 2>/home/data/err"),
            ("daemon", "$S /usr/sbin/sendmail -bs </dev/null"))):
        trace = f"/var/log/trace{number}"
        # Root's, because the memory of these processes is nobody else's.
        script = script.replace(
            "$S", " ".join([*STRACE, "-o", trace, "-u", user]))
        host.run([*as_jane, script], check=False)
        lines += host.read(trace).splitlines()
    seen = check(rules, lines)
    assert {COMMANDS, FRONT} == {profile for profile, _ in seen}
    assert (COMMANDS, f"{home}/.config/sendmail365/sendmail365.conf") in seen
    assert host.tenant.messages


def test_descriptors_that_are_inherited(rules):
    """The kernel looks at them again: what a caller has opened is usable."""
    for profile in FRONT, COMMANDS:
        for path, wanted in (("/data/x y", "rw"), ("/home/a/mbox", "rw"),
                             ("/dev/pts/3", "rw"), ("/dev/null", "rw"),
                             ("/var/log/cron.log", "w"), ("/tmp/x", "rw"),
                             ("/root/dead.letter", "rw"), ("/etc/motd", "r"),
                             ("/usr/share/x", "r")):
            assert rules.missing(profile, path, wanted) == "", (profile, path)


def test_what_is_not_allowed(rules):
    assert rules.missing(SERVE, "/etc/sendmail365/sendmail365.conf", "w")
    assert rules.missing(SERVE, "/home/a/x", "r")
    assert rules.missing(SERVE, "/etc/shadow", "r")
    assert rules.missing(SERVE, "/usr/bin/id", "x")
    for profile in FRONT, COMMANDS:
        for path in "/usr/bin/id", "/bin/sh", "/etc/passwd", "/etc/cron.d/x":
            assert rules.missing(profile, path, "w"), path
        assert rules.missing(profile, "/bin/sh", "x")
    # setup writes it
    assert not rules.missing(COMMANDS, "/etc/sendmail365/secrets/x", "rw")
    assert rules.missing(FRONT, "/etc/sendmail365/secrets/x", "w")
