"""packaging/container: the images, and mail from one container to another."""
import contextlib
import os
import re
import signal
import stat
import subprocess
import time

import pytest
import yaml

import containers
from containers import HERE, TOP, Container, Mount
from fake365 import Rule, Scenario, Tenant
from recipes import Compose, Kubernetes

SERVICE_UID = 36500
SETTINGS = {"compose": Compose, "kubernetes": Kubernetes}
LATER = Rule("mail", "reply", "451 4.7.0 Temporary server error")
SEND = ["-r", "exit(mail('boss@contoso.com', $argv[1], 'text') ? 0 : 1);",
        "--"]


@pytest.fixture(scope="session")
def images():
    return containers.build()


@pytest.fixture
def tenant():
    with Tenant() as made:
        yield made


def config_for(tenant, **sections):
    """What an administrator writes, and what leads to the stand-in."""
    return tenant.config(client_secret_file="secrets/client-secret",
                         ca_file="secrets/ca.pem",
                         sections={"rewrite": {"domain": "contoso.com"},
                                   "aliases": {"root": "boss@contoso.com"},
                                   **sections})


def secrets_for(tenant):
    with open(tenant.ca_file, encoding="ascii") as file:
        return {"client-secret": tenant.client_secret + "\n",
                "ca.pem": file.read()}


@pytest.fixture(params=list(SETTINGS))
def setting(request, images, tenant, tmp_path):
    """Containers and volumes as one of the two files has them."""
    tmp_path.chmod(0o755)
    return SETTINGS[request.param](
        images, tmp_path, config_for(tenant), secrets_for(tenant))


@pytest.fixture
def compose(images, tenant, tmp_path):
    tmp_path.chmod(0o755)
    return Compose(images, tmp_path, config_for(tenant), secrets_for(tenant))


def wait_for(condition, of):
    """Poll until it holds; `of` says in a failure what was said."""
    deadline = time.monotonic() + containers.PATIENCE
    while not condition():
        assert time.monotonic() < deadline, of()
        time.sleep(0.02)


@contextlib.contextmanager
def running(container, *arguments):
    """It runs, and is healthy as the image's own check finds."""
    with container.start(*arguments) as it:
        check = container.image.config["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        wait_for(lambda: it.process.poll() is not None or
                 it.exec(*check[1:])[0] == 0, it.said)
        assert it.process.poll() is None, it.said()
        yield it


def send(app, subject, **options):
    """PHP's mail() in the application's container."""
    done = app(**options).run(*SEND, subject)
    assert done.status == 0, done.output


def subjects(tenant):
    return sorted(re.search(rb"^Subject: (.*)\r$", m.raw, re.M)[1].decode()
                  for m in tenant.messages)


def app_of(setting):
    """Makes the application's container; it has no network."""
    return lambda **options: setting.container(
        "app", **{"has_network": False, **options})


# ---- what is in the images ----

def files(image):
    for folder, _, names in os.walk(image.root):
        for name in names:
            yield os.path.join(folder, name)


def test_image_runs_as_a_number_that_is_not_root(images):
    config = images["sendmail365"].config
    assert config["User"] == f"{SERVICE_UID}:{SERVICE_UID}"
    assert config["StopSignal"] == "SIGTERM"
    assert set(config["Volumes"]) == {"/data", "/run/sendmail365"}
    assert config["Entrypoint"] + config["Cmd"] == [
        "/usr/libexec/sendmail365/entry", "serve"]
    for name in ("sendmail365-client", "mail-php"):
        assert int(images[name].config["User"].split(":")[0]) > 0


def test_images_give_nobody_more_rights_than_debian(images):
    def privileged(image):
        return {p[len(str(image.root)):] for p in files(image)
                if not os.path.islink(p) and
                os.lstat(p).st_mode & (stat.S_ISUID | stat.S_ISGID)}

    base = privileged(images["sendmail365-client"])
    assert base == privileged(images["sendmail365"])
    assert not {p for p in base if "sendmail" in p or "mailq" in p}


