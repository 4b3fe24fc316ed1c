"""The rpm packages as files: what is in them, and that it is so each time."""
import platform
import re
import subprocess

import pytest

from redhat import LINKS, NAMES, why_not
from roots import TOP

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

#: what Fedora and RHEL 9 have that provides what we require
PROVIDED = {
    "/bin/sh": "bash",
    "config": "ours",
    "/usr/sbin/update-alternatives": "alternatives; RHEL 9: chkconfig",
    "ca-certificates": "ca-certificates",
    "cyrus-sasl-plain": "cyrus-sasl-plain: liblogin.so and libplain.so",
    "policycoreutils": "policycoreutils",
    "selinux-policy-targeted": "selinux-policy-targeted",
    "systemd": "systemd",
    "libc.so.6": "glibc",
    "libcrypto.so.3": "openssl-libs",
    "libcurl.so.4": "libcurl or libcurl-minimal",
    "libinih.so.0": "inih; RHEL 9: in EPEL",
    "libjansson.so.4": "jansson",
    "libresolv.so.2": "glibc",
    "libsasl2.so.3": "cyrus-sasl-lib",
    "libssl.so.3": "openssl-libs",
    "rtld(GNU_HASH)": "glibc",
    "sendmail365-client": "ours",
    "sendmail365-selinux": "ours",
}
#: Debian gives these libraries another number, which a build there takes over
RENAMED = {"libinih.so.1": "libinih.so.0", "libsasl2.so.2": "libsasl2.so.3"}

#: all that is not a file or folder of root's that anybody may read
SPECIAL = {
    "/etc/sendmail365/secrets": "drwx------ root root",
    "/usr/libexec/sendmail365/sendmail": "-rwxr-xr-x root root",
    "/usr/libexec/sendmail365/sendmail365-start": "-rwxr-xr-x root root",
    "/usr/sbin/sendmail365": "-rwxr-xr-x root root",
    "/var/lib/sendmail365": "drwx------ sendmail365 sendmail365",
    "/var/spool/sendmail365": "drwx------ sendmail365 sendmail365",
}
FOLDERS = re.compile(
    r"/etc/(sendmail365|logrotate\.d)(/|$)|/usr/lib/(\.build-id|systemd/system|"
    r"sysusers\.d|tmpfiles\.d)(/|$)|/usr/lib/sendmail$|"
    r"/usr/libexec/sendmail365(/|$)|/usr/s?bin/|/usr/share/(bash-completion/"
    r"completions|doc/sendmail365|licenses|man|selinux)(/|$)|"
    r"/var/(lib|spool)/sendmail365$|/var/lib/selinux/targeted/active/modules/")


