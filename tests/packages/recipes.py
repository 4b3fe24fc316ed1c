"""compose.yaml and kubernetes.yaml of packaging/container, as they would run.

Only what these files use is understood; anything else is an error, so that
nothing in them is passed over.
"""
import os
from pathlib import Path

import yaml

from containers import HERE, Container, Mount


def _take(mapping, *names):
    """The values of these keys, None where there is none; others there must
    not be."""
    unknown = set(mapping) - set(names)
    assert not unknown, f"what do these mean: {unknown}"
    return [mapping.get(name) for name in names]


def image_name(reference):
    """sendmail365, of registry/sendmail365:tag."""
    return reference.rpartition("/")[2].partition(":")[0]


def _own(path, uid, gid, mode):
    os.chown(path, uid, gid)
    path.chmod(mode)


class Compose:
    """The services of compose.yaml, with what lies beside it in a folder."""

    def __init__(self, images, folder, config, secrets):
        """config is the text of sendmail365.conf, secrets {name: text}."""
        self.images = images
        self.folder = Path(folder)
        self.text = yaml.safe_load((HERE / "compose.yaml").read_text())
        self.volumes = self.folder / "volumes"
        self.volumes.mkdir()
        self.config = self.folder / "sendmail365.conf"
        self.config.write_text(config)
        for name, text in secrets.items():
            path = self.folder / name
            path.write_text(text)
            # As README.md says: it belongs to the image's user.
            _own(path, 36500, 36500, 0o400)
        #: secrets that the test adds to the recipe's
        self.more_secrets = [n for n in secrets
                             if n not in self.text["secrets"]]

    def volume(self, name):
        """The folder that stands for a named volume."""
        return self.volumes / name

    def _volume_mount(self, words, image):
        source, path, *flags = words.split(":")
        assert flags in ([], ["ro"]), words
        if source.startswith("."):
            return Mount(path, self.folder / source, bool(flags))
        assert source in self.text["volumes"], words
        folder = self.volume(source)
        if not folder.exists():
            # A new volume begins as what the image has at its place.
            folder.mkdir()
            there = image.root / path.lstrip("/")
            if there.exists():
                at = there.stat()
                _own(folder, at.st_uid, at.st_gid, at.st_mode & 0o7777)
        return Mount(path, folder, bool(flags))

    def _secret_mounts(self, names):
        for name in names:
            (file,) = _take(self.text["secrets"][name], "file")
            yield Mount(f"/run/secrets/{name}", self.folder / file, True)
        if names:
            for name in self.more_secrets:
                yield Mount(f"/run/secrets/{name}", self.folder / name, True)

    def container(self, service, **changes):
        (image, user, read_only, cap_drop, options, volumes, tmpfs, secrets,
         *_) = _take(
            self.text["services"][service], "image", "user", "read_only",
            "cap_drop", "security_opt", "volumes", "tmpfs", "secrets",
            "healthcheck", "restart", "stop_grace_period",
            "mem_limit", "pids_limit", "cpus", "ports", "depends_on")
        assert cap_drop == ["ALL"]
        image = self.images[image_name(image)]
        mounts = [self._volume_mount(words, image) for words in volumes]
        for words in tmpfs:
            path, _, flags = words.partition(":")
            mounts.append(Mount(path, options=flags.split(",")))
        mounts += self._secret_mounts(secrets or [])
        settings = {
            "user": user, "is_readonly": read_only, "mounts": mounts,
            "no_new_privileges": "no-new-privileges:true" in options}
        return Container(image, **{**settings, **changes})


class Kubernetes:
    """The pod of kubernetes.yaml; folders stand for its volumes."""

    def __init__(self, images, folder, config, secrets):
        self.images = images
        self.volumes = Path(folder) / "volumes"
        self.volumes.mkdir()
        self.documents = {
            d["kind"]: d for d in yaml.safe_load_all(
                (HERE / "kubernetes.yaml").read_text())}
        spec = self.documents["StatefulSet"]["spec"]
        self.pod = spec["template"]["spec"]
        self.group = self.pod["securityContext"]["fsGroup"]
        for claim in spec["volumeClaimTemplates"]:
            self._make_folder(claim["metadata"]["name"], 0o755)
        for volume in self.pod["volumes"]:
            name, config_map, secret, empty = _take(
                volume, "name", "configMap", "secret", "emptyDir")
            if empty is not None:
                self._make_folder(name, 0o777)
            elif secret is not None:
                self._project(name, secrets, secret["defaultMode"])
            else:
                assert config_map["name"] == (
                    self.documents["ConfigMap"]["metadata"]["name"])
                self._project(name, {"sendmail365.conf": config}, 0o644)

    def volume(self, name):
        return self.volumes / name

    def _make_folder(self, name, mode):
        """As kubelet leaves it to the pod's group."""
        folder = self.volume(name)
        folder.mkdir()
        _own(folder, 0, self.group, mode | 0o2070)
        return folder

    def _project(self, name, files, mode):
        """A ConfigMap or Secret: links to files of the present version."""
        folder = self._make_folder(name, 0o755)
        version = folder / "..2026_11_25_00_00_00.1"
        version.mkdir()
        _own(version, 0, self.group, 0o2755)
        (folder / "..data").symlink_to(version.name)
        for file, text in files.items():
            (version / file).write_text(text)
            _own(version / file, 0, self.group, mode)
            (folder / file).symlink_to(f"..data/{file}")

    def container(self, name, **changes):
        every = self.pod["initContainers"] + self.pod["containers"]
        found = next(c for c in every if c["name"] == name)
        image, context, mounts, *_ = _take(
            found, "image", "securityContext", "volumeMounts", "name",
            "restartPolicy", "resources", "startupProbe", "livenessProbe",
            "ports")
        uid, gid, read_only, escalation, capabilities = _take(
            context, "runAsUser", "runAsGroup", "readOnlyRootFilesystem",
            "allowPrivilegeEscalation", "capabilities")
        assert capabilities == {"drop": ["ALL"]}
        settings = {
            "user": f"{uid}:{gid}", "groups": [self.group],
            "is_readonly": read_only, "no_new_privileges": not escalation,
            "mounts": [
                Mount(m["mountPath"], self.volume(m["name"]),
                      m.get("readOnly", False)) for m in mounts]}
        return Container(self.images[image_name(image)],
                         **{**settings, **changes})
