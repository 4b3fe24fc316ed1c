"""Postfix with Dovecot's SASL: a submission server that is not ours.

A private instance as Debian's packages make it possible: its own directories
and ports, nothing of the host's own Postfix. The tenant stands behind it: its
Entra issues the tokens, which Dovecot asks about (RFC 7662), and its MX takes
what Postfix relays, so that a test sees what has become of a message.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from fake365 import ALERTS, make_certs

UNKNOWN = "gone@contoso.example"
RECIPIENTS = r"/^(ops|r[0-9]+)@contoso\.example$/ OK" + "\n"
MESSAGE_LIMIT = 64_000_000
START_SECONDS = 60
STOP_SECONDS = 60
POLL_SECONDS = 0.02
SESSION_END = ": disconnect from "

QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush",
          "hold", "incoming", "maildrop", "pid", "private", "public",
          "saved", "trace")

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {here}/queue
data_directory = {here}/data
daemon_directory = {daemons}
maillog_file = {here}/log
maillog_file_prefixes = {here}
myhostname = postfix.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
relay_domains = contoso.example
relay_recipient_maps = regexp:{here}/recipients
relay_transport = relay:[127.0.0.1]:{sink_port}
relay_destination_recipient_limit = 2000
smtp_tls_security_level = none
smtp_dns_support_level = disabled
message_size_limit = {message_limit}
mailbox_size_limit = 0
# An access token makes AUTH longer than the 2048 octets of the default;
# RFC 4954 section 4 wants 12288.
line_length_limit = 12288
smtpd_recipient_limit = 2000
smtpd_peername_lookup = no
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {key} {certificate}
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {here}/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_error_sleep_time = 0
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{data_port} inet n - n - - smtpd
    -o smtpd_discard_ehlo_keywords=chunking
127.0.0.1:{plain_port} inet n - n - - smtpd
    -o smtpd_sasl_mechanism_filter=plain
cleanup   unix n - n -    0 cleanup
qmgr      unix n - n 300  1 qmgr
tlsmgr    unix - - n 1000 1 tlsmgr
rewrite   unix - - n -    - trivial-rewrite
bounce    unix - - n -    0 bounce
defer     unix - - n -    0 bounce
trace     unix - - n -    0 bounce
proxymap  unix - - n -    - proxymap
relay     unix - - n -    - smtp
smtp      unix - - n -    - smtp
error     unix - - n -    - error
retry     unix - - n -    - error
anvil     unix - - n -    1 anvil
scache    unix - - n -    1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

DOVECOT_CONF = """\
base_dir = {here}/dovecot
state_dir = {here}/dovecot
log_path = {here}/dovecot.log
protocols =
ssl = no
auth_mechanisms = xoauth2 login plain
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {here}/users
  mechanisms = login plain
}}
passdb {{
  driver = oauth2
  args = {here}/oauth2
  mechanisms = xoauth2
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
# No delay for a client that failed before.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  unix_listener {here}/auth {{
    mode = 0600
    user = postfix
  }}
}}
"""

OAUTH2_CONF = """\
introspection_mode = post
introspection_url = http://127.0.0.1:{port}/
username_attribute = username
active_attribute = active
active_value = true
"""


def why_not():
    """Why the tests that need this cannot run here; None if they can."""
    if os.geteuid() != 0:
        return "Postfix needs root"
    for program in "postconf", "dovecot":
        if not shutil.which(program):
            return f"{program} is not installed"
    version = subprocess.run(["dovecot", "--version"], text=True,
                             stdout=subprocess.PIPE).stdout.strip()
    if not version.startswith("2.3."):
        return f"the configuration is Dovecot 2.3's, this is {version}"
    return None


@contextlib.contextmanager
def started(tenant, tries=5):
    """A running server. Another program may take a port that was free."""
    with contextlib.ExitStack() as stack:
        for left in reversed(range(tries)):
            try:
                server = stack.enter_context(Postfix(tenant))
                break
            except RuntimeError:
                if left == 0:
                    raise
        yield server


class Postfix:
    """The running server; a context manager.

    `port` announces CHUNKING, `data_port` does not; `plain_port` offers
    PLAIN alone. `tenant` is its Entra and receives its mail as the service
    "mx".
    """

    def __init__(self, tenant):
        self.tenant = tenant
        self.port, self.data_port, self.plain_port = free_ports(3)
        self._introspection = Introspection(tenant)
        self._processes = []
        self._logged = 0
        self._probes = 0  # sessions of our own that it must have logged
        # Short, since the path of a socket has 107 octets; open, since the
        # users of Postfix and Dovecot come through it.
        self.here = Path(tempfile.mkdtemp(prefix="postfix-"))
        self.here.chmod(0o755)

    def __enter__(self):
        try:
            self._introspection.start()
            self._write_dovecot()
            self._write_postfix()
            self._start("dovecot", "-F", "-c", f"{self.here}/dovecot.conf")
            self._wait_for_start(self._takes_auth)
            self._start(f"{daemon_directory()}/master", "-c", self.here,
                        "-d")
            self._wait_for_start(self._greets)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            stop_group(process)
        self._introspection.stop()
        shutil.rmtree(self.here)

    # What it has seen

    @property
    def log(self):
        """Postfix's log of this instance."""
        path = self.here / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def session(self):
        """What Postfix counted in the next session, {command: times}."""
        pattern = SESSION_END + r"\S+ (.*)"
        found = []

        def has_ended():
            found[:] = re.findall(pattern, self.log)
            return len(found) > self._logged

        if not wait_until(has_ended, STOP_SECONDS):
            raise TimeoutError("no session has ended:\n" + self.log)
        counted = found[self._logged]
        self._logged += 1
        return dict(word.split("=") for word in counted.split())

    def forget(self):
        """Wait until nothing is under way; the next session is the first."""
        def is_idle():
            log = self.log
            ended = log.count(SESSION_END)
            return (log.count(": connect from ") == ended >= self._probes
                    and log.count(": client=") == log.count(": removed\n"))

        if not wait_until(is_idle, STOP_SECONDS):
            raise TimeoutError("Postfix is not idle:\n" + self.log)
        self._logged = self.log.count(SESSION_END)

    # How it is started

    def _write_dovecot(self):
        self._write("dovecot.conf", DOVECOT_CONF.format(here=self.here))
        self._write("oauth2", OAUTH2_CONF.format(
            port=self._introspection.port))
        password = self.tenant.directory.mailbox(ALERTS).password
        self._write("users", f"{ALERTS}:{{PLAIN}}{password}\n")

    def _write_postfix(self):
        certificate, key = self._certificate()
        self._write("main.cf", MAIN_CF.format(
            here=self.here, daemons=daemon_directory(),
            sink_port=self.tenant.mx_port, message_limit=MESSAGE_LIMIT,
            certificate=certificate, key=key))
        self._write("master.cf", MASTER_CF.format(
            port=self.port, data_port=self.data_port,
            plain_port=self.plain_port))
        self._write("recipients", RECIPIENTS)
        for name in ("data", *(f"queue/{one}" for one in QUEUES)):
            folder = self.here / name
            folder.mkdir(parents=True)
            if name != "queue/pid":
                shutil.chown(folder, "postfix")
            folder.chmod(0o700)

    def _certificate(self):
        folder = self.here / "certificates"
        folder.mkdir()
        self.ca_file = str(folder / "ca.pem")
        return make_certs(str(folder), ["good"])["good"]

    def _write(self, name, text):
        (self.here / name).write_text(text)

    def _start(self, *command):
        with open(self.here / "output", "ab") as output:
            self._processes.append(subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True))

    def _wait_for_start(self, is_ready):
        process = self._processes[-1]
        in_time = wait_until(
            lambda: process.poll() is not None or is_ready(), START_SECONDS)
        if process.poll() is not None or not in_time:
            said = (self.here / "output").read_text(errors="replace")
            raise RuntimeError(f"{process.args[0]} did not start\n"
                               f"{said}{self.log}")

    def _takes_auth(self):
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(f"{self.here}/auth") == 0

    def _greets(self):
        try:
            with socket.create_connection(
                    ("127.0.0.1", self.port), START_SECONDS) as client:
                greeting = client.recv(512)
                self._probes += greeting != b""
                client.sendall(b"QUIT\r\n")
                return greeting.startswith(b"220 ")
        except OSError:
            return False


class Introspection:
    """Tells Dovecot which of the tenant's tokens are good, over HTTP."""

    def __init__(self, tenant):
        class Handler(BaseHTTPRequestHandler):
            """One request; the form's only field is the token."""

            def do_POST(self):
                size = int(self.headers.get("Content-Length", 0))
                form = parse_qs(self.rfile.read(size).decode())
                token = tenant.directory.token(form["token"][0])
                active = bool(token and token.remaining > 0)
                answer = json.dumps(
                    {"active": active, "username": ALERTS}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port

    def start(self):
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05},
            daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


def daemon_directory():
    """Where the package has put Postfix's programs."""
    return subprocess.run(
        ["postconf", "-d", "-h", "daemon_directory"], text=True, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.strip()


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_until(condition, seconds):
    """Whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def stop_group(process):
    """End a daemon and all that it started."""
    for kind in signal.SIGTERM, signal.SIGKILL:
        try:
            os.killpg(process.pid, kind)
            process.wait(STOP_SECONDS)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
