"""sendmail, the front end, beside a stub of sendmail365: what it takes from
its command line and standard input, what it says, and how it exits."""
import contextlib
import email
import json
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support import BUILD, IS_PLAIN, STUCK, feed, least, wait_until

HERE = Path(__file__).resolve().parent
LOGIN = pwd.getpwuid(os.getuid()).pw_name
MESSAGE = b"From: f@x.org\nTo: t@x.org\nSubject: s\n\nbody\n"


class Result:
    """How a run ended, and what the stub heard (None: it was not started)."""

    def __init__(self, process, record, broken_pipe):
        self.status = process.returncode
        self.stdout = process.stdout
        self.stderr = process.stderr
        self.record = record
        self.broken_pipe = broken_pipe

    @property
    def sender(self):
        return self._addresses("MAIL FROM:")[0]

    @property
    def recipients(self):
        return self._addresses("RCPT TO:")

    def _addresses(self, verb):
        # without parameters
        return [c[len(verb):].partition("> ")[0].strip("<>")
                for c in self.record["commands"] if c.startswith(verb)]

    @property
    def header(self):
        return email.message_from_string(
            self.record["message"].split("\r\n\r\n", 1)[0])

    @property
    def body(self):
        return self.record["message"].split("\r\n\r\n", 1)[1]

    def is_silent_success(self):
        return (self.status, self.stdout, self.stderr) == (0, b"", b"")


