"""Attacks from the network, and the tests that show what becomes of them.

ATTACKS maps each attack, by its number in the list of threats, to its tests:
"test_file.test_name" of this folder or of tests/unit, or a target of
tests/fuzz.  Attacks without a better place have their tests here.
"""
import re

import pytest

from support import BOSS, MESSAGE, TOP, assert_fatal, assert_sent, message
from support_direct import NO_SIGN_IN, send, set_up, words

ATTACKS = {
    27: ("STARTTLS is stripped: temporary failure, never in the clear", [
        "test_tls.test_no_starttls_no_mail",
        "test_tls.test_refused_starttls_is_the_end",
        "test_tls.test_mechanisms_from_before_tls_are_not_believed",
        "test_direct_send.test_nothing_is_sent_in_the_clear",
        "test_fallback.test_failure_that_direct_send_gets_round",
    ]),
    28: ("octets are injected behind the answer to STARTTLS", [
        "test_tls.test_octets_after_starttls_are_an_attack",
        "test_tls.test_extensions_from_before_tls_are_not_believed",
        "test_tls.test_client_sends_nothing_behind_starttls_in_the_clear",
        "test_direct_send.test_nothing_is_sent_in_the_clear",
        "test_direct_send.test_extensions_from_before_tls_are_not_believed",
    ]),
    29: ("a certificate that does not verify, or nothing to verify it with", [
        "test_tls.test_bad_certificate_of_the_submission_host",
        "test_tls.test_system_does_not_trust_what_ca_file_does",
        "test_tls.test_ca_file_that_is_none",
        "test_tls.test_old_tls_is_refused",
        "test_direct_send.test_bad_certificate_of_the_mx",
        "test_direct_send.test_encrypt_is_for_the_mx_only",
    ]),
    30: ("a rogue token endpoint", [
        "test_sign_in.test_redirect_is_refused",
        "test_sign_in.test_bad_answer_is_no_token",
        "test_sign_in.test_no_secret_for_an_impostor",
        "test_tls.test_bad_certificate_of_the_token_endpoint",
        "test_tls.test_plain_text_where_https_belongs",
        "test_config.test_names_that_are_refused",
        "test_config.test_urls_that_are_refused",
        "test_entra.test_url_has_encoded_tenant",
        "test_entra.test_authority_needs_https_and_a_host",
        "test_entra.test_strange_answers_give_no_token",
        "test_entra.test_token_size_is_limited",
        "fuzz_entra",
    ]),
    31: ("a token is given to the wrong host", [
        "test_tls.test_bad_certificate_of_the_submission_host",
        "test_tls.test_no_starttls_no_mail",
        "test_sign_in.test_kept_token_is_for_its_user_alone",
        "test_sign_in.test_token_of_another_application_is_not_taken",
        "test_direct_send.test_nobody_signs_in_at_the_mx",
        "test_direct_send.test_dialogue_with_the_mx",
    ]),
    32: ("long and odd replies", [
        "test_phases.test_answer",
        "test_phases.test_time_out",
        "test_secrets.test_server_cannot_move_the_terminal",
        "test_sign_in."
        "test_error_text_is_shown_without_what_moves_a_terminal",
        "test_direct_send.test_mx_that_talks_nonsense",
        "test_reply.test_shapes",
        "test_reply.test_nul_is_refused",
        "test_reply.test_a_reply_without_end_is_refused",
        "test_reply.test_a_reply_has_a_total_maximum",
        "fuzz_reply",
    ]),
    33: ("SMTP smuggling", [
        "test_line_ends.test_bodies",
        "test_line_ends.test_smuggled_commands_stay_text",
        "test_line_ends.test_smuggled_commands_that_writes_divide",
        "test_line_ends.test_smuggled_commands_at_the_border_of_a_block",
        "test_lines.test_output_is_clean_for_all_short_inputs",
        "test_lines.test_every_division_gives_the_same",
    ]),
    34: ("lines of more than 998 octets", [
        "test_delivery.test_text_that_does_not_fit_lines_is_encoded",
        "test_delivery.test_mime_that_does_not_fit_lines_stays",
        "test_encode.test_characters_are_not_divided",
        "test_encode.test_quoted_printable_lines_are_short",
        "test_rewrite.test_long_lines",
    ]),
    35: ("forged DNS leads Direct Send astray", [
        "test_direct_send.test_host_that_is_not_exchange_s",
        "test_direct_send.test_host_that_is_no_name",
        "test_direct_send.test_impostor_in_front_of_the_right_host",
        "test_direct_send.test_right_name_at_a_wrong_address",
        "test_direct_send.test_name_of_the_mx_is_never_made_up",
        "test_direct_send.test_host_that_is_an_alias_keeps_its_name",
        "test_direct_send.test_1900_hosts_of_somebody_else",
        "test_mx.test_is_exchange",
        "test_mx.test_answer_to_another_question",
        "test_mx.test_whose_records_count",
        "test_mx.test_torn_at_every_length",
        "fuzz_mx",
    ]),
    36: ("mail goes round in a circle", [
        "test_attacks.test_message_that_goes_round_is_refused",
        "test_attacks.test_message_that_goes_round_by_direct_send",
        "test_attacks.test_automatic_mail_is_marked",
    ]),
}


