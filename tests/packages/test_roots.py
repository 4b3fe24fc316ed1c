"""What the other tests here stand on: a root that is no part of the machine."""
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from debian import why_not
from roots import APART, POLICY, TOP, Root, base, forget_unused, layer

reason = why_not()
pytestmark = pytest.mark.skipif(reason is not None, reason=str(reason))


@pytest.fixture(scope="module")
def root():
    with Root(base()) as root:
        yield root


def test_the_machine_is_out_of_reach(root):
    assert not root.exists(TOP)
    # Nor is it there for who enters these namespaces by their mounts alone,
    # wherever the program that holds them has got to.
    found = subprocess.run(
        ["nsenter", "--target", str(root.pid), "--mount", "ls", TOP],
        text=True, stderr=subprocess.PIPE)
    assert found.returncode != 0 and "No such file" in found.stderr
    # Every mount is one that the root made.
    kinds = {line.split()[2] for line in root.read("/proc/mounts").splitlines()}
    assert kinds <= {"overlay", "proc", "tmpfs", "devpts", "devtmpfs"}


def test_it_ends_with_all_that_runs_in_it():
    with Root(base()) as root:
        pids = [root.pid]
        command = root.start(["sleep", "infinity"])
        # It lets nobody out before its own children have ended.
        children = f"/proc/{command.pid}/task/{command.pid}/children"
        while len(pids) < 2:
            pids += map(int, Path(children).read_text().split())
    command.wait()
    assert not root.scratch.exists()
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()


def test_what_nobody_has_used_for_weeks_goes(tmp_path):
    for name, days in ("old", 15), ("new", 13):
        (tmp_path / name / "folder").mkdir(parents=True)
        lock = tmp_path / f"{name}.lock"
        lock.touch()
        os.utime(lock, (time.time() - days * 86400,) * 2)
    # What somebody else removes meanwhile is there for who lists names, and no
    # more for who looks.
    (tmp_path / "scratch").mkdir()
    for name in "gone.lock", "scratch/gone":
        (tmp_path / name).symlink_to("nowhere")
    forget_unused(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "gone.lock", "new", "new.lock", "scratch"]


def test_what_changes_is_in_the_top_layer(root):
    root.write("/etc/made-here", "of this root\n")
    assert (root.upper / "etc/made-here").read_text() == "of this root\n"
    assert not (base() / "etc/made-here").exists()


def test_no_service_starts_while_a_layer_is_made():
    """Whichever init system comes with it; and ports are the machine's."""
    made = layer("policy", f"{POLICY} any start; echo $? >/srv/policy", base())
    assert (made / "srv/policy").read_text() == "101\n"
    assert not (made / POLICY[1:]).exists()


# The mirror has another version; an update says which.
FORGOTTEN = """#!/bin/sh
echo "$*" >>/run/called
[ ! -e /run/forgotten ] || case $* in
*update) rm /run/forgotten ;;
*) echo 'E: Failed to fetch http://deb.example/a.deb  404  Not Found'; exit 100
esac
"""


BROKEN = """#!/bin/sh
echo >>/run/once
echo 'E: Sub-process /usr/bin/dpkg returned an error code (1)'
exit 100
"""


def test_what_the_mirror_has_forgotten_is_asked_for_anew():
    with Root(base()) as root:
        root.write("/usr/local/bin/apt-get", FORGOTTEN, 0o755)
        root.run(["touch", "/run/forgotten"])
        assert root.apt("install", "a").stdout == ""
        assert root.read("/run/called").splitlines() == [
            "-q -y install a", "-q update", "-q -y install a"]
        # And nothing else is tried again.
        root.write("/usr/local/bin/apt-get", BROKEN, 0o755)
        assert root.apt("install", "a", check=False).returncode == 100
        assert root.read("/run/once") == "\n"


def test_who_makes_one_ends_with_who_waits_for_it():
    """Nobody is left behind who writes where the next one does."""
    script = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    with subprocess.Popen(
            [sys.executable, "-c", script, *APART, "sh", "-c",
             "sleep infinity & echo $$; wait"], text=True,
            stdout=subprocess.PIPE) as waiter:
        assert waiter.stdout.readline() == "1\n"
        waiter.kill()
        # Its last writer has ended.
        assert waiter.stdout.read() == ""