def test_image_has_no_tools_to_build_and_no_lists(images):
    root = images["sendmail365"].root
    for path in ("usr/bin/gcc", "usr/bin/make", "src", "packages"):
        assert not (root / path).exists()
    assert not list((root / "var/lib/apt/lists").glob("*Packages*"))
    assert not list((root / "etc/sendmail365").glob("*.conf"))


def test_client_is_the_front_end_alone(images):
    for name in ("sendmail365-client", "mail-php"):
        root = images[name].root
        assert not (root / "usr/sbin/sendmail365").exists()
        assert not (root / "etc/sendmail365").exists()
        assert not (root / "var/spool/sendmail365").exists()
    client = images["sendmail365-client"]
    done = Container(client, has_network=False).run("u@contoso.com")
    assert done.status == 75
    assert "no service answers at /run/sendmail365/submit" in done.output
    needed = subprocess.run(
        ["objdump", "-p", client.root / "usr/libexec/sendmail365/sendmail"],
        check=True, text=True, stdout=subprocess.PIPE).stdout
    assert re.findall(r"NEEDED +(\S+)", needed) == ["libc.so.6"]


def test_package_in_the_client_image_can_be_installed(images):
    debs = list((images["sendmail365-client"].root / "packages").iterdir())
    assert [d.name.split("_")[0] for d in debs] == ["sendmail365-client"]


# ---- from one container to the other ----

def test_mail_of_an_application_arrives(setting, tenant):
    with running(setting.container("mail")) as mail:
        done = app_of(setting)().run("/srv/index.php")
        assert (done.status, done.output) == (0, "sent\n")
        assert tenant.wait_for_messages(1)
        wait_for(lambda: "status=sent" in mail.said(), mail.said)
        mail.kill("TERM")
        assert mail.wait() == 0
    said = mail.output
    message = tenant.messages[0]
    assert message.recipients == ["boss@contoso.com"]
    assert b"\r\nSubject: Hello\r\n" in message.raw
    assert "uid=33 " in said and tenant.client_secret not in said
    assert all(line.startswith("sendmail365: ")
               for line in said.splitlines()), said
    # What counts is the service's name for 33, which Debian has.
    assert b"www-data" in message.raw


def test_application_has_no_credential_and_reaches_none(setting, tenant):
    look = ["-c", "find / /tmp /dev/shm -xdev -type f "
            "-exec grep -lsF -- \"$0\" {} + 2>/dev/null; "
            "grep -lsF -- \"$0\" /proc/[0-9]*/environ; "
            "ls -A /data /run/secrets /run/credentials /etc/sendmail365 "
            "/var/spool/sendmail365 /var/lib/sendmail365 2>/dev/null; "
            "cat /run/sendmail365/submit; ls -A /run/sendmail365; "
            "ls /proc | grep -c '^[0-9]'"]
    with running(setting.container("mail")):
        send(app_of(setting), "first")
        assert tenant.wait_for_messages(1)
        for user in (None, "0:0", f"{SERVICE_UID}:{SERVICE_UID}"):
            done = app_of(setting)(user=user) if user else app_of(setting)()
            out = done.start(*look, tenant.client_secret,
                             entrypoint=["sh"])
            with out:
                out.wait()
            lines = out.output.splitlines()
            assert lines[0] == ("cat: /run/sendmail365/submit: "
                                "No such device or address"), lines
            # The shell, grep, and ls: no process of the other container.
            assert lines[1] == "submit" and int(lines[2]) <= 3
            assert len(lines) == 3, lines


def test_nobody_puts_another_socket_in_its_place(setting):
    with running(setting.container("mail")):
        app = app_of(setting)(
            user="0:0", capabilities=containers.USUAL_CAPABILITIES)
        done = app.run("-c", "rm -f /run/sendmail365/submit; "
                       "mv /run/sendmail365/submit /run/sendmail365/old; "
                       "touch /run/sendmail365/new", entrypoint=["sh"])
        assert done.output.count("Read-only file system") == 3, done.output
        send(app_of(setting), "still there")


