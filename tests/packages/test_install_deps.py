"""packaging/install-deps, on machines that are not as they should be."""
import subprocess

import pytest

from roots import TOP

# What stands for the machine's own: each call is one line, and those that the
# machine refuses are taken from a list.
SHIM = r"""#!/bin/sh
name=${0##*/}
for word; do
	case $word in
	DEBIAN_FRONTEND=* | -* | DPkg::*) [ "$word" = --configure ] || continue ;;
	esac
	name="$name $word"
done
echo "$name" >>"$HOME/called"
grep -Fqx "$name" "$HOME/refused" || exit 0
sed -i "0,/^$name\$/{/^$name\$/d}" "$HOME/refused"
exit 100
"""
INSTALL = "apt-get install clang libclang-rt-dev"
AGAIN = ["dpkg --configure", "apt-get install"]
WHOLE = ["apt-get update", INSTALL]


@pytest.fixture
def called(tmp_path):
    """Runs it where something is refused: the status, and all it has called."""
    for name in "apt-get", "dpkg", "dpkg-query", "sleep", "sudo":
        shim = tmp_path / "bin" / name
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(SHIM if name != "sudo" else '#!/bin/sh\nexec "$@"\n')
        shim.chmod(0o755)

    def call(*refused):
        (tmp_path / "refused").write_text("".join(
            f"{line}\n" for line in refused))
        done = subprocess.run(
            [TOP / "packaging/install-deps", "fuzz"], text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={
                "HOME": str(tmp_path),
                "PATH": f"{tmp_path}/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
        return done.returncode, [
            line for line in (tmp_path / "called").read_text().splitlines()
            if not line.startswith(("dpkg-query", "sleep"))]

    return call


def test_what_works_is_done_once(called):
    assert called() == (0, WHOLE)


def test_a_mirror_or_a_lock_may_be_in_the_way(called):
    assert called("apt-get update") == (0, [WHOLE[0], *AGAIN, *WHOLE])


def test_what_was_killed_in_the_middle_is_finished(called):
    """dpkg says so once, and does what is left at the second call."""
    assert called(INSTALL, *AGAIN) == (0, [*WHOLE, *AGAIN, *WHOLE])


def test_what_never_works_ends(called):
    status, calls = called(*[INSTALL] * 9)
    assert status != 0
    assert calls == [*WHOLE, *[*AGAIN, *WHOLE] * 3]
