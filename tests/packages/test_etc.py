"""Completion in a real bash, and the annotated configuration line by line."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from roots import TOP

LOADER = Path("/usr/share/bash-completion/bash_completion")
PROGRAM = TOP / "build/sendmail365"
SAMPLE = TOP / "etc/sendmail365.conf"
#: what an account needs, where a line alone would not be enough
ACCOUNT = {
    "user": "alerts@contoso.com", "tenant": "contoso.onmicrosoft.com",
    "client_id": "11111111-2222-3333-4444-555555555555",
    "client_secret_file": "client-secret"}


@pytest.mark.skipif(not LOADER.exists(),
                    reason="bash-completion is not installed")
@pytest.mark.parametrize("line, wanted", [
    ("sendmail365 che", ["check"]),
    ("sendmail365 queue del", ["delete"]),
    ("sendmail365 explain --js", ["--json"]),
    ("sendmail365 check -C /usr/bin/printe", ["/usr/bin/printenv"]),
])
def test_bash_loads_the_completion_and_uses_it(tmp_path, line, wanted):
    """As at a prompt: the loader finds the file by the command's name."""
    folder = tmp_path / "bash-completion/completions"
    folder.mkdir(parents=True)
    shutil.copy(TOP / "etc/bash-completion", folder / "sendmail365")
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "sendmail365").symlink_to(PROGRAM)
    script = f"""source {LOADER}
        _completion_loader sendmail365
        [ $? = 124 ] || exit 1
        complete -p sendmail365 | grep -q -- '-F _sendmail365' || exit 2
        COMP_LINE=$1 COMP_POINT=${{#1}}
        read -ra COMP_WORDS <<<"$1"
        COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _sendmail365 sendmail365 "${{COMP_WORDS[COMP_CWORD]}}" \\
            "${{COMP_WORDS[COMP_CWORD - 1]}}"
        printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", line],
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path),
             "BASH_COMPLETION_USER_DIR": str(tmp_path / "bash-completion"),
             "XDG_DATA_HOME": str(tmp_path)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == wanted


def sample_lines():
    """(section, key, value) of each line, commented out or not."""
    section, found = None, []
    for line in SAMPLE.read_text().splitlines():
        head = re.fullmatch(r"#?\[(\w+)\]", line)
        key = re.fullmatch(r"#?([a-z_]+) = (.+)", line)
        if head:
            section = head[1]
        elif key:
            found.append((section, key[1], key[2]))
    return found


def schema_keys():
    """(section, key) of the table that drives the parser."""
    text = re.sub(r"\s+", " ", (TOP / "lib/config/schema.c").read_text())
    return [(section.lower(), key) for section, key in re.findall(
        r'\{ SCHEMA_([A-Z_]+), SCHEMA_[A-Z]+, "([a-z_]+)"', text)]


def test_the_sample_has_the_keys_of_the_schema_and_no_other():
    keys = schema_keys()
    assert len(keys) > 30
    assert list(dict.fromkeys((s, k) for s, k, _ in sample_lines())) == keys


@pytest.mark.parametrize(
    "section, key, value", sample_lines(),
    ids=lambda text: re.sub(r"\W+", "-", text)[:20])
def test_each_line_of_the_sample_is_understood(tmp_path, section, key, value):
    """On top of the four lines of README, with the files it names."""
    account = dict(ACCOUNT)
    if key == "login":
        del account["tenant"], account["client_id"]
        del account["client_secret_file"]
        account |= {"password_file": "password", "host": "smtp.example"}
    if key == "password_file":
        account = {"user": account["user"]}
    if section == "account":
        account[key] = value
    text = "[account]\n" + "".join(
        f"{k} = {v}\n" for k, v in account.items())
    if section != "account":
        text += f"[{section}]\n{key} = {value}\n"
    if section != "aliases":
        text += "[aliases]\nfile = aliases\n"
    if section == "rewrite" and key == "rule":
        text = text.replace(
            "[rewrite]", f"send_as = {value.split()[1]}\n[rewrite]")
    if section == "route" and value.endswith(" shop"):
        text += "[account shop]\n" + "".join(
            f"{k} = {v}\n" for k, v in ACCOUNT.items()).replace(
                "alerts", "shop")
    (tmp_path / "secrets").mkdir()
    for name in ("client-secret", "secrets/client-secret", "secrets/password",
                 "password"):
        (tmp_path / name).write_text("a secret\n")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "aliases").write_text("")
    (tmp_path / "ca.pem").symlink_to("/etc/ssl/certs/ca-certificates.crt")
    path = tmp_path / "sendmail365.conf"
    path.write_text(text)
    done = subprocess.run(
        [PROGRAM, "check", "-C", path], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout + text


def test_another_prefix(tmp_path):
    """All that is installed names what is installed."""
    # Where others do not see what is built with these paths.
    archive = subprocess.run(
        [TOP / "packaging/dist"], check=True, text=True,
        stdout=subprocess.PIPE).stdout.strip()
    subprocess.run(["tar", "-C", tmp_path, "-xf", TOP / archive], check=True)
    tree, = tmp_path.glob("sendmail365-*")
    root = tmp_path / "root"
    quick = ["make", "-s", "-C", tree, "CFLAGS=-O0", "-j2"]
    subprocess.run([*quick, "build/sendmail"], check=True)
    subprocess.run([*quick, "install", "PREFIX=/usr/local", f"DESTDIR={root}"],
                   check=True, stdout=subprocess.DEVNULL)
    for path in root.rglob("*"):
        if path.is_symlink():
            assert str(path.readlink()).startswith("/usr/local/"), path
            assert os.path.lexists(f"{root}{path.readlink()}"), path
        elif path.is_file() and "doc" not in path.parts:
            text = path.read_bytes()
            assert b"/usr/sbin/sendmail365" not in text, path
            assert b"/usr/libexec/sendmail365" not in text, path