def test_neither_container_can_write_its_root(setting):
    for name in ("mail", "app"):
        done = setting.container(name, user="0:0").run(
            "-c", "touch /x /etc/x /usr/x /var/x; grep -E 'Cap(Eff|Bnd)|"
            "NoNewPrivs' /proc/self/status", entrypoint=["sh"])
        assert done.output.count("Read-only file system") == 4
        assert re.findall(r"(\w+):\s+(\w+)", done.output)[-3:] == [
            ("CapEff", 16 * "0"), ("CapBnd", 16 * "0"), ("NoNewPrivs", "1")]


# ---- who is who ----

def test_users_are_the_service_s(compose, tenant):
    """Root and the service's own number are users too, if they are those of
    another container."""
    tenant.scenario = Scenario(LATER)
    users = ["33:33", "34:34", "0:0", f"{SERVICE_UID}:{SERVICE_UID}"]
    with running(compose.container("mail")) as mail:
        for user in users:
            send(app_of(compose), f"of {user}", user=user)
        for user in users:
            done = app_of(compose)(user=user).run(
                "-bp", entrypoint=["sendmail"])
            assert done.output.count("boss@contoso.com") == 1
        listed = mail.exec("sendmail365", "queue", "list")[1]
        assert listed.count("boss@contoso.com") == len(users)


def test_users_of_another_namespace_are_all_one(compose, tenant):
    """With --userns=auto the kernel has no number for them but 65534."""
    host_has = {"first_host_uid": 200000}
    apart = {"first_host_uid": 300000}
    compose.config.chmod(0o644)
    with running(compose.container("mail")) as mail:
        send(app_of(compose), "shared", **host_has)
        assert tenant.wait_for_messages(1)
        assert "uid=200033 " in mail.said()
    volumes = [compose.volume("queue"), compose.volume("socket")]
    for volume in volumes:
        for path in [volume, *volume.rglob("*")]:
            os.chown(path, 300000 + SERVICE_UID, 300000 + SERVICE_UID)
    for name in ("client-secret", "ca.pem", "sendmail365.conf"):
        uid = 300000 + (SERVICE_UID if "conf" not in name else 0)
        os.chown(compose.folder / name, uid, uid)
    with running(compose.container("mail", **apart)) as mail:
        send(app_of(compose), "apart", **host_has)
        send(app_of(compose), "root", user="0:0", **host_has)
        assert tenant.wait_for_messages(3)
        queued = re.findall(r"uid=(\d+) size=", mail.said())
    assert queued == ["65534", "65534"]


def test_any_user_may_run_it(compose, tenant):
    """OpenShift gives out numbers of its own, in group 0."""
    someone = "1000650000:0"
    for path in (compose.folder / "client-secret",
                 compose.folder / "ca.pem"):
        path.chmod(0o444)
    mail = compose.container("mail")
    for name in ("queue", "socket"):
        compose.volume(name).chmod(0o777)
    mail.user = someone
    with running(mail):
        send(app_of(compose), "hello")
        assert tenant.wait_for_messages(1)


# ---- secrets ----

@pytest.mark.parametrize("owner, mode", [
    (0, 0o444), (1000, 0o644), (SERVICE_UID, 0o400), (1000, 0o777)])
def test_secret_may_have_any_owner_and_mode(compose, tenant, owner, mode):
    path = compose.folder / "client-secret"
    os.chown(path, owner, owner)
    path.chmod(mode)
    with running(compose.container("mail")) as mail:
        send(app_of(compose), "hello")
        assert tenant.wait_for_messages(1)
        status, said = mail.exec(
            "sh", "-c", "cd /run/credentials && stat -c '%n %a %u' "
            "sendmail365 sendmail365/* && stat -fc %T .")
        assert (status, said.splitlines()) == (0, [
            f"sendmail365 700 {SERVICE_UID}",
            f"sendmail365/secrets_ca.pem 600 {SERVICE_UID}",
            f"sendmail365/secrets_client-secret 600 {SERVICE_UID}", "tmpfs"])
        # What is started in it later finds them, too.
        status, said = mail.exec("sendmail365", "check")
        assert status == 0, said


