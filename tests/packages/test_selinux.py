"""The SELinux module, linked into the reference policy that Debian has.

Fedora's policy is a branch of it; the rules of callers (httpd_can_sendmail and
so on) are the same there.  No kernel enforces anything here: the questions are
put to the policy itself.
"""
import importlib.util
import subprocess

import pytest

from redhat import why_not
from roots import Root, base, layer

reason = why_not()
if importlib.util.find_spec("setools") is None:
    reason = "python3-setools is not installed"
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))

CONTENTS = ("apt-get -q -y install --no-install-recommends "
            "selinux-policy-default selinux-utils rpm && "
            "sed -i s/^SELINUXTYPE=.*/SELINUXTYPE=default/ /etc/selinux/config")
PRIVATE = ["sendmail365_secret_t", "sendmail365_spool_t",
           "sendmail365_var_lib_t"]
#: domains that run sendmail, and those that it runs in then
CALLERS = ["httpd_t", "system_cronjob_t", "crond_t", "user_t", "staff_t",
           "fsdaemon_t", "logwatch_t"]
MAILERS = ["system_mail_t", "user_mail_t"]
#: what the service may do, and may not: to which type, as what
MUST = [
    ("sendmail365_spool_t", "file", "create"),
    ("sendmail365_spool_t", "file", "rename"),
    ("sendmail365_spool_t", "dir", "create"),
    ("sendmail365_spool_t", "dir", "watch"),
    ("sendmail365_tmp_t", "file", "create"),
    ("sendmail365_tmp_t", "file", "unlink"),
    ("tmp_t", "dir", "add_name"),
    ("sendmail365_var_lib_t", "file", "create"),
    ("sendmail365_log_t", "file", "append"),
    ("sendmail365_etc_t", "file", "read"),
    ("etc_aliases_t", "file", "read"),
    ("cert_t", "file", "read"),
    ("smtp_port_t", "tcp_socket", "name_connect"),
    ("http_port_t", "tcp_socket", "name_connect"),
    ("http_cache_port_t", "tcp_socket", "name_connect"),
    ("squid_port_t", "tcp_socket", "name_connect"),
    ("dns_port_t", "tcp_socket", "name_connect"),
    ("tmpfs_t", "file", "read"),
    ("ramfs_t", "file", "read"),
    ("devlog_t", "sock_file", "write"),
    ("init_t", "unix_dgram_socket", "sendto"),
]
MUST_NOT = [
    ("sendmail365_secret_t", "file", "read"),
    ("sendmail365_etc_t", "file", "write"),
    ("sendmail365_log_t", "file", "unlink"),
    ("shadow_t", "file", "read"),
    ("user_home_t", "file", "read"),
    ("mail_spool_t", "file", "read"),
    ("mqueue_spool_t", "file", "read"),
    ("bin_t", "file", "execute_no_trans"),
    ("shell_exec_t", "file", "execute"),
    ("sendmail365_exec_t", "file", "execute_no_trans"),
    ("sendmail_exec_t", "file", "execute"),
]
OTHER_PORTS = ["ssh_port_t", "mysqld_port_t"]
#: all types that a test asks about
ASKED = {*PRIVATE, *CALLERS, *MAILERS, *OTHER_PORTS, "init_t", "sendmail365_t",
         "sendmail365_exec_t", "sendmail365_runtime_t", "sendmail_exec_t",
         *(one[0] for one in MUST + MUST_NOT)}


@pytest.fixture(scope="module")
def root(rpms):
    """A root whose policy has our module in it."""
    policy = layer("selinux", CONTENTS, base())
    with Root(base(), policy) as one:
        one.copy(rpms["sendmail365-selinux"], "/root/module.rpm")
        one.run("cd /root && rpm2archive -n <module.rpm | tar -x && "
                "semodule -n -s default -X 200 "
                "-i usr/share/selinux/packages/targeted/sendmail365.pp.bz2")
        yield one


class Policy:
    """The rules of a policy that are about some types, and how to ask."""

    def __init__(self, path):
        from setools import SELinuxPolicy
        self.members = {}
        #: {(source, target, class): [(permissions, condition)]}
        self.allowed = {}
        #: {(source, target): {(domain, condition)}}
        self.transitions = {}
        for rule in SELinuxPolicy(str(path)).terules():
            kind = rule.ruletype.name
            if kind == "allow" or (kind == "type_transition" and
                                   rule.tclass == "process"):
                self.add(kind, rule)

    def of(self, name):
        """The types that a type or an attribute stands for."""
        key = str(name)
        if key not in self.members:
            self.members[key] = {str(one) for one in name.expand()}
        return self.members[key]

    def add(self, kind, rule):
        sources = self.of(rule.source) & ASKED
        targets = self.of(rule.target) & ASKED
        for source in sources:
            for target in ({source} if str(rule.target) == "self"
                           else targets):
                if kind == "allow":
                    key = source, target, str(rule.tclass)
                    self.allowed.setdefault(key, []).append(
                        (set(rule.perms), condition(rule)))
                else:
                    self.transitions.setdefault((source, target), {})[
                        str(rule.default)] = condition(rule)

    def allows(self, source, target, tclass, perm):
        """The conditions, as text, on which one type may do something; ''
        for "always"."""
        return [when for perms, when in self.allowed.get(
            (source, target, tclass), []) if perm in perms]

    def becomes(self, source, target):
        """What a type becomes by executing a file: {domain: condition}."""
        return self.transitions.get((source, target), {})