class FrontEnd:
    """A copy of sendmail in a folder of its own, and its stub."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "sendmail"
        self.record_path = folder / "record.json"
        self.begun_path = folder / "begun"
        shutil.copy2(BUILD / "sendmail", self.path)
        shutil.copy2(HERE / "submit_stub.py", folder / "sendmail365")
        (folder / "sendmail365").chmod(0o755)
        self.behave()

    def behave(self, **behaviour):
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour))

    def alias(self, name):
        (self.folder / name).symlink_to("sendmail")
        return self.folder / name

    def heard(self):
        """What the stub writes down; it ends after its client."""
        wait_until(self.record_path.exists)
        return json.loads(self.record_path.read_text())

    def run(self, *args, stdin=MESSAGE, program=None, **options):
        """Run it, writing all of stdin whether it is read or not."""
        self.record_path.unlink(missing_ok=True)
        self.begun_path.unlink(missing_ok=True)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        process = subprocess.Popen([str(program or self.path), *args],
                                   stdin=subprocess.PIPE, **options)
        broken = []

        def write():
            try:
                process.stdin.write(stdin)
                process.stdin.close()
            except BrokenPipeError:
                broken.append(True)

        # communicate() would write, and hide a broken pipe.
        writer = threading.Thread(target=write)
        writer.start()
        out = process.stdout.read() if process.stdout else b""
        err = process.stderr.read() if process.stderr else b""
        process.wait(timeout=120)
        writer.join()
        done = subprocess.CompletedProcess([], process.returncode, out, err)
        record = self.heard() if self.begun_path.exists() else None
        return Result(done, record, bool(broken))


@pytest.fixture
def front(tmp_path):
    return FrontEnd(tmp_path)


def assert_fatal(result, status, *words):
    """One line, on stderr only, in the form that people grep for."""
    assert result.status == status, result.stderr
    assert result.stdout == b""
    assert result.stderr.startswith(b"sendmail: fatal: ")
    assert result.stderr.count(b"\n") == 1
    assert result.stderr.endswith(b"\n")
    for word in words:
        assert word.encode() in result.stderr
    assert not result.broken_pipe


# ---- command lines ----

# S stands for the sender, R for a recipient; T is in the header.
SHAPES = """
-t | -t -i | -i -t | -ti | -it | -oi -t | -t -oi | -t -oitrue
-t -i -fS | -t -oi -fS | -t -i -oi -fS -t | -oi -f S -t | -itfS
-t -i -f S -oi | -t -oi -oem -fS | -t -rS | -t -r S
-i R | -oi R | R | R,R2 | -t R | -ti R R2
-i R R2 R3 | -i -f S R R2 | -f S R | -f S -i R R2
-i -f S -- R R2 | -i -fS -- R R2 | -oi -f S -oem R R2 | -f S -oi -oem R
-oem -oi -- R | -oem -oi -f S -- R
-oem -oi -B8BITMIME -N failure,delay -R hdrs -- R
-FCronDaemon -i -B8BITMIME -oem R
-FCronDaemon -i -odi -oem -oi -t -f S
-FAnacron -odi R | -i -B8BITMIME R
-B 8BITMIME -f S -- R | -oi -odi -oem -f S -- R
-oi -oep -odi -t | -oi -N failure -f S -t
-N success,delay,failure -VID -f S -- R | -N bogus -R bogus R
-G -oee -odi -oi -pUUCP:host -fS R
-v -i -t | -i -v -- R | -t -i -v
-bm R | -b m R | -bm -t | -o i R | -Am R | -A c R
-U R | -Usnmcx R | -h 3 R | -M x R | -D f R | -L tag R | -O a=b R
-d R | -d0.1 R | -E R | -Jx R | -Q R | -T1d R | -e m R | -em R
-oMr R | -o7 R | -oA/etc/aliases R | -oQ/tmp R | -Xf R | -X f R
-f first@x.org -f S R | -F a -F b R | -p x:y R | -V id R | -R full R
"""
SHAPES = [s.strip() for s in SHAPES.replace("\n", "|").split("|") if s.strip()]
ADDRESSES = {"S": "s@x.org", "R": "r@x.org", "R2": "r2@x.org",
             "R3": "r3@x.org"}


def real_words(shape):
    out = []
    for word in shape.split():
        head = word[:-1] if word.startswith("-") and word.endswith("S") else ""
        if head and ("f" in head or "r" in head):
            out.append(head + ADDRESSES["S"])
        else:
            out.append(",".join(ADDRESSES.get(w, w) for w in word.split(",")))
    return out


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_of_callers(front, shape):
    words = real_words(shape)
    result = front.run(*words)
    assert result.is_silent_success()
    wanted = [a for a in ADDRESSES.values() if a in " ".join(words)]
    sender = LOGIN
    if "s@x.org" in wanted:
        sender = wanted.pop(wanted.index("s@x.org"))
    if "-t" in words or any(w[:3] in ("-ti", "-it") for w in words):
        wanted.append("t@x.org")
    assert result.sender == sender
    assert sorted(result.recipients) == sorted(wanted)
    assert result.record["commands"][0] == "EHLO localhost"
    assert result.record["commands"][-2:] == [
        f"BDAT {len(result.record['message'])} LAST", "QUIT"]
    assert result.record["argv"][:2] == ["submit", "--smtp"]
    assert ("--verbose" in result.record["argv"]) == ("v" in shape)
    assert result.body == "body\r\n"


USAGE = [
    (["-Z", "u@x.org"], "-Z"), (["-tZ"], "-Z"), (["-a", "u@x.org"], "-a"),
    (["-5", "u@x.org"], "-5"), (["--unknown", "u@x.org"], "--unknown"),
    (["--help", "u@x.org"], "--help"), (["-t", "--version"], "--version"),
    (["-f"], "-f"), (["-t", "-F"], "-F"), (["-o"], "-o"),
    (["-bx", "u@x.org"], "-bx"), (["-ba", "u@x.org"], "-ba"),
    (["-bmm", "u@x.org"], "-bmm"), (["-b", "", "u@x.org"], "mode"),
    (["-f", "a@x\nRCPT TO:<b@x>", "u@x.org"], "control character"),
    (["-f", "a@x\rb", "u@x.org"], "control character"),
    (["-F", "a\nBcc: b@x", "u@x.org"], "control character"),
    (["-F", "a\x7f", "u@x.org"], "control character"),
    (["-r", "\x01", "u@x.org"], "control character"),
    (["-C", "a\nb", "u@x.org"], "control character"),
    (["-f", "a@x@y", "u@x.org"], "-f"), (["-fuser@", "u@x.org"], "-f"),
    ([], ""), (["-i"], ""), ([""], ""), (["-f", "s@x.org", "--"], ""),
]


@pytest.mark.parametrize("words, named", USAGE, ids=str)
def test_wrong_command_lines(front, words, named):
    result = front.run(*words, stdin=b"x" * 1000000)
    assert_fatal(result, 64, named)
    assert result.record is None


def test_options_end_at_the_first_operand(front):
    result = front.run("u@x.org", "-f", "s@x.org")
    assert result.is_silent_success()
    assert result.sender == LOGIN
    assert result.recipients == ["u@x.org", "s@x.org"]


@pytest.mark.parametrize("words", [["--", "-x@y"], ["-i", "-"], ["|/bin/true"],
                                   ["/tmp/x"], ["user@"], ["<>"],
                                   ["a@x\nBcc: y@x"]], ids=str)
def test_operands_that_are_no_addresses(front, words):
    assert_fatal(front.run(*words, stdin=b"x" * 1000000), 65)


def test_unavailable_modes_do_not_read(front):
    """A list of addresses may be read by the caller's loop."""
    for word in "-bt", "-bd", "-bD", "-bl", "-bP":
        result = subprocess.run(
            [front.path, word, "u@x.org"], stdout=subprocess.PIPE,
            stdin=front.path.open("rb"), stderr=subprocess.PIPE,
            timeout=STUCK)
        assert result.returncode == 64
        assert result.stdout == b""
        assert result.stderr == (
            b"sendmail: fatal: mode " + word.encode() +
            b" is not available in this version\n")


