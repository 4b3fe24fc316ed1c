"""Clean Debian roots, each in namespaces of its own, which end with it.

A root is layers of folders, lowest first, with one on top that takes what
changes.  Layers are kept in build/roots and made once: `layer()`.  The network
is the machine's, so that apt reaches its mirror and a stand-in tenant on
loopback is reached; `run(offline=True)` has none at all.  What one root has in a
folder another one can share, as containers do; and a disk can be small.
"""
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
KEPT = TOP / "build" / "roots"
# Another one, such as trixie, takes the same packages.
SUITE = os.environ.get("SENDMAIL365_SUITE", "bookworm")
# A root knows what its mirror had when it was made, and mirrors forget: each
# week has a new one, and what nobody has used for two goes away.
WEEK = time.strftime("%G-%V", time.gmtime())
UNUSED = 14 * 86400  # seconds
STUCK = 1800  # seconds, after which a command is given up
# apt-get says this before it has begun to install anything.
UNFETCHED = re.compile(r"^E: (Failed to|Unable to) fetch ", re.M)
TRIES = 3
POLICY = "/usr/sbin/policy-rc.d"
# In namespaces that end when the program does, or the one that waits for it.
APART = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid",
         "--fork", "--kill-child", "--mount-proc"]

# Devices, and what programs expect below /dev, /run and /tmp.
SET_UP = r"""
set -eu
root=$1 lowers=$2 upper=$3 work=$4 size=$5 shared=$6 here=$7
mount --make-rprivate /
if [ -n "$size" ]; then
	mount -t tmpfs -o "mode=0755,size=$size" tmpfs "${upper%/*}"
	mkdir "$root" "$upper" "$work"
fi
mount -t overlay overlay -o "lowerdir=$lowers,upperdir=$upper,workdir=$work" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
	touch "$root/dev/$name"
	mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for n in 0:stdin 1:stdout 2:stderr; do
	ln -s "/proc/self/fd/${n%:*}" "$root/dev/${n#*:}"
done
mount -t tmpfs -o mode=0755 tmpfs "$root/run"
mkdir -m 1777 "$root/run/lock"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
rm -f "$root/etc/resolv.conf"
cp /etc/resolv.conf /etc/hosts "$root/etc/"
# What is downloaded is in no layer, and apt's lock is no other root's.
mkdir -p "$root/var/cache/apt/archives"
mount -t tmpfs -o mode=0755 tmpfs "$root/var/cache/apt/archives"
if [ -n "$shared" ]; then
	mkdir -p "$root$here"
	mount --bind "$shared" "$root$here"
fi
# Whoever enters finds no way to the machine's own root: it is mounted no more.
cd "$root"
pivot_root . .
umount -l .
# It is ready from here on, and not before.  The shell that waits buries what
# its children leave, as init does.
exec chroot . sh -c 'echo ready; sleep infinity & wait'
"""


def failure(command, done):
    return f"{command}: status {done.returncode}\n{done.stdout}"


