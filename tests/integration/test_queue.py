"""The queue in the hands of people: mailq, sendmail -q, sendmail365 queue."""
import json
import os
import pwd
import re
import time

import pytest

from fake365 import Rule
from service import Service
from support import (BOSS, COLLEAGUE, MESSAGE, OUTSIDER, assert_fatal,
                     assert_sent, outcomes, wait_until)

pytestmark = pytest.mark.usefixtures("mail")


@pytest.fixture
def make_service(given):
    """Make a service for a tenant that follows these rules."""
    made = []

    def make(*rules, config=None, queue=None, **options):
        queue = {"retry_first": "1h", **(queue or {})}
        made.append(Service(given(*rules, **options), **queue))
        return made[-1].configure(**(config or {}))

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def stuck(make_service):
    """A service with a message that waits for an hour."""
    service = make_service(
        Rule("rcpt", "reply", "450 4.2.1 Mailbox busy", nth=1)).start()
    assert_sent(service.sendmail("-f", COLLEAGUE, BOSS, stdin=MESSAGE))
    service.wait_for_log("status=deferred")
    return service


@pytest.fixture
def nobody(tmp_path):
    """Options of subprocess.run for another user."""
    if os.geteuid() != 0:
        pytest.skip("needs a second user")
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o711)
    user = pwd.getpwnam("nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def mailq(service, **options):
    result = service.sendmail("-bp", **options)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout.decode()


def queue(service, *args, **options):
    """Run "sendmail365 queue"."""
    options.setdefault("env", service.environment())
    return service.mail._run(
        service.mail.sendmail365_path, "queue", "-C", service.mail.config,
        *args, stdin=b"", **options)


def listed(service, *args):
    result = queue(service, "list", "--json", *args)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def the_id(service):
    return service.files()[0].split(".")[0]


def test_an_empty_queue(make_service):
    service = make_service().start()
    assert mailq(service) == "Mail queue is empty\n"
    assert listed(service) == []


def test_the_listing_is_in_postfix_s_form(stuck):
    lines = mailq(stuck).splitlines()
    assert lines[0] == ("----Queue ID----- --Size-- ---Arrival Time---- "
                        "--Sender/Recipient------")
    assert re.fullmatch(
        rf"{the_id(stuck)} +\d+ [A-Z][a-z][a-z] [A-Z][a-z][a-z] [ \d]\d "
        rf"\d\d:\d\d:\d\d {COLLEAGUE}", lines[1])
    assert re.fullmatch(r" *\(.*450 4\.2\.1 Mailbox busy.*\)", lines[2])
    assert lines[3].split() == [BOSS]
    assert lines[4] == ""
    assert re.fullmatch(r"-- \d+ Kbytes in 1 Request\.", lines[5])


def test_the_listing_as_json(stuck):
    [entry] = listed(stuck)
    assert entry["id"] == the_id(stuck)
    assert entry["state"] == "queued"
    assert entry["uid"] == os.getuid()
    assert entry["sender"] == COLLEAGUE
    assert entry["recipients"] == [BOSS]
    assert entry["attempts"] == 1
    assert entry["next_attempt"] > time.time() + 1000
    [delivery] = entry["delivery"]
    assert delivery["address"] == BOSS
    assert delivery["status"] == "deferred"
    assert "Mailbox busy" in delivery["reason"]


def test_a_message_is_shown(stuck):
    result = queue(stuck, "show", the_id(stuck))
    assert result.returncode == 0
    assert b"Mailbox busy" in result.stdout
    assert result.stdout.endswith(b"\nall is well\n")


@pytest.mark.parametrize("words", [["-q"], ["-qI"]])
def test_a_flush_tries_at_once(stuck, words):
    if words == ["-qI"]:
        words = ["-qI" + the_id(stuck)]
    assert_sent(stuck.sendmail(*words))
    assert stuck.mail.tenant.wait_for_messages(1)
    stuck.wait_until_empty()


def test_what_is_held_waits(stuck):
    assert queue(stuck, "hold", the_id(stuck)).returncode == 0
    assert listed(stuck)[0]["state"] == "held"
    assert the_id(stuck) + " !" in mailq(stuck)
    assert_sent(stuck.sendmail("-q"))
    assert_sent(stuck.sendmail(BOSS, stdin=MESSAGE))
    assert stuck.mail.tenant.wait_for_messages(1)
    assert listed(stuck)[0]["state"] == "held"
    assert queue(stuck, "release", the_id(stuck)).returncode == 0
    assert stuck.mail.tenant.wait_for_messages(2)
    stuck.wait_until_empty()


def test_what_is_held_waits_for_the_next_service_too(stuck):
    assert queue(stuck, "hold", "--all").returncode == 0
    stuck.stop()
    stuck.start()
    assert_sent(stuck.sendmail("-q"))
    assert_sent(stuck.sendmail(BOSS, stdin=MESSAGE))
    assert stuck.mail.tenant.wait_for_messages(1)
    # The other one is taken out when Exchange has had it.
    wait_until(lambda: len(stuck.files()) == 1)
    assert [e["state"] for e in listed(stuck)] == ["held"]


def test_what_is_deleted_is_gone(stuck):
    assert queue(stuck, "delete", the_id(stuck)).returncode == 0
    assert stuck.files() == stuck.files("journal") == []
    assert mailq(stuck) == "Mail queue is empty\n"


def test_what_failed_can_be_tried_again(make_service):
    service = make_service(
        Rule("rcpt", "reply", "550 5.1.10 no", nth=1)).start()
    assert_sent(service.sendmail("-f", "<>", BOSS, stdin=MESSAGE))
    wait_until(lambda: service.files("failed"))
    [entry] = listed(service, "--failed")
    assert entry["state"] == "failed"
    assert queue(service, "retry", entry["id"]).returncode == 0
    assert service.mail.tenant.wait_for_messages(1)
    wait_until(lambda: not service.files("failed"))


@pytest.mark.parametrize("words", [
    [], ["list", "x"], ["show"], ["show", "--all"], ["hold"], ["eat", "x"],
    ["delete", "x", "y"], ["delete", "x", "--all"], ["delete", "ALL x"],
    ["delete", "x", "--json"], ["delete", "x", "--failed"],
    ["show", "x", "--failed"], ["list", "--all"], ["delete", "x\nALL"]])
def test_the_command_line_is_checked(make_service, words):
    service = make_service()
    assert queue(service, *words).returncode == 64


def test_no_such_message(stuck):
    for word in ("0000000000000000", "x", "../../etc/passwd"):
        result = queue(stuck, "delete", word)
        assert result.returncode == 69
        assert result.stdout == b""
        assert len(result.stderr.splitlines()) == 1


def test_users_see_and_change_their_own(stuck, nobody):
    assert mailq(stuck, **nobody) == "Mail queue is empty\n"
    stuck.mail.tenant.scenario.add(Rule("rcpt", "reply", "451 4.7.0 no"))
    assert_sent(stuck.sendmail(OUTSIDER, stdin=MESSAGE, **nobody))
    wait_until(lambda: len(stuck.files("journal")) == 2)
    assert len(listed(stuck)) == 2
    text = mailq(stuck, **nobody)
    assert OUTSIDER in text and BOSS not in text
    assert "in 1 Request." in text
    other = [e["id"] for e in listed(stuck) if e["uid"] == 0][0]
    own = [e["id"] for e in listed(stuck) if e["uid"] != 0][0]
    for verb in ("show", "delete", "retry", "hold", "release"):
        assert queue(stuck, verb, other, **nobody).returncode != 0
    assert queue(stuck, "delete", "--all", **nobody).returncode == 0
    assert [e["id"] for e in listed(stuck)] == [other] != [own]


# Without a service

def test_what_cannot_be_sent_in_the_foreground_is_queued(make_service):
    service = make_service(
        Rule("connect", "close", nth=1), queue={"retry_first": "1s"})
    # Whoever has a spool has it queued.
    service.start()
    service.stop()
    result = service.mail.sendmail365(
        "submit", "-v", BOSS, COLLEAGUE, stdin=MESSAGE)
    assert result.returncode == 0
    assert set(outcomes(result).values()) == {"deferred 4.4.2"}
    assert len(service.files()) == 1
    assert len(listed(service)[0]["recipients"]) == 2
    assert queue(service, "flush").returncode == 0
    assert len(service.mail.tenant.messages) == 1
    assert service.files() == service.files("journal") == []


def test_only_those_who_wait_are_queued(make_service):
    service = make_service(recipients={
        COLLEAGUE: "451 4.7.0 later", OUTSIDER: "550 5.1.10 no"})
    service.start()
    service.stop()
    assert_fatal(service.mail.sendmail(
        BOSS, COLLEAGUE, OUTSIDER, stdin=MESSAGE), 67, "5.1.10", "queued as")
    assert [m.recipients for m in service.mail.tenant.messages] == [[BOSS]]
    service.mail.tenant.scenario._recipients.clear()
    assert queue(service, "flush").returncode == 0
    assert [m.recipients for m in service.mail.tenant.messages] == [
        [BOSS], [COLLEAGUE]]
    assert service.files("failed") == []


def test_without_a_spool_the_message_is_the_caller_s(make_service):
    service = make_service(Rule("connect", "close"))
    assert_fatal(service.mail.sendmail(BOSS, stdin=MESSAGE), 75)
    assert not service.spool.exists()


def test_a_queue_that_is_not_there_is_empty(make_service):
    service = make_service()
    result = service.mail.sendmail("-bp")
    assert result.stdout == b"Mail queue is empty\n"
    assert_sent(service.mail.sendmail("-q"))