def test_secret_is_on_no_volume(setting, tenant):
    with running(setting.container("mail")):
        send(app_of(setting), "hello")
        assert tenant.wait_for_messages(1)
    copies = [p for p in setting.volumes.rglob("*")
              if p.is_file() and not p.is_symlink() and
              tenant.client_secret.encode() in p.read_bytes()]
    # Those of Kubernetes: where it came from, and memory (see below).
    assert {p.relative_to(setting.volumes).parts[0] for p in copies} <= {
        "secrets", "credentials"}


def test_restart_takes_a_new_secret_and_forgets_the_old(setting, tenant):
    found = next(p for p in (setting.volumes.parent).rglob("client-secret")
                 if not p.is_symlink())
    right = found.read_text()
    found.write_text("not-the~right.one\n")
    with running(setting.container("mail")) as mail:
        send(app_of(setting), "waits")
        wait_for(lambda: "AADSTS7000215" in mail.said(), mail.said)
        mail.kill("TERM")
        assert mail.wait() == 0
    found.write_text(right)
    with running(setting.container("mail")) as mail:
        assert mail.exec("sendmail365", "queue", "flush")[0] == 0
        assert tenant.wait_for_messages(1), mail.said()


# ---- the queue ----

def test_queue_outlives_the_container(setting, tenant):
    tenant.scenario = Scenario(LATER)
    wanted = [f"message {i}" for i in range(3)]
    with running(setting.container("mail")) as mail:
        for subject in wanted:
            send(app_of(setting), subject)
        mail.kill("TERM")
        assert mail.wait() == 0
        assert mail.said().endswith("sendmail365: stopped\n")
    queue = setting.volume("queue")
    assert len(list((queue / "spool" / "queue").iterdir())) == 3
    # As kubelet does when the volume is mounted again.
    subprocess.run(["chmod", "-R", "g+rwX", queue], check=True)
    # Nobody listens meanwhile, and the application is told so.
    done = app_of(setting)().run(*SEND, "lost?")
    assert done.status == 1
    assert "no service answers" in done.output or (
        "Connection refused" in done.output), done.output
    tenant.scenario = Scenario()
    with running(setting.container("mail")) as mail:
        assert mail.exec("sendmail365", "queue", "flush")[0] == 0
        assert tenant.wait_for_messages(3), mail.said()
        send(app_of(setting), "next")
        assert tenant.wait_for_messages(4)
    assert subjects(tenant) == sorted([*wanted, "next"])


def test_killed_without_warning_it_loses_nothing(compose, tenant):
    tenant.scenario = Scenario(LATER)
    with running(compose.container("mail")) as mail:
        send(app_of(compose), "hello")
        mail.kill("KILL")
        assert mail.wait() == 128 + signal.SIGKILL
    tenant.scenario = Scenario()
    with running(compose.container("mail")) as mail:
        assert mail.exec("sendmail365", "queue", "flush")[0] == 0
        assert tenant.wait_for_messages(1), mail.said()


def test_health_is_the_service_s_own_answer(compose):
    check = compose.images["sendmail365"].config["Healthcheck"]["Test"][1:]
    idle = compose.container("mail")
    with idle.start("infinity", entrypoint=["sleep"]) as it:
        wait_for(lambda: it.exec("true")[0] == 0, it.said)
        # A socket is there, of a service that has died.
        with running(compose.container("mail")):
            assert it.exec(*check)[0] == 0
        assert (compose.volume("socket") / "submit").is_socket()
        status, said = it.exec(*check)
        assert status == 1
        assert said == ("sendmail365: nobody answers at "
                        "/run/sendmail365/submit\n")


def test_other_commands_run_as_well(compose):
    mail = compose.container("mail")
    done = mail.run("check")
    assert done.status == 0, done.output
    done = mail.run("explain", "AADSTS7000222")
    assert done.status == 0 and "secret" in done.output


# ---- mistakes ----

