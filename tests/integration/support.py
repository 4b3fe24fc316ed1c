"""What the tests of the real programs share: messages, checks, processes."""
import array
import fcntl
import os
import re
import subprocess
import termios
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("SENDMAIL365_BUILD", TOP / "build"))
IS_PLAIN = BUILD.name not in ("sanitize", "valgrind")

#: Seconds that a client may wait where somebody stalls.
STALL = {"sanitize": 2, "valgrind": 5}.get(BUILD.name, 1)
#: Seconds after which a test is stuck.
STUCK = 60 if IS_PLAIN else 300

BOSS = "boss@contoso.example"
COLLEAGUE = "colleague@contoso.example"
OUTSIDER = "friend@fabrikam.example"
ALERTS = "alerts@contoso.example"

HEADER = (
    f"From: {ALERTS}\r\n"
    f"To: {BOSS}\r\n"
    "Subject: backup of web1\r\n"
    "Date: Sat, 21 Nov 2026 07:37:54 +0000\r\n"
    "Message-ID: <1@web1.contoso.example>\r\n"
).encode()
MESSAGE = HEADER + b"\r\nall is well\r\n"


def message(body, *fields):
    """A message of HEADER, more fields (text) and a body (octets)."""
    more = b"".join(field.encode() + b"\r\n" for field in fields)
    return HEADER + more + b"\r\n" + body


def assert_sent(result):
    """The program has succeeded, in silence."""
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def assert_fatal(result, status, *words):
    """The program has failed with this status and one line that says why.

    Each of `words` is in it, in any case.
    """
    text = result.stderr.decode()
    assert result.returncode == status, text
    assert result.stdout == b""
    assert re.fullmatch(r"sendmail: fatal: [^\n]+\n", text), text
    for word in words:
        assert word.lower() in text.lower(), text


def outcomes(result):
    """{recipient: status} of the log of "sendmail365 submit -v"."""
    rows = re.findall(
        r" to=<(.*?)>, relay=.*?, dsn=([\d.]+), status=(\w+) \(",
        result.stderr.decode())
    assert len({to for to, _, _ in rows}) == len(rows), rows
    return {to: f"{status} {dsn}" for to, dsn, status in rows}


def spoken(tenant, verb):
    """The commands with this verb that the submission host has got."""
    return [line[3:] for line in tenant.dialogue()
            if line.startswith(f"C: {verb}")]


# Configurations

def configure(mail, text, login=False, **account):
    """Use a configuration of [account] and these other sections.

    "[account NAME]" is completed with what signs in here as
    NAME@contoso.example; `account` are keys of [account]. Aliases are in the
    empty file `aliases` beside it, unless another is named.
    """
    def complete(match):
        keys = mail.tenant.account(user=f"{match[1]}@contoso.example")
        return match[0] + "".join(f"{k} = {v}\n" for k, v in keys.items())

    mail.use(mail.tenant, login=login, **account)
    service = f"[service]\nstate_directory = {mail.state}\n"
    aliases = f"[aliases]\nfile = {mail.directory}/aliases\n"
    if "[aliases]" not in text:
        text += aliases
    elif "\nfile = " not in text:
        text = text.replace("[aliases]\n", aliases)
    text = re.sub(r"\[account (\w+)\]\n", complete, text)
    Path(mail.config).write_text("\n".join([
        mail.tenant.config(login, **{"timeout": 60, **account}), text,
        service]))


def line_of(mail, text):
    """The number of the first line of the configuration that begins so."""
    lines = Path(mail.config).read_text().splitlines()
    [first, *_] = [i for i, line in enumerate(lines, 1)
                   if line.startswith(text)]
    return first


# Processes

def children_of(pid):
    """The process ids of a process's children."""
    out = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(errors="replace").rpartition(")")[2]
        except OSError:
            continue  # it has just ended
        if int(fields.split()[1]) == pid:
            out.append(int(stat.parent.name))
    return out


def await_sleep(pid):
    """Wait until a process waits for something to do."""
    stat = Path(f"/proc/{pid}/stat")
    wait_until(lambda: stat.read_text().rpartition(") ")[2][0] == "S")


def is_listening(path):
    """Whether connections to a Unix socket are taken; its name is there a
    moment earlier."""
    lines = Path("/proc/net/unix").read_text().splitlines()
    return any(line.split()[3] == "00010000" and line.endswith(f" {path}")
               for line in lines[1:])


def peak_memory(pid):
    """The peak of a process's resident memory, in octets."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


def wait_until(condition, seconds=STUCK):
    """Poll a condition of a kind that cannot wake us."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "too late"
        time.sleep(0.002)


def least(measure, wanted, tries=20):
    """The least of some measures; `wanted` is not improved upon.

    A machine that is busy adds to it, and takes nothing away.
    """
    found = measure()
    for _ in range(tries):
        if found <= wanted:
            break
        found = min(found, measure())
    return found


def feed(pipe, pieces):
    """Write each piece once the reader has taken the one before."""
    unread = array.array("i", [0])

    def is_empty():
        fcntl.ioctl(pipe, termios.FIONREAD, unread)
        return unread[0] == 0

    for piece in pieces:
        pipe.write(piece)
        pipe.flush()
        wait_until(is_empty)


def finish(process):
    """Wait for a process that was started; as subprocess.run returns it."""
    out, err = process.communicate(timeout=STUCK)
    return subprocess.CompletedProcess(
        process.args, process.returncode, out, err)
