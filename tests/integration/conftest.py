"""Fixtures for tests that run the real programs against fake365."""
import contextlib
import os
import pwd
import subprocess
import sys

import pytest

pytest.register_assert_rewrite("support", "support_direct")

from support import BUILD, IS_PLAIN, STALL, STUCK, TOP  # noqa: E402

sys.path.insert(0, str(TOP / "tests"))

from fake365 import Scenario, Tenant  # noqa: E402
from support_direct import dead_port  # noqa: E402, F401
from support_dns import resolver  # noqa: E402, F401


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "slow: takes long under valgrind, or shows nothing new there")
    config.addinivalue_line(
        "markers", "limits: measures or limits memory, time or descriptors")


#: What starts the service: valgrind knows no Landlock, and would report it.
OF_THE_SERVICE = {"service", "make_service", "stuck"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if OF_THE_SERVICE & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    # Of long tables every nth row, where each row takes seconds.
    step = int(os.environ.get("SENDMAIL365_SAMPLE", "1"))
    items[:] = items[::step]
    if IS_PLAIN:
        return
    for item in items:
        if "limits" in item.keywords:
            item.add_marker(pytest.mark.skip(
                reason="an instrumented program needs more of everything"))


class Programs:
    """The programs under test and a configuration for them."""

    def __init__(self, home):
        self.home = home
        self.directory = home / "sendmail365"
        self.directory.mkdir(exist_ok=True)
        self.sendmail_path = str(BUILD / "sendmail")
        self.sendmail365_path = str(BUILD / "sendmail365")
        self.config = None
        self.tenant = None
        #: words before each command line, such as those of a Resolver
        self.prefix = ()

    @property
    def state(self):
        """The state directory of the configuration."""
        return self.directory / "state"

    def use(self, tenant, /, **options):
        """Write a configuration for this tenant and use it from now on."""
        options.setdefault("timeout", 10 if IS_PLAIN else 60)
        self.tenant = tenant
        self.config = tenant.write_config(str(self.directory), **options)
        return self

    def sendmail(self, *args, stdin=b"", **options):
        """Run sendmail; stdin is bytes or an open file."""
        return self._run(*self._front_end(args, options), stdin=stdin,
                         **options)

    def _front_end(self, args, options):
        """The command line; -C is root's, others have a file of their own.

        May change `options`.
        """
        if options.get("user", os.geteuid()) == 0:
            return [self.sendmail_path, "-C", self.config, *args]
        options["env"] = {**options.get("env", os.environ),
                          "XDG_CONFIG_HOME": str(self.home)}
        return [self.sendmail_path, *args]

    def sendmail365(self, command, *args, stdin=b"", **options):
        """Run a subcommand of sendmail365 with -C."""
        return self._run(self.sendmail365_path, command, "-C", self.config,
                         *args, stdin=stdin, **options)

    def start(self, *args, stdin=subprocess.PIPE, **options):
        """Start sendmail and return the process."""
        return self._start(*self._front_end(args, options), stdin=stdin,
                           **options)

    def start365(self, command, *args, stdin=subprocess.PIPE, **options):
        """Start a subcommand of sendmail365 with -C."""
        return self._start(
            self.sendmail365_path, command, "-C", self.config, *args,
            stdin=stdin, **options)

    def _start(self, *command, stdin, **options):
        command = (*self.prefix, *command)
        return subprocess.Popen(
            [str(c) for c in command], stdin=stdin, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, **options)

    def _run(self, *command, stdin, **options):
        command = (*self.prefix, *command)
        source = {"input": stdin} if isinstance(stdin, bytes) else {
            "stdin": stdin}
        options.setdefault("timeout", 2 * STUCK)
        return subprocess.run([str(c) for c in command],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              **source, **options)


@pytest.fixture
def programs(tmp_path):
    return Programs(tmp_path)


@pytest.fixture
def given(programs):
    """Make programs and a tenant (`.tenant`) that follows these rules.

    `drop` are capabilities that are not offered, `recipients` answers for
    recipients; `login` and `config` are about the configuration of the
    client, where `stalls` shortens its patience. What is left are options
    of Tenant.
    """
    with contextlib.ExitStack() as stack:
        def make(*rules, drop=(), recipients=None, login=False, config=None,
                 stalls=False, **options):
            scenario = Scenario(
                *rules, drop_capability=drop, recipients=recipients)
            tenant = stack.enter_context(
                Tenant(scenario=scenario, **options))
            keys = {"timeout": STALL} if stalls else {}
            return programs.use(
                tenant, login=login, **{**keys, **(config or {})})

        yield make


@pytest.fixture
def mail(given):
    """Programs that are configured for a tenant with OAuth."""
    return given()


@pytest.fixture
def other_user(tmp_path_factory):
    """Make options of subprocess.run for a user who is not root.

    Where the tests run as root the programs' directory is made readable and
    becomes that user's; elsewhere the present user is the one.
    """
    base = tmp_path_factory.getbasetemp()

    def make(mail):
        if os.geteuid() != 0:
            return {}
        if BUILD.name == "valgrind":
            pytest.skip("what valgrind finds goes to a file of root's")
        if not all(p.stat().st_mode & 1 for p in BUILD.parents):
            pytest.skip(f"others cannot reach {BUILD}")
        nobody = pwd.getpwnam("nobody")
        for path in [mail.home, *mail.home.rglob("*")]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        for parent in (base, base.parent):
            parent.chmod(0o711)
        mail.tenant.path.chmod(0o711)
        return {"user": nobody.pw_uid, "group": nobody.pw_gid,
                "extra_groups": []}

    return make
