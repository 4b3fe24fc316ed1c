"""Many queued messages, made faster than they can be taken."""
import os
import time

HOUR = 3600
JOURNALS = 10  #: one of so many has a journal
FOLDERS = ("queue", "failed", "incoming", "journal")
CONTENT = (b"From: alerts@contoso.example\r\nTo: ops@contoso.example\r\n"
           b"Subject: backup of web1\r\n\r\nall is well\r\n")
JOURNAL = (b"A 1\nR D 4.4.1 19 ops@contoso.example "
           b"connect to localhost: Connection refused\n")


def spool_file(uid, sender, recipient, content):
    """A message as lib/queue/spool.h has it."""
    lines = f"U {uid}\nS {sender}\nR {recipient}\nE\n"
    first = "sendmail365 spool 1 %08d %016d\n"
    size = len(first % (0, 0)) + len(lines)
    return (first % (size, len(content)) + lines).encode() + content


def fill(spool, count, due_in=HOUR):
    """Make a spool with so many messages that are due in some seconds."""
    uid = os.geteuid()
    data = spool_file(uid, "alerts@contoso.example", "ops@contoso.example",
                      CONTENT)
    for folder in ("", *FOLDERS):
        (spool / folder).mkdir(mode=0o700, exist_ok=True)
    now = time.time()
    first = int(now * 1e6) - count
    for i in range(count):
        name = f"{first + i << 12:016X}.{uid}"
        path = f"{spool}/queue/{name}"
        write(path, data)
        os.utime(path, (now, now + due_in))
        if i % JOURNALS == 0:
            write(f"{spool}/journal/{name}", JOURNAL)


def write(path, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, data)
    os.close(fd)