@pytest.mark.parametrize("words", [
    ["-q"], ["-q30m"], ["-q1h30m"], ["-qf"], ["-qRsite"], ["-qIid"], ["-qSx"],
    ["-bi"], ["-I"], ["-bh"], ["-bH"], ["-bi", "-oA/etc/aliases"],
    ["-v", "-q"]], ids=str)
def test_modes_with_nothing_to_do(front, words):
    result = front.run(*words, stdin=b"")
    assert result.is_silent_success()
    assert result.record is None


@pytest.mark.parametrize("name", [
    "newaliases", "hoststat", "purgestat", "runq"])
def test_names_with_nothing_to_do(front, name):
    assert front.run(program=front.alias(name), stdin=b"").is_silent_success()


def test_empty_queue(front):
    mailq = front.alias("mailq")
    newaliases = front.alias("newaliases")
    for program, words in [(front.path, ["-bp"]), (mailq, []),
                           (mailq, ["-C", "/etc/x", "-v"]),
                           (newaliases, ["-bp"]), (front.path, ["-bp", "-q"])]:
        result = front.run(*words, program=program, stdin=b"")
        assert (result.status, result.stderr) == (0, b"")
        assert result.stdout == b"Mail queue is empty\n"
    assert_fatal(front.run("x", program=mailq, stdin=b""), 64)
    with open("/dev/full", "wb") as full:
        result = front.run("-bp", stdin=b"", stdout=full)
    assert result.status == 74


def test_a_name_decides_only_until_an_option_does(front):
    result = front.run("-bm", "u@x.org", program=front.alias("mailq"))
    assert result.is_silent_success()
    assert result.recipients == ["u@x.org"]
    result = front.run("u@x.org", program=front.alias("any-name"))
    assert result.recipients == ["u@x.org"]


def test_version_and_help(front):
    for word in "--version", "--help":
        result = front.run(word, stdin=b"")
        assert (result.status, result.stderr) == (0, b"")
        assert b"sendmail" in result.stdout


