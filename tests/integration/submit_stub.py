#!/usr/bin/python3 -I
"""Stands in for "sendmail365 submit --smtp": says what it is told to say.

Copied beside a copy of sendmail under the name sendmail365.  behaviour.json in
the same folder holds replies that differ from the usual ones; record.json is
written at the end: what was heard.  That it will be, "begun" says.
"""
import json
import os
import signal
import socket
import time

HERE = os.path.dirname(os.path.realpath(__file__))
RECORD = {"commands": [], "chunks": [], "message": "", "is_complete": False}


def descriptors():
    """What descriptors above 2 lead to, but for what Python has open."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink("/proc/self/fd/" + name)
        except OSError:
            pass
    return {n: to for n, to in found.items()
            if n > 2 and ("socket" in to or "pipe" in to)}


class Peer:
    """The connection, line by line and by count."""

    def __init__(self, behaviour):
        self.behaviour = behaviour
        self.socket = socket.socket(fileno=os.dup(0))
        self.waiting = b""

    def more(self):
        data = self.socket.recv(self.behaviour.get("read_size", 1 << 20))
        if not data:
            raise EOFError
        RECORD.setdefault("first_read", data[-6:].decode("latin-1"))
        self.waiting += data

    def line(self):
        while b"\n" not in self.waiting:
            self.more()
        line, self.waiting = self.waiting.split(b"\n", 1)
        return line.rstrip(b"\r").decode("latin-1")

    def octets(self, count):
        out = bytearray()
        while len(out) < count:
            if not self.waiting:
                self.more()
            part = self.waiting[:count - len(out)]
            out += part
            self.waiting = self.waiting[len(part):]
        return bytes(out)

    def say(self, reply):
        """Lines of a reply; the last word "close" ends the session."""
        for text in reply if isinstance(reply, list) else [reply]:
            if text == "close":
                raise EOFError
            data = text.encode("latin-1") + b"\r\n"
            size = self.behaviour.get("write_size", len(data))
            for i in range(0, len(data), size):
                self.socket.sendall(data[i:i + size])


def serve(peer, behaviour):
    chunk = 0
    peer.say(behaviour.get("greeting", "220 stub"))
    while True:
        line = peer.line()
        RECORD["commands"].append(line)
        verb = line.split(" ")[0].upper()
        if verb == "BDAT":
            words = line.split()
            RECORD["chunks"].append(int(words[1]))
            RECORD["message"] += peer.octets(int(words[1])).decode("latin-1")
            RECORD["is_complete"] = words[-1] == "LAST"
            usual = "250 2.0.0 ok"
            if RECORD["is_complete"]:
                usual = behaviour.get("last", "250 2.0.0 queued")
            peer.say(behaviour.get("bdat", {}).get(str(chunk), usual))
            chunk += 1
        elif verb == "RCPT":
            usual = behaviour.get("any_rcpt", "250 2.1.5 ok")
            peer.say(behaviour.get("rcpt", {}).get(line[8:], usual))
        elif verb == "EHLO":
            peer.say(behaviour.get("ehlo", ["250-stub", "250 CHUNKING"]))
        elif verb == "MAIL":
            peer.say(behaviour.get("mail", "250 2.1.0 ok"))
        elif verb == "QUIT":
            peer.say("221 2.0.0 bye")
            return


def answer_queue(words):
    """What "sendmail365 queue" says where there is no queue."""
    try:
        if "list" in words:
            os.write(1, b"Mail queue is empty\n")
    except OSError:
        os._exit(os.EX_IOERR)
    os._exit(os.EX_OK)


def main():
    with open(HERE + "/behaviour.json", encoding="utf-8") as f:
        behaviour = json.load(f)
    with open("/proc/self/cmdline", encoding="latin-1") as f:
        words = f.read().rstrip("\0").split("\0")
    if "queue" in words[3:5]:
        answer_queue(words)
    with open(HERE + "/begun", "w", encoding="utf-8"):
        pass
    # The interpreter, its option and this file stand in front.
    RECORD["argv"] = words[3:]
    RECORD["pid"] = os.getpid()
    RECORD["descriptors"] = descriptors()
    RECORD["is_one_socket"] = os.fstat(0).st_ino == os.fstat(1).st_ino
    RECORD["stderr"] = os.readlink("/proc/self/fd/2")
    RECORD["sigpipe"] = str(signal.getsignal(signal.SIGPIPE))
    os.write(2, behaviour.get("stderr", "").encode())
    peer = Peer(behaviour)
    try:
        serve(peer, behaviour)
    except (EOFError, OSError):
        pass
    with open(HERE + "/record.tmp", "w", encoding="utf-8") as f:
        json.dump(RECORD, f)
    os.rename(HERE + "/record.tmp", HERE + "/record.json")
    time.sleep(behaviour.get("lingers_open", 0))
    peer.socket.close()
    os.close(0)
    os.close(1)
    time.sleep(behaviour.get("lingers_closed", 0))


main()
