"""The command line, option by option: what is accepted, ignored and refused.

Postfix's own sendmail is run beside ours, with the same words and the same
message, in a root of its own (tests/callers/private-root). Where it does
something else the table says what, and sendmail(8) says why.
"""
import json
import os
import pwd
import re
import shutil
import subprocess

import pytest
from support import BUILD, TOP
from test_sendmail_options import FrontEnd

PRIVATE_ROOT = TOP / "tests/callers/private-root"
LOGIN = pwd.getpwuid(os.getuid()).pw_name
INPUT = (b"From: f@x.org\nTo: t@x.org\nSubject: s\n\nbody\n.\nmore\n")

# WORDS | OURS | POSTFIX, if it differs
#
# An outcome is an exit status for a refusal, "nothing" for a success that
# sends nothing, or a sender (S: the login name, <>: null), recipients and the
# size of the body in lines. U is u@x.org, T what the header says.
TABLE = """
U                          | S U 1
-t                         | S T 1
-t U                       | S U T 1
-i U                       | S U 3
-oi U                      | S U 3
-oitrue U                  | S U 3
-ti                        | S T 3
-it                        | S T 3
-itfs@x.org                | s@x.org T 3
-bm U                      | S U 1
-b m U                     | S U 1
-bm -t                     | S T 1
-- U                       | S U 1
U -f s@x.org               | S U s@x.org 1 | S U -f s@x.org 1
- U                        | S U 1      | S - U 1
-f s@x.org U               | s@x.org U 1
-fs@x.org U                | s@x.org U 1
-r s@x.org U               | s@x.org U 1
-f a@x.org -r s@x.org U    | s@x.org U 1
-f <> U                    | <> U 1
-f '' U                    | <> U 1
-f 'N <s@x.org>' U         | s@x.org U 1
-f jdoe U                  | jdoe U 1
-F N U                     | S U 1
-FN U                      | S U 1
-Ac U                      | S U 1
-A m U                     | S U 1
-B 8BITMIME U              | S U 1
-B7BIT U                   | S U 1
-Bbogus U                  | S U 1      | 75
-c U                       | S U 1
-D f U                     | S U 1      | 75
-d U                       | S U 1      | 75
-d0.1 U                    | S U 1      | 75
-E U                       | S U 1      | 75
-e m U                     | S U 1
-em U                      | S U 1
-eq U                      | S U 1
-G U                       | S U 1
-h 3 U                     | S U 1
-J U                       | S U 1      | 75
-L tag U                   | S U 1
-M x U                     | S U 1      | 75
-m U                       | S U 1
-N never U                 | S U 1
-N success,delay,failure U | S U 1
-n U                       | S U 1      | 75
-O a=b U                   | S U 1
-o7 U                      | S U 1
-o i U                     | S U 3
-oA/etc/aliases U          | S U 1
-odb U                     | S U 1
-odi U                     | S U 1
-odq U                     | S U 1
-oem U                     | S U 1
-oee U                     | S U 1
-om U                      | S U 1
-oMrSMTP U                 | S U 1
-oQ/tmp U                  | S U 1
-p x:y U                   | S U 1
-Q U                       | S U 1      | 75
-R full U                  | S U 1
-Rhdrs U                   | S U 1
-s U                       | S U 1      | 75
-T1d U                     | S U 1      | 75
-U U                       | S U 1
-V id10 U                  | S U 1
-V id U                    | S U 1      | S U id 1
-X /tmp/f U                | S U 1      | 75
-XV U                      | S U 1
-x U                       | S U 1
-Umcxi U                   | S U 3
-a U                       | 64         | 75
-5 U                       | 64         | 75
-Z U                       | 64         | 75
-tZ                        | 64         | 75
-f                         | 64         | 75
--unknown U                | 64         | 75
''                         | 64         | S <> 1
<none>                     | 64         | 75
-i                         | 64         | 75
-ba U                      | 64         | 75
-bt U                      | 64         | 75
-bP U                      | 64         | 75
-bx U                      | 64         | 75
-bmm U                     | 64         | S U 1
-bD                        | 64         | 75
-bh                        | nothing
-bH                        | nothing
-bi                        | nothing
-I                         | nothing
-q30m                      | nothing
-q1h30m                    | nothing
-bs -t                     | nothing    | 75
-bs U                      | nothing    | 75
-t -f                      | 64         | 75
a@x.org,b@x.org            | S a@x.org b@x.org 1
'a@x.org b@x.org'          | S a@x.org b@x.org 1
'Foo Bar <a@x.org>'        | S a@x.org 1
'a@x.org (comment)'        | S a@x.org 1
'friends: a@x.org, b@x.org;' | S a@x.org b@x.org 1
'"john doe"@x.org'         | S "john doe"@x.org 1
-- -x@y.org                | 65         | S -x@y.org 1
"""
# What Postfix says is neither sent nor comparable: it talks to its daemon.
OURS_ONLY = """
-bp                        | queue
-bp -q                     | queue
mailq                      | queue
newaliases                 | nothing
newaliases -bp             | queue
hoststat                   | nothing
purgestat                  | nothing
mailq -bm U                | S U 1
any-name U                 | S U 1
smtpd                      | 64
-bd                        | 64
-bl                        | 64
-N bogus U                 | S U 1
-R bogus U                 | S U 1
-v U                       | S U 1
-t -v                      | S T 1
-bp U                      | 64
"""