class Root:
    """One root; a context manager."""

    def __init__(self, *layers, upper=None, size="", shared=("", "")):
        """layers are folders, lowest first; upper, or a temporary folder,
        takes what changes, which is no more than `size` ("8m").  `shared`
        is a folder of the machine, and where it is in this root."""
        self.layers = layers
        self.size = size
        self.shared = shared
        scratch = KEPT / "scratch"
        scratch.mkdir(parents=True, exist_ok=True)
        self.scratch = Path(tempfile.mkdtemp(dir=scratch))
        self.scratch.chmod(0o755)
        self.upper = upper or self.scratch / "upper"
        self.holder = None
        self.pid = None

    def __enter__(self):
        merged, work = self.scratch / "merged", self.upper.parent / "work"
        for folder in (merged, work, self.upper):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        lowers = ":".join(str(layer) for layer in reversed(self.layers))
        self.hold(SET_UP, merged, lowers, self.upper, work, self.size,
                  *self.shared)
        return self

    def hold(self, script, *arguments):
        """Make the namespaces, which `script` furnishes; it says "ready"
        when that is done, and never ends."""
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid",
             "--uts", "--ipc", "--fork", "--kill-child", "sh", "-c", script,
             "sh", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        try:
            said = self.holder.stdout.readline()
            assert said == "ready\n", "no root was made"
            children = Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}"
                            "/children")
            self.pid = int(children.read_text())
            self.run(["hostname", "web1"])
        except BaseException:
            Root.__exit__(self)
            raise

    def __exit__(self, *_):
        # With the first process of a namespace all others end, and before
        # its own end has been seen.
        if self.pid and self.holder.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
        else:
            self.holder.kill()
        self.holder.wait()
        self.holder.stdout.close()
        shutil.rmtree(self.scratch)

    def command(self, command, user=None, offline=False):
        """The command line that runs `command` in this root: a string is
        the shell's."""
        if isinstance(command, str):
            command = ["sh", "-c", command]
        out = ["nsenter", "--target", str(self.pid), "--mount", "--pid",
               "--uts", "--ipc", "--root", "--", "env", "-C", "/"]
        if offline:
            out += ["unshare", "--net"]
        if user:
            out += ["setpriv", f"--reuid={user}", f"--regid={user}",
                    "--init-groups"]
        return out + [str(word) for word in command]

    def run(self, command, user=None, offline=False, check=True, input="",
            **environment):
        """Run it to its end; what it says is .stdout, errors included."""
        done = subprocess.run(
            self.command(command, user, offline), input=input, text=True,
            errors="replace", stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=STUCK,
            env={**ENVIRONMENT, **environment})
        assert not check or done.returncode == 0, failure(command, done)
        return done

    def start(self, command, user=None, **options):
        """Run it in the background; returns the Popen."""
        return subprocess.Popen(
            self.command(command, user), stdin=subprocess.DEVNULL,
            env=ENVIRONMENT, **options)

    def read(self, path):
        return self.run(["cat", path]).stdout

    def exists(self, path):
        return self.run(["test", "-e", path], check=False).returncode == 0

    def describe(self, path):
        """'mode owner group' of a file, such as '0600 root root'."""
        return self.run(
            ["stat", "-c", "%04a %U %G", path]).stdout.strip()

    def write(self, path, text, mode=0o644, owner="root"):
        """Make a file, in a folder that is there."""
        self.run(f'cat > "{path}" && chmod {mode:04o} "{path}" && '
                 f'chown {owner} "{path}"', input=text)

    def copy(self, source, path):
        """Copy a file of the machine to a folder or file in this root."""
        with open(source, "rb") as file:
            subprocess.run(
                self.command(["cp", "/dev/stdin", path]), stdin=file,
                check=True, env=ENVIRONMENT)

    def fetch(self, command, check=True, tries=TRIES, **options):
        """run() what calls apt-get: the mirror may have other packages by now
        than this root knows of, or be in disorder for a moment."""
        done = self.run(command, check=False, **options)
        if tries > 1 and UNFETCHED.search(done.stdout):
            self.run(["apt-get", "-q", "update"], check=False)
            return self.fetch(command, check, tries - 1, **options)
        assert not check or done.returncode == 0, failure(command, done)
        return done

    def apt(self, *arguments, **options):
        """apt-get, without questions."""
        return self.fetch(["apt-get", "-q", "-y", *arguments], **options)


ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
    "TERM": "dumb",
}


def _make(folder, build):
    """Make a folder once, whoever else wants it at the same time."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            parts = Path(f"{folder}.part")
            shutil.rmtree(parts, ignore_errors=True)
            build(parts)
            parts.rename(folder)
    return folder


def forget_unused(kept):
    """Delete what `_make` has not been asked for lately, and the rest of
    those who were killed."""
    def is_unused(path):
        # Who else runs here makes and removes them all the time.
        with contextlib.suppress(FileNotFoundError):
            return time.time() - path.stat().st_mtime > UNUSED
        return False

    for lock in filter(is_unused, kept.glob("*.lock")):
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink(missing_ok=True)
    for scratch in filter(is_unused, kept.glob("scratch/*")):
        shutil.rmtree(scratch, ignore_errors=True)


def base():
    """A Debian of required packages and apt, as installed a minute ago."""

    def build(folder):
        forget_unused(KEPT)
        # What it mounts is gone with its namespace: who copied this root
        # would copy all of /proc otherwise.  And it ends with who waits for it.
        command = [*APART, "mmdebstrap", "--quiet", "--variant=minbase",
                   "--mode=root", "--format=directory",
                   "--skip=cleanup/apt/lists", "--dpkgopt=force-unsafe-io",
                   '--aptopt=Acquire::Retries "3"', SUITE, folder]
        for tries in range(TRIES, 0, -1):
            shutil.rmtree(folder, ignore_errors=True)
            done = subprocess.run(command, check=tries == 1)
            if done.returncode == 0:
                break

    return _make(KEPT / f"{SUITE}-{WEEK}", build)


def layer(name, script, *below):
    """What a shell script, run as root, adds to the layers below it.

    It is kept for as long as script and layers are the same.
    """
    key = hashlib.sha256(
        "\0".join([script, *map(str, below)]).encode()).hexdigest()[:12]

    def build(folder):
        folder.mkdir()
        upper = folder / "upper"
        with Root(*below, upper=upper) as root:
            # Debian's way to say that no service shall start, whichever init
            # system comes with it; ports are the machine's.
            root.write(POLICY, "#!/bin/sh\nexit 101\n", 0o755)
            root.fetch(script)
            root.run(["rm", POLICY])
        shutil.rmtree(folder / "work", ignore_errors=True)

    return _make(KEPT / f"{name}-{key}", build) / "upper"