def without(compose, path):
    mail = compose.container("mail")
    mail.mounts = [m for m in mail.mounts if m.path != path]
    return mail


def no_configuration(compose):
    return without(compose, "/etc/sendmail365/sendmail365.conf")


def no_secret(compose):
    return without(compose, "/run/secrets/client-secret")


def wrong_key(compose):
    compose.config.write_text(compose.config.read_text() + "[log]\nlevl = x\n")
    return compose.container("mail")


def others_configuration(compose):
    os.chown(compose.config, 1000, 1000)
    return compose.container("mail")


def unreadable_secret(compose):
    path = compose.folder / "client-secret"
    os.chown(path, 0, 0)
    path.chmod(0o600)
    return compose.container("mail")


def folder_as_secret(compose):
    """What Docker mounts for a file that the host does not have."""
    path = compose.folder / "client-secret"
    path.unlink()
    path.mkdir()
    return compose.container("mail")


def empty_secret(compose):
    (compose.folder / "client-secret").write_text("")
    return compose.container("mail")


def no_tmpfs(compose):
    mail = without(compose, "/run/credentials")
    return mail


def foreign_volume(compose):
    mail = compose.container("mail")
    os.chown(compose.volume("queue"), 0, 0)
    compose.volume("queue").chmod(0o755)
    return mail


def queue_of_another_user(compose):
    mail = compose.container("mail")
    (compose.volume("queue") / "spool").mkdir(mode=0o700)
    return mail


MISTAKES = [
    (no_configuration, "/etc/sendmail365/sendmail365.conf: there is no such"),
    (no_secret,
     "client-secret: it is not here; mount it as /run/secrets/client-secret"),
    (wrong_key, r"sendmail365.conf:\d+: .*levl.*level"),
    (others_configuration, "sendmail365.conf: it belongs to user 1000"),
    (unreadable_secret,
     "/run/secrets/client-secret: user 36500 cannot read it"),
    (folder_as_secret, "/run/secrets/client-secret: this is a folder"),
    (empty_secret, "secrets_?/?client-secret: .*empty"),
    (no_tmpfs, "/run/credentials/sendmail365: .* mount a tmpfs"),
    (foreign_volume, "/data: user 36500 may not write here"),
    (queue_of_another_user, "/data/spool: it does not belong to user 36500"),
]


@pytest.mark.parametrize("mistake, wanted", MISTAKES,
                         ids=[m[0].__name__ for m in MISTAKES])
def test_mistake_ends_it_with_one_line(compose, mistake, wanted):
    done = mistake(compose).run()
    lines = done.output.splitlines()
    assert len(lines) == 1, done.output
    assert lines[0].startswith("sendmail365: ")
    assert re.search(wanted, lines[0]), lines[0]
    assert done.status == 78


# ---- the two files, and what they name ----

def recipe_text(name):
    return (HERE / name).read_text()


def test_compose_runs_what_the_readme_builds():
    """By names that are this machine's for Docker as well; and from a folder
    of its own, beside which there is nothing to build."""
    text = yaml.safe_load(recipe_text("compose.yaml"))
    for service in text["services"].values():
        assert f"-t {service['image']} " in recipe_text("README.md")
        assert service["image"].startswith("localhost/")
        assert "build" not in service
    assert "CLIENT=localhost/sendmail365-client" in recipe_text(
        "php/Containerfile")
    used = {words.split(":")[0] for s in text["services"].values()
            for words in s["volumes"] if not words.startswith(".")}
    assert used == set(text["volumes"])
    assert text["services"]["app"]["depends_on"] == {
        "mail": {"condition": "service_healthy"}}