def test_files_are_never_opened(front, tmp_path):
    names = [tmp_path / n for n in "XDAQLO"]
    result = front.run(
        f"-X{names[0]}", "-D", names[1], f"-oA{names[2]}", f"-oQ{names[3]}",
        "-O", f"QueueDirectory={names[5]}", f"-L{names[4]}", "u@x.org")
    assert result.is_silent_success()
    assert not any(n.exists() for n in names)


def test_attack_on_php_mail(front, tmp_path):
    """One word of the shell, as the fifth parameter of mail() makes it."""
    word = f'-fa" -X{tmp_path}/x -OQueueDirectory=/tmp "@b.c'
    result = front.run("-t", "-i", word)
    assert result.status in (0, 64)
    assert not (tmp_path / "x").exists()
    if result.status == 0:
        assert result.recipients == ["t@x.org"]


def test_configuration_file_is_passed_on(front):
    for words in ["-C", "/etc/my.conf"], ["-C/etc/my.conf"]:
        result = front.run(*words, "u@x.org")
        assert result.record["argv"] == [
            "submit", "--smtp", "-C", "/etc/my.conf"]
    result = front.run("-v", "-C", "--verbose", "u@x.org")
    assert result.record["argv"] == [
        "submit", "--smtp", "--verbose", "-C", "--verbose"]


# ---- who sends ----

def test_sender_and_author(front):
    for words, sender in [(["-f", ""], ""), (["-f", "<>"], ""),
                          (["-fN <s@x.org>"], "s@x.org"),
                          (["-f", "jdoe"], "jdoe"), ([], LOGIN)]:
        result = front.run(*words, "u@x.org", stdin=b"Subject: s\n\nb\n")
        assert result.is_silent_success()
        assert result.sender == sender
        assert (sender or LOGIN) in result.header["From"]


def test_full_name(front):
    quiet = {k: v for k, v in os.environ.items() if k != "NAME"}
    for words, env, wanted in [
            (["-F", "Doe, Jane (x)"], {}, f'"Doe, Jane (x)" <{LOGIN}>'),
            ([], {"NAME": "Env"}, f"Env <{LOGIN}>"),
            (["-FJ"], {"NAME": "Env"}, f"J <{LOGIN}>"),
            (["-F", ""], {"NAME": "Env"}, LOGIN),
            (["-F", "J\u00f6rg"], {}, f"=?utf-8?Q?J=C3=B6rg?= <{LOGIN}>"),
            (["-FN"], {"LOGNAME": "x", "USER": "x"}, f"N <{LOGIN}>")]:
        result = front.run(*words, "u@x.org", stdin=b"Subject: s\n\nb\n",
                           env={**quiet, **env})
        assert result.is_silent_success()
        assert result.header["From"] == wanted


def test_full_name_of_the_password_file(front, tmp_path):
    """As "jdoe", in a name space with a password file of its own."""
    inside = ["unshare", "-rm", "/bin/sh", "-c",
              'mount --bind "$0" /etc/passwd && exec "$@"',
              tmp_path / "passwd"]
    for gecos, wanted in [("Jane & Doe,Room 1,555", "Jane Jdoe Doe <jdoe>"),
                          ("&", "Jdoe <jdoe>"), (",Room 1", "jdoe"),
                          ("Jane; x", "Jane <jdoe>"), ("J%x", "J <jdoe>"),
                          ("", "jdoe"), ("Doe (x)", '"Doe (x)" <jdoe>')]:
        (tmp_path / "passwd").write_text(
            f"jdoe:x:0:0:{gecos}:/:/bin/sh\n")
        done = subprocess.run([*inside, "true"], stderr=subprocess.DEVNULL)
        if done.returncode != 0:
            pytest.skip("name spaces are not permitted here")
        front.record_path.unlink(missing_ok=True)
        subprocess.run([*inside, front.path, "u@x.org"], check=True,
                       input=b"Subject: s\n\nb\n")
        message = front.heard()["message"]
        assert f"\r\nFrom: {wanted}\r\n" in "\r\n" + message


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user id")
def test_user_without_a_name(front):
    for path in [front.folder, *front.folder.parents][:3]:
        path.chmod(0o777)
    result = front.run("u@x.org", stdin=b"Subject: s\n\nb\n", user=54321)
    assert result.is_silent_success()
    assert result.sender == "uid54321"
    assert result.header["From"] == "uid54321"