def words_of(text):
    """The words between blanks; quotes hold blanks together."""
    if text == "<none>":
        return []
    words = re.findall(r"'([^']*)'|(\S+)", text)
    return [quoted or ("u@x.org" if word == "U" else word)
            for quoted, word in words]


def rows(table):
    for line in table.strip().splitlines():
        cells = [cell.strip() for cell in line.split(" | ")]
        yield pytest.param(cells[0], cells[1], cells[-1], id=cells[0])


def show(status, sender, recipients, body):
    """An outcome as the table writes it."""
    if status != 0:
        return str(status)
    if sender is None:
        return "nothing"
    names = {LOGIN: "S", "": "<>"}
    people = {"u@x.org": "U", "t@x.org": "T", "": "<>"}
    order = sorted(people.get(r, r) for r in recipients)
    return " ".join([names.get(sender, sender), *order, str(body)])


def normal(outcome):
    """With the recipients in one order."""
    words = re.findall(r'".*?"\S*|\S+', outcome)
    if len(words) < 2:
        return outcome
    return " ".join([words[0], *sorted(words[1:-1]), words[-1]])


@pytest.fixture
def front(tmp_path):
    return FrontEnd(tmp_path)


def run_ours(front, words, stdin):
    program = None
    if words and re.fullmatch(r"[a-z]+(-[a-z]+)?", words[0]):
        program = front.alias(words[0])
        words = words[1:]
    return front.run(*words, program=program, stdin=stdin)


@pytest.mark.parametrize(
    "text, ours, _", [*rows(TABLE), *rows(OURS_ONLY)])
def test_option(front, text, ours, _):
    # Other modes do not read, or wait for commands.
    is_message = re.search(r" \d$", ours) or (
        ours == "64" and not re.match("-b|smtpd", text))
    result = run_ours(front, words_of(text), INPUT if is_message else b"")
    record = result.record
    sent = record is not None and record["is_complete"]
    assert show(result.status, result.sender if sent else None,
                result.recipients if sent else [],
                result.body.count("\r\n") if sent else 0) == (
        "nothing" if ours == "queue" else normal(ours))
    if ours == "queue":
        assert result.stdout == b"Mail queue is empty\n"
    elif "-bs" not in text:
        assert result.stdout == b""
    assert bool(result.stderr) == (result.status != 0)
    assert not result.broken_pipe


# ---- Postfix's ----