def query(package, words):
    return subprocess.run(
        ["rpm", "-qp", *words, package], check=True, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.splitlines()


def files(package):
    """{path: 'mode user group'}, ghosts included."""
    lines = query(package, ["--qf", "[%{FILENAMES}\t%{FILEMODES:perms} "
                            "%{FILEUSERNAME} %{FILEGROUPNAME}\n]"])
    return dict(line.split("\t") for line in lines)


def binaries(rpms):
    return {name: path for name, path in rpms.items() if name != "source"}


def test_what_is_built(rpms):
    assert sorted(rpms) == ["sendmail365", "sendmail365-client",
                            "sendmail365-selinux", "source"]
    first = (TOP / "packaging/debian/changelog").read_text().split("\n")
    version = re.search(r"\((.*)\)", first[0]).group(1)
    for name, path in binaries(rpms).items():
        [tags] = query(path, [
            "--qf", "%{NAME} %{VERSION} %{LICENSE} %{ARCH}\n"])
        arch = "noarch" if name.endswith("selinux") else platform.machine()
        assert tags == f"{name} {version} MIT {arch}"
    changes = "\n".join(query(rpms["sendmail365"], ["--changelog"]))
    assert f"- {version}-1\n- {first[2].strip(' *')}" in changes


def test_all_that_is_required_is_there_on_fedora(rpms):
    unknown = []
    for path in binaries(rpms).values():
        for line in query(path, ["--requires"]):
            name = re.match(
                r"\(?(rtld\(\w+\)|[^\s(]+)", line).group(1)
            name = RENAMED.get(name, name)
            if name not in PROVIDED and name != "rpmlib":
                unknown.append(line)
    assert unknown == []
    required = query(rpms["sendmail365"], ["--requires"])
    assert ("(sendmail365-selinux = 0.1.0-1 if selinux-policy-targeted)"
            .replace("0.1.0-1", version_of(rpms)) in required)
    # What containers install drags no service, TLS or SASL along.
    client = query(rpms["sendmail365-client"], ["--requires"])
    assert {line.split(".so")[0] for line in client
            if ".so" in line} == {"libc"}


def version_of(rpms):
    [version] = query(rpms["sendmail365"], ["--qf", "%{VERSION}-%{RELEASE}\n"])
    return version


def test_only_what_is_true_is_provided(rpms):
    provided = [re.sub(r"\(\w+-64\)$", "", line.split(" ")[0])
                for path in binaries(rpms).values()
                for line in query(path, ["--provides"])]
    assert sorted(set(provided)) == ["MTA", "config(sendmail365)",
                                     "sendmail365", "sendmail365-client",
                                     "sendmail365-selinux"]


def test_files_modes_and_owners(rpms):
    for path in binaries(rpms).values():
        for name, described in files(path).items():
            assert FOLDERS.match(name), name
            mode = described.split(" ")[0]
            assert "s" not in mode and "t" not in mode, name
            if name in SPECIAL:
                assert described == SPECIAL[name], name
            else:
                assert described.endswith(" root root"), name
                assert mode in ("-rw-r--r--", "drwxr-xr-x", "lrwxrwxrwx"), name
    everything = {name for path in binaries(rpms).values()
                  for name in files(path)}
    assert everything >= set(SPECIAL)
    for name in ("/usr/lib/systemd/system/sendmail365.socket",
                 "/usr/lib/systemd/system/sendmail365.service",
                 "/usr/lib/sysusers.d/sendmail365.conf",
                 "/usr/lib/tmpfiles.d/sendmail365.conf",
                 "/etc/logrotate.d/sendmail365",
                 "/usr/share/bash-completion/completions/sendmail365",
                 "/usr/share/doc/sendmail365/sendmail365.conf",
                 "/usr/share/man/man5/sendmail365.conf.5.gz",
                 "/usr/share/man/man8/sendmail365.8.gz"):
        assert name in everything
    # No configuration is shipped, so that an upgrade cannot touch one.
    assert query(rpms["sendmail365"], ["--configfiles"]) == [
        "/etc/logrotate.d/sendmail365"]


def test_client_is_the_front_end_alone(rpms):
    names = set(files(rpms["sendmail365-client"]))
    assert names >= set(LINKS) | set(LINKS.values())
    assert not [name for name in names
                if name.startswith(("/etc", "/var", "/usr/lib/systemd"))]
    ghosts = query(rpms["sendmail365-client"],
                   ["--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]"])
    assert sorted(line.split(" ")[0] for line in ghosts
                  if "g" in line.split(" ")[1]) == sorted(LINKS)


def test_names_are_those_of_the_other_mtas(rpms):
    script = "\n".join(query(rpms["sendmail365-client"], ["--scripts"]))
    script = script.replace("\\\n", " ")
    found = dict(re.findall(r"--(?:install|slave) +(\S+) +(\S+)", script))
    assert found == NAMES


#: macros of a Fedora whose /usr/sbin is /usr/bin; each shows that it was used
FEDORA = {
    "_sbindir": "/usr/bin", "_unitdir": "/usr/lib/systemd/system",
    "__systemd_sysusers": "/usr/bin/systemd-sysusers",
    "selinux_requires": "Requires: selinux-policy >= 41",
    "systemd_post()": ": post %*", "systemd_preun()": ": preun %*",
    "systemd_postun()": ": postun %*",
    "selinux_relabel_pre(s:)": ": relabel_pre",
    "selinux_modules_install(s:)": ": modules_install %*",
    "selinux_modules_uninstall(s:)": ": modules_uninstall %*",
    "selinux_relabel_post(s:)": ": relabel_post",
}


def test_macros_of_fedora_are_used_where_they_are(rpms):
    defined = [word for name, value in FEDORA.items()
               for word in ("--define", f"{name} {value}")]
    spec = TOP / "build/rpm/SPECS/sendmail365.spec"
    text = subprocess.run(["rpmspec", "-P", *defined, spec], check=True,
                          text=True, stdout=subprocess.PIPE).stdout
    units = "sendmail365.socket sendmail365.service"
    for line in (f": post {units}", f": preun {units}", f": postun {units}",
                 ": relabel_pre", ": relabel_post",
                 "    : modules_uninstall sendmail365",
                 "Requires: selinux-policy >= 41",
                 "Requires:       filesystem(unmerged-sbin-symlinks)",
                 "Provides:       /usr/sbin/sendmail",
                 "/usr/bin/sendmail365"):
        assert line in text.splitlines(), line
    assert re.search(r": modules_install /usr/share/selinux/packages/targeted/"
                     r"sendmail365\.pp\.bz2\n", text)
    # rpm makes the user itself there.
    assert "systemd-sysusers" not in text
    assert "--install /usr/bin/sendmail mta " in text


def test_rpmlint_has_nothing_to_say(rpms):
    done = subprocess.run(
        ["rpmlint", "-c", TOP / "packaging/rpm/rpmlint.toml", *rpms.values(),
         TOP / "build/rpm/SPECS/sendmail365.spec"], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert " 0 errors, 0 warnings, " in done.stdout, done.stdout
    assert done.returncode == 0


def test_two_builds_are_identical(rpms, tmp_path):
    """Elsewhere, a year later, by somebody with another umask and clock."""
    archive = next((TOP / "build/rpm/SOURCES").iterdir())
    subprocess.run(["tar", "-C", tmp_path, "-xf", archive], check=True)
    [tree] = tmp_path.iterdir()
    subprocess.run(
        ["sh", "-c", "umask 077 && exec faketime -f +400d "
         "packaging/rpm/build --nocheck"], cwd=tree, check=True,
        stdout=subprocess.DEVNULL,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "Asia/Tokyo",
             "HOME": str(tmp_path), "LANG": "C.UTF-8"})
    for path in rpms.values():
        other = tree / path.relative_to(TOP)
        assert other.read_bytes() == path.read_bytes(), path.name