# ---- messages ----

VECTOR = (b'Subject: s\nTo: a@x\nCc: b@x, "X, Y" <c@x>\nBcc: d@x\n\nbody\n')
RESENT = (b"From: o@x\nTo: a@x\nBcc: d@x\nResent-From: j@x\n"
          b"Resent-To: r@x\nResent-Bcc: q@x\n\nb\n")
MIXED = (b"To: a@x\r\nSubject: s\nFrom: f@x\nReply-To: g@x\r\n\r\n"
         b"l1\nl2\r\n")
# number in the interface's list: (words, stdin, recipients, body)
VECTORS = {
    "1": ("-t", VECTOR, "a@x b@x c@x d@x", "body\r\n"),
    "2": ("-t e@x a@x", VECTOR, "a@x b@x c@x d@x e@x", "body\r\n"),
    "3": ("-t", RESENT, "q@x r@x", "b\r\n"),
    "4": ("-t", b"To: undisclosed-recipients: ;\nBcc: d@x\n\nb\n", "d@x",
          "b\r\n"),
    "5": ("-t", b"To: undisclosed-recipients:;\nSubject: s\nTo: a@x\n\nb\n",
          "a@x", "b\r\n"),
    "6": ("-t", MIXED, "a@x", "l1\r\nl2\r\n"),
    "7": ("-i u@x", b"S: 1\n\na\n.\nb\n", "u@x", "a\r\n.\r\nb\r\n"),
    "8": ("u@x", b"S: 1\n\na\n.\nb\n" + b"c" * 1000000, "u@x", "a\r\n"),
    "9": ("u@x", b"S: 1\r\n\r\na\r\n.\r\nb\r\n", "u@x", "a\r\n"),
    "10": ("u@x", b"S: 1\n\n..a\n.b\n", "u@x", "..a\r\n.b\r\n"),
    "11": ("-ti", VECTOR, "a@x b@x c@x d@x", "body\r\n"),
    "17": ("a@x,b@x", b"S: 1\n\nb\n", "a@x b@x", "b\r\n"),
    "19": ("-FCronDaemon -i -B8BITMIME -oem jdoe",
           b"From: root (Cron Daemon)\nTo: jdoe\nSubject: c\n\nout", "jdoe",
           "out\r\n"),
    "22": ("u@x", b"From me Mon Jan 1\n>From you\nS: 1\n\nFrom b\n", "u@x",
           "From b\r\n"),
    "23": ("u@x", b"hello\nworld\n", "u@x", "hello\r\nworld\r\n"),
    "24": ("u@x", b"S: 1\ngarbage\nX: 2\n\nb\n", "u@x",
           "garbage\r\nX: 2\r\n\r\nb\r\n"),
    "31": ("u@x", b"", "u@x", ""),
    "33": ("-t v@x", b"To: " + b", ".join(b"u%d@x" % i for i in range(150)) +
           b"\n\nb\n", "v@x " + " ".join(f"u{i}@x" for i in range(150)),
           "b\r\n"),
}


@pytest.mark.parametrize("number", VECTORS)
def test_vectors_of_the_interface(front, number):
    words, stdin, recipients, body = VECTORS[number]
    result = front.run(*words.split(), stdin=stdin)
    assert result.is_silent_success()
    assert not result.broken_pipe
    assert sorted(result.recipients) == sorted(recipients.split())
    assert result.body == body
    assert not result.header.get_all("Bcc")
    assert not result.header.get_all("Resent-Bcc")
    for name in "Date", "Message-ID", "From":
        assert result.header[name]
    assert result.record["first_read"] == "QUIT\r\n" or number == "8"