# Runs all command lines at once, since Postfix waits a second where it
# refuses; which queue file is whose is told by a field of the message.
POSTFIX_SIDE = r"""
import json, os, re, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
cases = json.load(open(sys.argv[1]))
open("/etc/postfix/main.cf", "w").write(
    "compatibility_level = 3.6\nmyhostname = web1\nmyorigin = web1\n"
    "inet_interfaces = loopback-only\nmaillog_file = /var/log/postfix\n")
maildrop = "/var/spool/postfix/maildrop"
subprocess.run(["postfix", "set-permissions"], stderr=subprocess.DEVNULL)
def run(item):
    number, (words, text) = item
    done = subprocess.run(
        ["/usr/sbin/sendmail", *words], stdout=subprocess.PIPE,
        input=f"X-Case: {number}\n{text}".encode() if text else b"",
        stderr=subprocess.PIPE, timeout=60)
    return {"status": done.returncode, "stdout": done.stdout.decode(),
            "stderr": done.stderr.decode(), "files": []}
with ThreadPoolExecutor(16) as pool:
    results = list(pool.map(run, enumerate(cases)))
for name in os.listdir(maildrop):
    path = maildrop + "/" + name
    shown = subprocess.run(["postcat", path], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE).stdout.decode()
    number = int(re.search(r"^X-Case: (\d+)$", shown, re.M)[1])
    head, _, rest = shown.partition("*** MESSAGE CONTENTS")
    content = rest.partition(" ***\n")[2].partition("*** HEADER EXTRACTED")[0]
    results[number]["files"].append({
        "sender": re.search(r"^sender: (.*)$", head, re.M)[1],
        "recipients": re.findall(r"^recipient: (.*)$", shown, re.M),
        "body": content.partition("\n\n")[2].count("\n")})
json.dump(results, sys.stdout)
"""