def exists(reference):
    """Whether there is such a test, or target of the fuzzer."""
    file, _, name = reference.partition(".")
    if not name:
        return (TOP / "tests/fuzz" / f"{file}.c").is_file()
    for path, form in [
            (TOP / "tests/integration" / f"{file}.py", r"^def %s\("),
            (TOP / "tests/unit" / f"{file}.c", r"^%s\(")]:
        if path.is_file():
            return re.search(form % name, path.read_text(), re.M) is not None
    return False


@pytest.mark.parametrize("number", range(27, 37))
def test_attack_has_its_tests(number):
    _, references = ATTACKS[number]
    assert references
    assert [r for r in references if not exists(r)] == []


# ---- 36: loops ----

HOPS_MAX = 50


def travelled(hops, name="Received"):
    """A message that has passed so many servers."""
    return message(b"all is well\r\n", *[
        f"{name}: from h{i}.example by h{i + 1}.example; "
        "Sat, 21 Nov 2026 07:37:54 +0000" for i in range(hops)])


@pytest.mark.parametrize("hops, name", [
    (HOPS_MAX + 1, "Received"), (HOPS_MAX + 1, "RECEIVED"), (200, "Received"),
])
def test_message_that_goes_round_is_refused(mail, hops, name):
    result = mail.sendmail(BOSS, stdin=travelled(hops, name))
    assert_fatal(result, 69, f"{hops} Received fields", "circle",
                 "inbox rules")
    result = send(mail, BOSS, stdin=travelled(hops, name))
    assert words(result) == {BOSS: "bounced"}
    assert "dsn=5.4.6" in result.stderr.decode()
    assert mail.tenant.connections == []


def test_message_that_has_travelled_far_is_sent(mail):
    given_as = travelled(HOPS_MAX)
    assert_sent(mail.sendmail(BOSS, stdin=given_as))
    assert mail.tenant.messages[0].raw == given_as


@pytest.mark.parametrize("account", [{}, NO_SIGN_IN], ids=["down", "none"])
def test_message_that_goes_round_by_direct_send(mail, dead_port, account):
    """Another way does not end the circle."""
    set_up(mail, **{"port": dead_port, **account})
    result = mail.sendmail(BOSS, stdin=travelled(HOPS_MAX + 1))
    assert_fatal(result, 69, "Received fields")
    assert mail.tenant.connections == []


MARKED = message(b"x\r\n", "Auto-Submitted: no")

#: (setting, sender, message, the value that arrives)
AUTOMATIC = {
    "default": (None, "root@web1.example", MESSAGE, None),
    "never": ("never", "root@web1.example", MESSAGE, None),
    "add": ("add", "root@web1.example", MESSAGE, "auto-generated"),
    "marked": ("add", "root@web1.example", MARKED, "no"),
    "answer": (None, "<>", MESSAGE, "auto-replied"),
    "answer-and-add": ("add", "<>", MESSAGE, "auto-replied"),
    "marked-answer": ("never", "<>", MARKED, "no"),
}


@pytest.mark.parametrize("is_down", [False, True], ids=["submission", "mx"])
@pytest.mark.parametrize("name", AUTOMATIC)
def test_automatic_mail_is_marked(mail, dead_port, name, is_down):
    """Only where it is configured, or is an answer, and is not marked yet."""
    setting, sender, given_as, value = AUTOMATIC[name]
    set_up(mail, sections={"rewrite": {"auto_submitted": setting}},
           **({"port": dead_port} if is_down else {}))
    assert_sent(mail.sendmail("-f", sender, BOSS, stdin=given_as))
    [sent] = mail.tenant.messages
    assert sent.service == ("mx" if is_down else "submission")
    assert sent.parsed.get_all("Auto-Submitted") == (
        [value] if value else None)