def test_large_message(front):
    line = bytes(range(32, 127)) + b"\n"
    stdin = MESSAGE + line * 200000
    result = front.run("-t", stdin=stdin)
    assert result.is_silent_success()
    body = result.body.encode("latin-1")
    assert body == (b"body\n" + line * 200000).replace(b"\n", b"\r\n")
    assert set(result.record["chunks"][:-1]) == {65536}
    assert result.record["chunks"][-1] <= 65536


@pytest.mark.limits
def test_memory_does_not_grow_with_the_message(front):
    def peak(size):
        with subprocess.Popen([front.path, "-t"],
                              stdin=subprocess.PIPE) as process:
            process.stdin.write(MESSAGE)
            for _ in range(size // 64000):
                process.stdin.write((b"x" * 63 + b"\n") * 1000)
            process.stdin.close()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
        assert status == 0
        return usage.ru_maxrss

    assert peak(32 * 1024 * 1024) < peak(1024 * 1024) + 512


@pytest.mark.parametrize("behaviour", [
    {}, {"read_size": 100}, {"write_size": 7}], ids=str)
def test_many_recipients(front, behaviour):
    """Two megabytes of replies, which nobody may have to wait for."""
    count = 10000
    front.behave(any_rcpt="250 2.1.5 " + "x" * 190, **behaviour)
    stdin = b"Bcc: " + b",\n ".join(
        b"user%d@example.org" % i for i in range(count))
    result = front.run("-t", stdin=stdin + b"\n\nbody\n")
    assert result.is_silent_success()
    assert len(result.recipients) == count


def test_large_message_to_many(front):
    front.behave(any_rcpt="250 2.1.5 " + "x" * 190)
    stdin = b"Bcc: " + b",\n ".join(b"u%d@x.org" % i for i in range(5000))
    result = front.run("-t", stdin=stdin + b"\n\n" + b"line\n" * 500000)
    assert result.is_silent_success()
    assert result.body.count("line\r\n") == 500000


# ---- answers ----

# behaviour: (status, words in the line)
ANSWERS = [
    ({"greeting": ["421 4.3.5 the file is bad", "close"]}, 78, "file is bad"),
    ({"greeting": ["421 4.3.0 later", "close"]}, 75, "later"),
    ({"greeting": ["554-5.3.5 one", "554 5.3.5 two", "close"]}, 78, "one two"),
    ({"greeting": "close"}, 75, "ended without an answer"),
    ({"greeting": "hello"}, 70, "not SMTP"),
    ({"greeting": "220"}, 0, ""),
    ({"ehlo": "502 5.5.1 no"}, 69, "no"),
    ({"ehlo": "close"}, 75, "ended without an answer"),
    ({"mail": "451 4.7.8 token"}, 77, "token"),
    ({"mail": "550 5.1.7 bad sender"}, 65, "bad sender"),
    ({"any_rcpt": "550 5.1.1 who is it", "last": "554 5.5.1 none"}, 67,
     "who is it"),
    ({"any_rcpt": "550 5.1.10 null MX", "last": "554 5.5.1 none"}, 67, "null"),
    ({"any_rcpt": "553 5.1.3 no domain", "last": "554 5.5.1 none"}, 65,
     "no domain"),
    ({"any_rcpt": "450 4.2.1 busy", "last": "554 5.5.1 none"}, 75, "busy"),
    ({"any_rcpt": ["421 4.4.2 too slow", "close"]}, 75, "too slow"),
    ({"last": "552 5.3.4 too large"}, 65, "too large"),
    ({"last": "554 5.6.1 strange"}, 65, "strange"),
    ({"last": "554 5.2.252 SendAsDenied"}, 69, "SendAsDenied"),
    ({"last": "451 4.3.0 try again"}, 75, "try again"),
    ({"last": "535 5.7.8 refused"}, 77, "refused"),
    ({"last": "550"}, 69, "no reason"),
    ({"last": "354 go on"}, 76, "go on"),
    ({"last": ["250-2.0.0 queued", "250 2.0.0 as 1"]}, 0, ""),
    ({"last": ["550-5.7.1 a", "550-5.7.1", "550 5.7.1 b"]}, 69, "a b\n"),
    ({"last": "close"}, 75, "ended without an answer"),
    ({"last": ["25", "close"]}, 70, "not SMTP"),
    ({"last": "550 5.1.1 \x1b[2J"}, 67, "\\x1b[2J"),
    ({"last": "550 5.0.0 " + "long " * 2000}, 69, "long"),
]


@pytest.mark.parametrize("behaviour, status, words", ANSWERS, ids=str)
def test_answers_and_exit_status(front, behaviour, status, words):
    front.behave(**behaviour)
    for stdin in MESSAGE, MESSAGE + b"line\n" * 400000:
        result = front.run("u@x.org", stdin=stdin)
        if status == 0:
            assert result.is_silent_success()
        else:
            assert_fatal(result, status, words)


def test_some_recipients_refused(front):
    front.behave(rcpt={"<b@x.org>": "550 5.1.1 unknown",
                       "<d@x.org>": "450 4.2.1 busy"})
    result = front.run("a@x.org", "b@x.org", "c@x.org", "d@x.org")
    assert_fatal(result, 67, "b@x.org, d@x.org", "unknown")
    assert "a@x.org" not in result.stderr.decode()
    assert result.record["is_complete"]


def test_refused_chunk_ends_it(front):
    front.behave(bdat={"1": ["552 5.3.4 too large", "close"]})
    result = front.run("u@x.org", stdin=MESSAGE + b"line\n" * 400000)
    assert_fatal(result, 65, "too large")
    assert not result.record["is_complete"]


def test_stderr_of_the_stub(front):
    front.behave(stderr="noise\n")
    result = front.run("u@x.org")
    assert result.is_silent_success()
    assert result.record["stderr"] == "/dev/null"
    result = front.run("-v", "u@x.org")
    assert (result.status, result.stdout) == (0, b"")
    assert result.stderr == b"noise\n"


def test_no_program_beside(front):
    if Path("/usr/sbin/sendmail365").exists():
        pytest.skip("an installed sendmail365 would be found")
    (front.folder / "sendmail365").unlink()
    missing = front.folder / "no-service"
    result = front.run("u@x.org", stdin=MESSAGE + b"x" * 1000000,
                       env={**os.environ, "SENDMAIL365_SOCKET": str(missing)})
    assert_fatal(result, 75, f"no service answers at {missing}, ",
                 "start the service")


@pytest.mark.skipif(not IS_PLAIN or shutil.which("strace") is None,
                    reason="strace is missing, or in LeakSanitizer's way")
def test_service_that_does_not_answer(front):
    """systemd listens also where it cannot start the service.  The wait for
    its greeting, here an over-long one, comes before anything is said."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(front.folder / "silent"))
        listener.listen()
        done = subprocess.run(
            ["strace", "-qq", "-o", "/dev/null", "-e", "trace=poll,ppoll",
             "-e", "inject=poll,ppoll:retval=0:when=1", front.path, "u@x.org"],
            input=MESSAGE, stderr=subprocess.PIPE, timeout=60,
            env={**os.environ, "SENDMAIL365_SOCKET": listener.getsockname()})
        if b"not permitted" in done.stderr:
            pytest.skip("strace may not trace")
        assert (done.returncode, done.stderr) == (0, b"")
        assert front.heard()["is_complete"]
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(1) == b""


def test_program_that_is_none(front):
    (front.folder / "sendmail365").write_text("")
    assert_fatal(front.run("u@x.org"), 78, "is the package complete?")


# ---- the world that callers give ----

@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_closed_input_is_no_message(front, closed):
    script = f'exec "$0" u@x.org {closed}'
    done = subprocess.run(["/bin/sh", "-c", script, front.path],
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 75
    if "2>" not in closed:
        assert b"standard input is closed" in done.stderr
    assert not front.record_path.exists()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_descriptors(front, closed):
    script = f'exec "$0" u@x.org {closed}'
    done = subprocess.run(["/bin/sh", "-c", script, front.path],
                          input=MESSAGE, timeout=60)
    assert done.returncode == 0
    record = front.heard()
    assert record["is_complete"]
    assert record["descriptors"] == {}


def test_descriptors_of_the_child(front):
    result = front.run("u@x.org")
    assert result.record["is_one_socket"]
    assert result.record["descriptors"] == {}


def hostile_signals():
    for number in signal.SIGCHLD, signal.SIGPIPE, signal.SIGALRM:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(
        signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGPIPE, signal.SIGTERM])


def test_signals_of_the_caller(front):
    result = front.run("u@x.org", preexec_fn=hostile_signals)
    assert result.is_silent_success()


def test_small_limits(front):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        os.umask(0)
        os.chdir("/")

    assert front.run("-bp", stdin=b"", preexec_fn=limit).status == 0


def command_lines():
    """Those of all processes."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            yield path.read_bytes()


@pytest.mark.parametrize("stdin", [MESSAGE, MESSAGE + b"line\n" * 100000],
                         ids=["small", "large"])
def test_killed_before_the_end(front, stdin):
    with subprocess.Popen([front.path, "-t"],
                          stdin=subprocess.PIPE) as process:
        feed(process.stdin, [stdin])
        if len(stdin) > 65536:
            wait_until(front.begun_path.exists)
        process.kill()
        process.wait()
    wait_until(lambda: not any(
        str(front.folder).encode() in line for line in command_lines()))
    if len(stdin) < 65536:
        assert not front.record_path.exists()
    else:
        assert not front.heard()["is_complete"]


def test_no_process_is_left(front):
    def count():
        """Those that are left; a caller waits two seconds for their end."""
        return Path(f"/proc/{front.run('u@x.org').record['pid']}").exists()

    assert not least(count, False, tries=3)


@pytest.mark.parametrize("how", ["lingers_open", "lingers_closed"])
def test_a_long_farewell_is_not_waited_for(front, how):
    front.behave(**{how: 10 * STUCK})
    started = time.monotonic()
    result = front.run("u@x.org")
    assert result.is_silent_success()
    assert time.monotonic() - started < STUCK
    os.kill(result.record["pid"], signal.SIGKILL)


def test_regular_file_and_socket_as_stdin(front, tmp_path):
    path = tmp_path / "message"
    path.write_bytes(b"preamble\n" + MESSAGE)
    with path.open("rb") as f:
        path.unlink()
        os.lseek(f.fileno(), len(b"preamble\n"), os.SEEK_SET)
        subprocess.run([front.path, "-t"], stdin=f, check=True, timeout=60)
    record = front.heard()
    assert record["message"].endswith("\r\n\r\nbody\r\n")
    assert "preamble" not in record["message"]


# ---- the program itself ----

def test_links_libc_only():
    out = subprocess.run(["readelf", "-d", BUILD / "sendmail"], check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    needed = {line.split("[")[1].split("]")[0].split(".so")[0]
              for line in out.splitlines() if "(NEEDED)" in line}
    if any(n.startswith(("libasan", "libubsan")) for n in needed):
        pytest.skip("a build with sanitizers")
    # The dynamic loader is a part of libc.
    assert {n for n in needed if not n.startswith("ld-linux")} == {"libc"}


@pytest.mark.limits
def test_starts_fast(front):
    def once():
        started = time.monotonic()
        subprocess.run([front.path, "--version"], check=True,
                       stdout=subprocess.DEVNULL)
        return time.monotonic() - started

    assert least(once, 0.05, tries=200) < 0.05