def test_kubernetes_volumes_are_those_that_are_mounted(images, tmp_path):
    it = Kubernetes(images, tmp_path, "", {})
    spec = it.documents["StatefulSet"]["spec"]
    declared = {v["name"] for v in it.pod["volumes"]} | {
        c["metadata"]["name"] for c in spec["volumeClaimTemplates"]}
    sidecar, app = it.pod["initContainers"][0], it.pod["containers"][0]
    mounted = {m["name"] for m in sidecar["volumeMounts"]}
    assert mounted == declared
    assert sidecar["restartPolicy"] == "Always"
    assert [m["name"] for m in app["volumeMounts"]] == ["socket"]
    memory = {v["name"] for v in it.pod["volumes"]
              if v.get("emptyDir", {}).get("medium") == "Memory"}
    assert "credentials" in memory
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"] == labels
    service = it.documents["Service"]["spec"]
    assert service["selector"] == labels
    assert service["ports"][0]["targetPort"] == app["ports"][0]["name"]
    assert f":{app['ports'][0]['containerPort']}" in (
        images["mail-php"].config["Cmd"][1])


def test_both_give_the_service_what_the_image_expects(setting):
    mail = setting.container("mail")
    image = mail.image.config
    assert mail.user == image["User"]
    writable = {m.path for m in mail.mounts if not m.is_readonly}
    assert writable == {*image["Volumes"], "/run/credentials", "/tmp"}
    credentials = dict(e.split("=", 1) for e in image["Env"])[
        "CREDENTIALS_DIRECTORY"]
    assert credentials.startswith("/run/credentials/")
    assert mail.is_readonly and mail.no_new_privileges
    app = setting.container("app")
    assert app.user == app.image.config["User"] == "33:33"
    assert app.is_readonly and app.no_new_privileges
    shared = [m for m in app.mounts if m.source]
    assert [(m.path, m.is_readonly) for m in shared] == [
        ("/run/sendmail365", True)]


def test_probes_are_the_image_s_health_check(images):
    check = images["sendmail365"].config["Healthcheck"]["Test"]
    text = yaml.safe_load(recipe_text("compose.yaml"))
    assert text["services"]["mail"]["healthcheck"]["test"] == check
    pods = [d for d in yaml.safe_load_all(recipe_text("kubernetes.yaml"))
            if d["kind"] == "StatefulSet"]
    sidecar = pods[0]["spec"]["template"]["spec"]["initContainers"][0]
    for probe in ("startupProbe", "livenessProbe"):
        assert sidecar[probe]["exec"]["command"] == check[1:]


def test_limits_leave_room_for_what_the_service_starts(compose, tenant):
    """256 processes, 256 MB: a burst of callers needs less."""
    del tenant
    service = compose.text["services"]["mail"]
    assert (service["pids_limit"], service["mem_limit"]) == (256, "256m")
    with running(compose.container("mail")) as mail:
        burst = ("for i in $(seq 80); do echo hi | sendmail boss@contoso.com"
                 " & done; wait")
        app = app_of(compose)()
        with app.start("-c", burst, entrypoint=["sh"]) as it:
            most = 0
            while it.process.poll() is None:
                ids = mail.exec("sh", "-c", "ls /proc | grep -c '^[0-9]'")[1]
                most = max(most, int(ids))
        assert it.output == "", it.output
    assert most < 256 / 2


def test_configmap_is_right(images, tmp_path):
    """As far as it can be without the tenant that it names."""
    documents = yaml.safe_load_all(recipe_text("kubernetes.yaml"))
    config = next(d for d in documents if d["kind"] == "ConfigMap")["data"]
    tmp_path.chmod(0o755)
    pod = Kubernetes(images, tmp_path, config["sendmail365.conf"],
                     {"client-secret": "abc8Q~def\n"})
    done = pod.container("mail").run("check")
    assert (done.status, done.output) == (
        0, "/etc/sendmail365/sendmail365.conf: ok\n")


def test_readme_names_what_is_there():
    text = recipe_text("README.md")
    for path in re.findall(r"packaging/container/[\w./-]+\w", text):
        assert (TOP / path).exists(), path
    for name, (recipe, target) in containers.RECIPES.items():
        line = next(li for li in re.findall(
            r"^    podman build .*$", text, re.M) if f"-t localhost/{name} " in li)
        assert f"-f packaging/container/{recipe} " in line
        assert ("--target" in line) == (target == "client")
    assert str(SERVICE_UID) in text