def condition(rule):
    from setools.exception import RuleNotConditional
    try:
        return f"{rule.conditional} {rule.conditional_block}"
    except RuleNotConditional:
        return ""


@pytest.fixture(scope="module")
def policy(root, tmp_path_factory):
    path = tmp_path_factory.mktemp("selinux") / "policy"
    with open(path, "wb") as file:
        subprocess.run(root.command(
            "cat /etc/selinux/default/policy/policy.*"), stdout=file,
            check=True)
    return Policy(path)


def test_labels(root):
    paths = {
        "/usr/libexec/sendmail365/sendmail": "sendmail_exec_t",
        "/usr/libexec/sendmail365/sendmail365-start": "bin_t",
        "/usr/sbin/sendmail365": "sendmail365_exec_t",
        "/usr/bin/sendmail365": "sendmail365_exec_t",
        "/etc/sendmail365": "sendmail365_etc_t",
        "/etc/sendmail365/sendmail365.conf": "sendmail365_etc_t",
        "/etc/sendmail365/secrets": "sendmail365_secret_t",
        "/etc/sendmail365/secrets/client-secret": "sendmail365_secret_t",
        "/var/spool/sendmail365/queue/x": "sendmail365_spool_t",
        "/var/lib/sendmail365/token": "sendmail365_var_lib_t",
        "/var/log/sendmail365/mail.log": "sendmail365_log_t",
        "/run/sendmail365/submit": "sendmail365_runtime_t",
    }
    for path, want in paths.items():
        said = root.run(["matchpathcon", "-n", path, "-m", "file"]).stdout
        assert said.split(":")[2] == want, path


def test_callers_become_mail_domains(policy):
    for caller in CALLERS:
        domains = policy.becomes(caller, "sendmail_exec_t")
        assert domains, caller
        for domain in domains:
            assert domain.endswith("_mail_t"), (caller, domain)
    # The web server only where the boolean says so.
    found = policy.becomes("httpd_t", "sendmail_exec_t")
    assert "httpd_can_sendmail" in found["system_mail_t"]


def test_mail_domains_reach_the_service(policy):
    for mailer in MAILERS:
        assert policy.allows(mailer, "sendmail365_t", "unix_stream_socket",
                             "connectto") == [""]
        for target, tclass, perm in (
                ("sendmail365_runtime_t", "sock_file", "write"),
                ("sendmail365_runtime_t", "dir", "search"),
                ("sendmail365_exec_t", "file", "execute_no_trans"),
                ("sendmail365_etc_t", "file", "read")):
            assert "" in policy.allows(mailer, target, tclass, perm)
        # "submit" does not become the service.
        assert policy.becomes(mailer, "sendmail365_exec_t") == {}


@pytest.mark.parametrize("target", PRIVATE)
def test_nobody_else_reads_secrets_queue_and_tokens(policy, target):
    for domain in CALLERS + MAILERS:
        for perm in "read", "open", "write", "append", "map":
            assert policy.allows(domain, target, "file", perm) == [], perm
        # Cron's jobs may list every folder of the machine.
        for perm in "write", "add_name", "remove_name":
            assert policy.allows(domain, target, "dir", perm) == [], perm


def test_service_is_started_by_init_alone(policy):
    assert policy.becomes("init_t", "sendmail365_exec_t") == {
        "sendmail365_t": ""}
    # The front end never becomes the service.
    into = {target for (_, target), found in policy.transitions.items()
            if "sendmail365_t" in found}
    assert into == {"sendmail365_exec_t"}
    assert "" in policy.allows("init_t", "sendmail365_t", "process2",
                               "nnp_transition")


def test_service_may_do_what_it_must(policy):
    for target, tclass, perm in MUST:
        assert "" in policy.allows("sendmail365_t", target, tclass, perm), (
            target, tclass, perm)
    for target in "sendmail365_secret_t", "sendmail365_etc_t":
        assert "" in policy.allows("init_t", target, "dir", "search")
    assert "" in policy.allows("init_t", "sendmail365_secret_t", "file",
                               "read")


def test_service_may_do_no_more(policy):
    for target, tclass, perm in MUST_NOT:
        assert policy.allows("sendmail365_t", target, tclass, perm) == [], (
            target, tclass, perm)
    # Other ports only where the administrator allows them, or NIS is in use.
    for perm in "dac_override", "setuid", "net_bind_service", "sys_admin":
        assert all("allow_ypbind" in one for one in policy.allows(
            "sendmail365_t", "sendmail365_t", "capability", perm))
    for port in OTHER_PORTS:
        conditions = policy.allows("sendmail365_t", port, "tcp_socket",
                                   "name_connect")
        assert conditions and all(
            "sendmail365_connect_any" in one or "allow_ypbind" in one
            for one in conditions)
    assert policy.allows("sendmail365_t", "smtp_port_t", "tcp_socket",
                         "name_bind") == []
