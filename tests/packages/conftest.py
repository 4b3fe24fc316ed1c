"""What tests of packages have in common."""
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests"))


@pytest.fixture(scope="session")
def debs():
    """The Debian packages of this tree: {name: path}, built if need be."""
    done = subprocess.run([TOP / "packaging/deb"], check=True, text=True,
                          stdout=subprocess.PIPE)
    paths = [TOP / line for line in done.stdout.split()]
    return {path.name.split("_")[0]: path for path in paths}


@pytest.fixture(scope="session")
def rpms():
    """The rpm packages of this tree: {name: path}, built if need be; the
    source package is 'source'.

    The unit tests are left out: the tree's own have been run.
    """
    done = subprocess.run([TOP / "packaging/rpm/build", "--nocheck"],
                          check=True, text=True, stdout=subprocess.PIPE)
    paths = [TOP / line for line in done.stdout.split()]
    return {"source" if path.name.endswith(".src.rpm") else
            path.name.rsplit("-", 2)[0]: path for path in paths}