def why_no_postfix():
    if os.geteuid() != 0:
        return "only root can make a root for Postfix"
    if not shutil.which("postdrop"):
        return "Postfix is not installed"
    if subprocess.run([PRIVATE_ROOT, "true"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        return "no private root can be made"
    return None


@pytest.fixture(scope="module")
def postfix(tmp_path_factory):
    """{words of the table: what Postfix did}."""
    reason = why_no_postfix()
    if reason is not None:
        pytest.skip(reason)
    texts = [row.values[0] for row in rows(TABLE)]
    cases = [(words_of(t), "" if t.startswith(("-bs", "-bh", "-bH"))
              else INPUT.decode()) for t in texts]
    path = tmp_path_factory.mktemp("postfix") / "cases.json"
    path.write_text(json.dumps(cases))
    done = subprocess.run(
        [PRIVATE_ROOT, "/usr/bin/python3", "-c", POSTFIX_SIDE, path],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return dict(zip(texts, json.loads(done.stdout)))


@pytest.mark.parametrize("text, _, theirs", rows(TABLE))
def test_option_of_postfix(postfix, text, _, theirs):
    result = postfix[text]
    file, = result["files"] or [{"sender": None, "recipients": [], "body": 0}]
    # postcat shows addresses without the quotes that they need.
    people = [re.sub("^(.* .*)@", r'"\1"@', r) for r in file["recipients"]]
    assert show(result["status"], file["sender"], people,
                file["body"]) == normal(theirs), result


def test_the_manual_lists_the_differences():
    """Each option that Postfix takes otherwise is under STANDARDS."""
    manual = (TOP / "cmd/sendmail/sendmail.8").read_text()
    section = manual.partition(".Sh STANDARDS")[2].partition("\n.Sh ")[0]
    lines = [line for line in section.splitlines() if "Fl " in line]
    letters = {word[0] for line in lines for word in line.split()
               if not word.startswith(".") and word != "Fl"}
    for row in rows(TABLE):
        text, ours, theirs = row.values
        if ours != theirs and ours != "64" and re.match("-[A-Za-z]", text):
            assert text[1] in letters, text


# ---- command lines of real callers, and the vectors, that are not in
# ---- test_sendmail_options.py and test_bs.py ----

QUIET = {k: v for k, v in os.environ.items() if k != "NAME"}
BARE = b"Subject: s\n\nbody\n"


@pytest.mark.parametrize("words", [
    "-oi -t -f <>", "-N success,delay,failure -VID -f '' -- U",
    "-oi -N failure -f s@x.org -t", "-i -v -- U", "-t -i -v",
    "-B 8BITMIME -f s@x.org -- U", "-oem -oi -B8BITMIME -N failure,delay "
    "-R hdrs -- U", "-G -oee -odi -oi -pUUCP:host -fs@x.org U",
    "-FCronDaemon -i -odi -oem -oi -t -f s@x.org", "-oi -oep -odi -t"])
def test_real_command_lines(front, words):
    result = front.run(*words_of(words))
    assert result.is_silent_success()
    wanted = ["u@x.org"] if "U" in words.split() else ["t@x.org"]
    assert result.recipients == wanted


#: number in the list of vectors -> (words, environment, From)
FROM = {
    "12": ("-f '' U", {}, LOGIN), "12b": ("-f <> U", {}, LOGIN),
    "13": ("'-fN <s@x.org>' U", {}, "s@x.org"),
    "14": ("-F 'Doe, Jane (x)' U", {}, f'"Doe, Jane (x)" <{LOGIN}>'),
    "15": ("U", {"NAME": "Env"}, f"Env <{LOGIN}>"),
    "16": ("-F x U", {"LOGNAME": "other", "USER": "other"}, f"x <{LOGIN}>"),
}


@pytest.mark.parametrize("number", FROM)
def test_vectors_of_the_sender(front, number):
    words, environment, wanted = FROM[number]
    result = front.run(*words_of(words), stdin=BARE,
                       env={**QUIET, **environment})
    assert result.is_silent_success()
    assert wanted in result.header["From"]
    if "12" in number:
        assert result.sender == ""


def test_vector_25_no_recipient(front):
    result = front.run(stdin=b"x" * 1024 * 1024)
    assert (result.status, result.stdout) == (64, b"")
    assert result.stderr.count(b"\n") == 1
    assert not result.broken_pipe


def test_vector_27_files_that_options_name(front, tmp_path):
    name = tmp_path / "p"
    result = front.run(f"-X{name}", "-O", "QueueDirectory=/tmp",
                       "-C/etc/passwd", "u@x.org")
    assert result.status in (0, 77)
    assert not name.exists()


# ---- help ----

def test_help_fits_a_screen(front):
    for program in front.path, BUILD / "sendmail365":
        done = subprocess.run([program, "--help"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=True)
        lines = done.stdout.decode().splitlines()
        assert done.stderr == b""
        assert 3 < len(lines) <= 24
        assert max(map(len, lines)) <= 79


@pytest.mark.parametrize("words, wanted", [
    (["su"], {"submit"}), (["--"], {"--help", "--version"}),
    (["explain", "--u"], {"--user"}), (["submit", "--dry"], {"--dry-run"}),
    (["check", "-"], {"-C"}), (["queue", "re"], {"retry", "release"}),
    (["queue", "--f"], {"--failed"}), (["submit", "a@"], set()),
    (["explain", "--user", "roo"], {"root"}),
    (["check", "-C", "/etc/passw"], {"/etc/passwd"}),
])
def test_completion(words, wanted):
    script = """source "$1"; program=$2; shift 2
        COMP_WORDS=("$program" "$@"); COMP_CWORD=$#
        _sendmail365 "$program" "${@: -1}" "${COMP_WORDS[$# - 1]}"
        printf '%s\\n' "${COMPREPLY[@]}" """
    done = subprocess.run(
        ["bash", "-c", script, "bash", TOP / "etc/bash-completion",
         BUILD / "sendmail365", *words], stdout=subprocess.PIPE, check=True)
    assert wanted <= set(done.stdout.decode().split())
    assert bool(wanted) == bool(done.stdout.decode().split())
