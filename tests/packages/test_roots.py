"""What the other tests here stand on: a root that is no part of the machine."""
import subprocess

import pytest

from debian import why_not
from roots import TOP, Root, base

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


def test_what_changes_is_in_the_top_layer(root):
    root.write("/etc/made-here", "of this root\n")
    assert (root.upper / "etc/made-here").read_text() == "of this root\n"
    assert not (base() / "etc/made-here").exists()
