"""Images of packaging/container, built and run without Docker.

buildah executes the recipes, on a base made by roots.base(): no registry is
asked.  crun, the runtime of Podman, runs what it made.  Images are kept in
build/containers; what has not changed is not built again.
"""
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path

import roots

TOP = roots.TOP
HERE = TOP / "packaging" / "container"
KEPT = TOP / "build" / "containers"
BASE = "docker.io/library/debian:bookworm-slim"
#: name of an image: (recipe, target)
RECIPES = {
    "sendmail365": ("Containerfile", "service"),
    "sendmail365-client": ("Containerfile", "client"),
    "mail-php": ("php/Containerfile", None),
}
STUCK = 1800  # seconds, after which a command is given up
PATIENCE = 300  # seconds, for what a container does
ENVIRONMENT = {**os.environ, "BUILDAH_ISOLATION": "chroot"}


def _shell(script, *arguments, tries=roots.TRIES):
    """Run a shell script that knows `b`, which is buildah: its output.

    What is mounted meanwhile, nobody else sees, and it is gone at the end; so
    is what still runs, also when the one that waits for it is killed.
    """
    options = (f"--root '{KEPT}/store' --runroot '{KEPT}/run' "
               "--storage-driver overlay")
    prologue = f'set -eu\nb() {{ buildah {options} "$@"; }}\n'
    done = subprocess.run(
        [*roots.APART, "sh", "-c", prologue + script, "sh",
         *map(str, arguments)],
        env=ENVIRONMENT, text=True, errors="replace", timeout=STUCK,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    said = done.stdout + done.stderr
    if done.returncode != 0 and tries > 1 and roots.UNFETCHED.search(said):
        return _shell(script, *arguments, tries=tries - 1)
    assert done.returncode == 0, f"{script}\n{said}"
    return done.stdout.strip()


MAKE_BASE = """
b inspect --type image "$1" >/dev/null 2>&1 && exit
container=$(b from scratch)
cp -ax "$2/." "$(b mount "$container")"
b umount "$container" >/dev/null
b commit --quiet --rm "$container" "$1"
"""
UNPACK = """
container=$(b from --pull-never "$1")
cp -a "$(b mount "$container")/." "$2"
b umount "$container" >/dev/null
b rm "$container" >/dev/null
"""


class Image:
    """One image: its configuration, and its file system as a folder."""

    def __init__(self, name):
        self.name = name
        told = json.loads(_shell('b inspect --type image "$1"', name))
        #: as Docker says it: User, Env, Entrypoint, Cmd, Healthcheck ...
        self.config = told["Docker"]["config"]
        self.root = KEPT / f"{name}-{told['FromImageID'][:12]}"
        if not self.root.exists():
            self._unpack()

    def _unpack(self):
        for old in KEPT.glob(f"{self.name}-{12 * '[0-9a-f]'}*"):
            shutil.rmtree(old)
        part = self.root.with_suffix(".part")
        part.mkdir()
        _shell(UNPACK, self.name, part)
        part.rename(self.root)


def build():
    """Build all images: {name: Image}."""
    archives = roots.KEPT / "archives"
    for folder in (KEPT, archives):
        folder.mkdir(parents=True, exist_ok=True)
    with open(KEPT / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _shell(MAKE_BASE, BASE, roots.base())
        for name, (recipe, target) in RECIPES.items():
            _shell('b bud "$@"', "--pull-never", "--layers",
                   "--format", "docker", "--volume",
                   f"{archives}:/var/cache/apt/archives",
                   *(["--target", target] if target else []),
                   "--file", HERE / recipe, "--tag", f"localhost/{name}", TOP)
        return {name: Image(name) for name in RECIPES}


# ---- running ----

class Mount:
    """Something at a path of a container: a folder or file of the machine,
    or, without one, a tmpfs with these options."""

    def __init__(self, path, source=None, is_readonly=False, options=()):
        self.path = path
        self.source = source
        self.is_readonly = is_readonly
        self.options = list(options)

    def __repr__(self):
        return f"{self.source or 'tmpfs'}:{self.path}"

    def spec(self):
        if self.source is None:
            return {"destination": self.path, "type": "tmpfs",
                    "source": "tmpfs",
                    "options": ["nosuid", "nodev", *self.options]}
        options = ["rbind", "ro" if self.is_readonly else "rw",
                   "nosuid", "nodev"]
        return {"destination": self.path, "type": "bind",
                "source": str(self.source), "options": options}


_OF_ALL = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
     "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666",
                 "mode=0620"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
     "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
]
#: What Docker leaves to a container that is told nothing else.
USUAL_CAPABILITIES = ["CAP_" + name for name in (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID",
    "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",
    "AUDIT_WRITE")]
# Of the kinds of control groups crun knows only one at a time: none at all.
_CRUN = ["unshare", "--mount", "sh", "-c",
         'mount -t tmpfs none /sys/fs/cgroup && exec "$@"', "sh"]
# What a container changes in its image is gone when it ends.
_RUN = """
set -eu
bundle=$1 image=$2
shift 2
mount -t tmpfs tmpfs "$bundle/changes"
mkdir "$bundle/changes/upper" "$bundle/changes/work"
mount -t overlay overlay "$bundle/root" -o \
    "lowerdir=$image,upperdir=$bundle/changes/upper,workdir=$bundle/changes/work"
while read -r make path; do
	mkdir -p "$(dirname "$bundle/root$path")"
	[ -e "$bundle/root$path" ] || $make "$bundle/root$path"
done <"$bundle/places"
exec "$@"
"""


def _crun(*words):
    return ["crun", "--cgroup-manager=disabled", "--root", KEPT / "crun",
            *words]


class Container:
    """What runs of an image, as a recipe for Compose or Kubernetes says."""

    def __init__(self, image, *, mounts=(), user=None, groups=(),
                 is_readonly=True, capabilities=(), no_new_privileges=True,
                 has_network=True, first_host_uid=None):
        """user is "UID:GID"; without it the image's.  With first_host_uid
        the container has a user namespace of its own, whose 0 is that."""
        self.image = image
        self.mounts = list(mounts)
        self.user = user or image.config["User"]
        self.groups = list(groups)
        self.is_readonly = is_readonly
        self.capabilities = list(capabilities)
        self.no_new_privileges = no_new_privileges
        self.has_network = has_network
        self.first_host_uid = first_host_uid

    def _spec(self, arguments):
        config = self.image.config
        capabilities = {kind: self.capabilities for kind in (
            "bounding", "effective", "permitted")}
        uid, gid = map(int, self.user.split(":"))
        kinds = ["pid", "ipc", "uts", "mount"]
        if not self.has_network:
            kinds.append("network")
        linux = {"namespaces": [{"type": kind} for kind in kinds],
                 "maskedPaths": ["/proc/kcore", "/proc/keys"],
                 "readonlyPaths": ["/proc/sys"]}
        if self.first_host_uid is not None:
            linux["namespaces"].append({"type": "user"})
            linux["uidMappings"] = linux["gidMappings"] = [
                {"containerID": 0, "hostID": self.first_host_uid,
                 "size": 65536}]
        return {
            "ociVersion": "1.0.2",
            "hostname": "web-0",
            "root": {"path": "root", "readonly": self.is_readonly},
            "process": {
                "terminal": False,
                "args": [*(config.get("Entrypoint") or []),
                         *(config["Cmd"] if arguments is None
                           else arguments)],
                "env": config.get("Env") or [],
                "cwd": config.get("WorkingDir") or "/",
                "user": {"uid": uid, "gid": gid,
                         "additionalGids": self.groups},
                "capabilities": capabilities,
                "noNewPrivileges": self.no_new_privileges,
            },
            "mounts": _OF_ALL + [m.spec() for m in self.mounts],
            "linux": linux,
        }

    def _bundle(self, arguments, entrypoint):
        spec = self._spec(arguments)
        if entrypoint is not None:
            spec["process"]["args"] = [*entrypoint, *(arguments or [])]
        folder = Path(tempfile.mkdtemp(prefix="bundle-"))
        folder.chmod(0o755)
        # Every runtime puts these there.
        for name in ("hosts", "resolv.conf"):
            shutil.copyfile(f"/etc/{name}", folder / name)
            spec["mounts"].append(Mount(f"/etc/{name}", folder / name).spec())
        for name in ("root", "changes"):
            (folder / name).mkdir()
        # The root of a user namespace could not make these.
        (folder / "places").write_text("".join(
            f"{'touch' if os.path.isfile(m['source']) else 'mkdir'} "
            f"{m['destination']}\n" for m in sorted(
                spec["mounts"], key=lambda m: m["destination"])))
        (folder / "config.json").write_text(json.dumps(spec))
        return folder

    def start(self, *arguments, entrypoint=None):
        """Start it and return a Running; without arguments, the image's."""
        bundle = self._bundle(list(arguments) or None, entrypoint)
        return Running(bundle, self.image.root, self.user)

    def run(self, *arguments, entrypoint=None):
        """Run it to its end: a Running, whose .output is whole."""
        with self.start(*arguments, entrypoint=entrypoint) as running:
            running.wait()
        return running


class Running:
    """A container that runs; a context manager, which kills it."""

    def __init__(self, bundle, image, user):
        self.user = user
        self.bundle = bundle
        self.name = "test-" + uuid.uuid4().hex[:12]
        self.log = bundle / "log"
        #: what it said when it has ended; standard error included
        self.output = None
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [*_CRUN, "sh", "-c", _RUN, "sh", bundle, image,
                 *_crun("run", "--bundle", bundle, self.name)],
                stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # Who asks before it has been made is told that it is not there.
        while self.process.poll() is None:
            self._ask("delete", "--force", self.name)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.5)
        self.output = self.said()
        shutil.rmtree(self.bundle)

    def said(self):
        """All of standard output and error so far."""
        if self.output is not None:
            return self.output
        return self.log.read_text(errors="replace")

    def wait(self):
        """Wait for its end: the exit status."""
        return self.process.wait(PATIENCE)

    @property
    def status(self):
        return self.process.returncode

    def kill(self, signal):
        self._ask("kill", self.name, signal)

    def exec(self, *command):
        """Run a command in it, as "docker exec" does: status, output."""
        done = self._ask("exec", "--user", self.user, self.name, *command)
        return done.returncode, done.stdout

    def _ask(self, *words):
        return subprocess.run(
            [*_CRUN, *_crun(*words)], text=True, errors="replace",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=PATIENCE)
