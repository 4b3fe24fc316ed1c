"""The packages as files: the same bytes each time, and nothing to object to."""
import os
import shutil
import subprocess

import pytest

from debian import Host, dependencies, layer, why_not
from roots import TOP

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))


def unpack(tmp_path, name):
    """The source archive, unpacked: a tree that git knows nothing of."""
    archive = subprocess.run(
        [TOP / "packaging/dist"], check=True, text=True,
        stdout=subprocess.PIPE).stdout.strip()
    folder = tmp_path / name
    folder.mkdir()
    subprocess.run(["tar", "-C", folder, "-xf", TOP / archive], check=True)
    tree, = folder.iterdir()
    return TOP / archive, tree


def test_archive_makes_itself(tmp_path):
    archive, tree = unpack(tmp_path, "elsewhere")
    assert not (tree / ".git").exists()
    done = subprocess.run(
        ["sh", "-c", "umask 077; make --no-print-directory dist"], cwd=tree,
        text=True, stdout=subprocess.PIPE, env={**os.environ, "TZ": "Asia/Tokyo"})
    assert done.returncode == 0
    again = tree / done.stdout.split()[-1]
    assert again.read_bytes() == archive.read_bytes()


def test_archive_of_another_users_tree_is_the_same(tmp_path):
    """Root in a container that was given a folder of the machine's."""
    archive, tree = unpack(tmp_path, "theirs")
    for words in ["init", "-q"], ["add", "-A", "--force"]:
        subprocess.run(["git", *words], cwd=tree, check=True)
    subprocess.run(["chown", "-R", "65534", tree], check=True)
    done = subprocess.run(
        ["packaging/dist"], cwd=tree, check=True, text=True,
        stdout=subprocess.PIPE, env={**os.environ, "HOME": str(tmp_path)})
    assert (tree / done.stdout.strip()).read_bytes() == archive.read_bytes()


def test_another_build_gives_the_same_bytes(debs, tmp_path):
    tree = unpack(tmp_path, "a-folder-of-another-name-and-length")[1]
    # Everything that a builder can have otherwise.  Its unit tests have passed.
    environment = {**os.environ, "TZ": "Pacific/Chatham", "LC_ALL": "C",
                   "LANG": "tr_TR.UTF-8", "HOME": str(tmp_path),
                   "DEB_BUILD_OPTIONS": "nocheck parallel=1"}
    for path in tree.rglob("*"):
        os.utime(path, (10 ** 9, 10 ** 9))
    subprocess.run(["sh", "-c", "umask 077; packaging/deb"], check=True,
                   cwd=tree, env=environment, stdout=subprocess.DEVNULL)
    for name, path in debs.items():
        other = tree / "build/packages" / path.name
        assert other.read_bytes() == path.read_bytes(), name
    assert len(debs) == 4  # two, and their symbols


def test_lintian_objects_to_nothing(debs):
    if shutil.which("lintian") is None:
        pytest.skip("lintian is not installed")
    done = subprocess.run(
        ["lintian", "--allow-root", "--info", "--display-info", "--fail-on",
         "error,warning,info", *debs.values()],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    for name in "sendmail365", "sendmail365-client":
        text = (TOP / f"packaging/debian/{name}.lintian-overrides").read_text()
        lines = text.splitlines()
        for before, line in zip(["", *lines], lines):
            assert line.startswith("#") or before.startswith("# "), line


def test_symbols_fit(debs, tmp_path):
    for name in "sendmail365", "sendmail365-client":
        for kind in name, f"{name}-dbgsym":
            subprocess.run(["dpkg-deb", "-x", debs[kind], tmp_path / name],
                           check=True)
        front = tmp_path / name / "usr/libexec/sendmail365/sendmail"
        notes = subprocess.run(["readelf", "-n", front], check=True, text=True,
                               stdout=subprocess.PIPE).stdout
        identity = notes.partition("Build ID: ")[2].split()[0]
        symbols = (tmp_path / name / "usr/lib/debug/.build-id" /
                   identity[:2] / f"{identity[2:]}.debug")
        names = subprocess.run(["nm", symbols], check=True, text=True,
                               stdout=subprocess.PIPE).stdout
        assert " T main\n" in names


def test_autopkgtest_passes(debs, tmp_path):
    deb = debs["sendmail365"]
    below = dependencies(deb)
    python = layer("python", "apt-get -q -y install --no-install-recommends "
                   "python3-cryptography", *below)
    tree = unpack(tmp_path, "source")[1]
    tmp_path.chmod(0o755)
    with Host(*below, python, shared=(tree, "/srv/source")) as host:
        host.install(deb)
        host.run("mkdir /tmp/autopkgtest; cd /srv/source; "
                 "AUTOPKGTEST_TMP=/tmp/autopkgtest packaging/debian/tests/smoke")
