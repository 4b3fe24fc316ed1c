"""What the other tests here stand on: a root that is no part of the machine."""
import os
import subprocess
import time
from pathlib import Path

import pytest

from debian import why_not
from roots import TOP, Root, base, forget_unused

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
    forget_unused(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "new.lock"]


def test_what_changes_is_in_the_top_layer(root):
    root.write("/etc/made-here", "of this root\n")
    assert (root.upper / "etc/made-here").read_text() == "of this root\n"
    assert not (base() / "etc/made-here").exists()
