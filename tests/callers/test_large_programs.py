"""Callers whose packages are large: "make check-callers" installs them."""
import machine
import pytest
from fake365 import Tenant
from machine import AUTHOR, BCC, BOSS, CC, TO, Machine
from test_programs import (BODY, Caller, check_caller, looking, run,
                           runnable)

pytestmark = pytest.mark.skipif(
    machine.why_not() is not None, reason=str(machine.why_not()))


@pytest.fixture
def host(tmp_path):
    with Tenant() as tenant:
        yield Machine(tenant, tmp_path)


PEAR = """
require 'Mail.php';
$m = Mail::factory('sendmail');
$r = $m->send(['to@fabrikam.example', 'bcc@fabrikam.example'],
    ['From' => 'web@site.example', 'To' => 'to@fabrikam.example',
     'Subject' => 's'], "one\\n.\\ntwo");
exit($r === true ? 0 : 1);
"""
SYMFONY = """
require '/usr/share/php/Symfony/Component/Mailer/autoload.php';
require '/usr/share/php/Symfony/Component/Mime/autoload.php';
use Symfony\\Component\\Mailer\\{Mailer, Transport};
use Symfony\\Component\\Mime\\Email;
$mailer = new Mailer(Transport::fromDsn('%s'));
$email = (new Email())->from('Web <web@site.example>')
    ->to('to@fabrikam.example')->cc('cc@fabrikam.example')
    ->bcc('bcc@fabrikam.example')->subject('s')->text("one\\n.\\ntwo");
try { $mailer->send($email); } catch (Exception $e) {
    fwrite(STDERR, $e->getMessage()); exit(1); }
"""
TWICE = SYMFONY.replace("$mailer->send($email);", """$mailer->send($email);
    $mailer->send($email->subject('again'));""")
SWIFT = """
require '/usr/share/php/Egulias/EmailValidator/autoload.php';
require '/usr/share/php/Swift/swift_required.php';
$m = (new Swift_Message('s'))->setFrom(['web@site.example' => 'Web'])
    ->setTo(['to@fabrikam.example'])->setBcc(['bcc@fabrikam.example'])
    ->setBody("one\\n.\\ntwo");
$mailer = new Swift_Mailer(new Swift_SendmailTransport('%s'));
try { exit($mailer->send($m) === 2 ? 0 : 1); } catch (Exception $e) {
    fwrite(STDERR, $e->getMessage()); exit(2); }
"""
# What wp_mail() needs of WordPress, without a data base.
WORDPRESS = """
error_reporting(E_ERROR);
define('ABSPATH', '/usr/share/wordpress/'); define('WPINC', 'wp-includes');
foreach (['version', 'load', 'plugin', 'class-wp-error', 'default-constants',
          'functions', 'cache', 'formatting', 'kses', 'l10n',
          'link-template', 'general-template', 'http', 'pluggable'] as $name)
    require_once ABSPATH . WPINC . "/$name.php";
foreach (['home', 'siteurl'] as $option)
    add_filter("pre_option_$option", fn() => 'http://site.example');
add_filter('pre_option_blog_charset', fn() => 'UTF-8');
wp_cache_init();
exit(wp_mail('to@fabrikam.example', 's', "one\\n.\\ntwo",
    ['Cc: cc@fabrikam.example', 'Bcc: bcc@fabrikam.example']) ? 0 : 1);
"""
NODEMAILER = """
const transport = require('nodemailer').createTransport(%s);
transport.sendMail({from: 'Web <web@site.example>',
    to: 'to@fabrikam.example', bcc: 'bcc@fabrikam.example', subject: 's',
    text: 'one\\n.\\ntwo'}).then(() => process.exit(0),
    e => { console.error(e.message); process.exit(1); });
"""
RUBY = """
require 'mail'
m = Mail.new(from: 'web@site.example', to: 'to@fabrikam.example',
             bcc: 'bcc@fabrikam.example', subject: 's', body: "one\\n.\\ntwo")
m.delivery_method :sendmail
m.deliver!
"""
EMACS = """
(progn
  (require 'message)
  (setq user-mail-address "web@site.example" user-full-name "Web"
        send-mail-function 'sendmail-send-it
        message-send-mail-function 'message-send-mail-with-sendmail
        message-confirm-send nil message-interactive t)
  (message-mail "to@fabrikam.example" "s")
  (message-goto-body) (insert "one\\n.\\ntwo\\n")
  (message-goto-bcc) (insert "bcc@fabrikam.example")
  (condition-case e (message-send-and-exit)
    (error (message "%s" (error-message-string e)) (kill-emacs 1))))
"""
EMAIL_SENDER = """
use Email::Sender::Transport::Sendmail;
use Email::Simple;
my $m = Email::Simple->create(header => [From => 'web@site.example',
    To => 'to@fabrikam.example', Bcc => 'bcc@fabrikam.example',
    Subject => 's'], body => "one\\n.\\ntwo");
eval { sendmail($m, { to => ['to@fabrikam.example', 'bcc@fabrikam.example'],
    from => 'web@site.example',
    transport => Email::Sender::Transport::Sendmail->new }); 1 } or exit 3;
"""
MAIL_BOX = """
use Mail::Transport::Sendmail;
my $m = Mail::Message->build(From => 'web@site.example',
    To => 'to@fabrikam.example', Bcc => 'bcc@fabrikam.example',
    Subject => 's', data => "one\\n.\\ntwo\\n");
exit(Mail::Transport::Sendmail->new->send($m) ? 0 : 1);
"""
LOGCHECK = """
echo 'Nov 21 07:37:54 web1 kernel: something odd' >/var/log/odd
chmod 644 /var/log/odd; echo /var/log/odd >/etc/logcheck/logcheck.logfiles
rm -rf /etc/logcheck/logcheck.logfiles.d; mkdir -p /run/lock/logcheck
chown logcheck /run/lock/logcheck
mkdir -p /var/lib/logcheck/.config
cp -R /etc/sendmail365 /var/lib/logcheck/.config
chown -R logcheck /var/lib/logcheck
exec setpriv --reuid=logcheck --regid=logcheck --clear-groups \
    logcheck -l /var/log/odd
"""

LARGE = {
    "PEAR Mail": Caller(
        "/usr/share/php/PEAR.php", ["php", "-r", PEAR], (BCC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR, refused=1),
    "Symfony Mailer -bs": Caller(
        "/usr/share/php/Symfony/Component/Mailer/autoload.php",
        ["php", "-r", SYMFONY % "sendmail://default"], (BCC, CC, TO),
        body="one\n.\ntwo\n", user="jdoe", reply_to=AUTHOR, refused=1),
    "Symfony Mailer -t": Caller(
        "/usr/share/php/Symfony/Component/Mailer/autoload.php",
        ["php", "-r", SYMFONY % (
            "sendmail://default?command=/usr/sbin/sendmail%%20-t%%20-i"
            ).replace("%%", "%")], (BCC, CC, TO),
        body="one\n.\ntwo\n", user="jdoe", reply_to=AUTHOR, refused=1),
    "Laravel's default": Caller(
        "/usr/share/php/Symfony/Component/Mailer/autoload.php",
        ["php", "-r", SYMFONY % (
            "sendmail://default?command=/usr/sbin/sendmail%%20-bs%%20-i"
            ).replace("%%", "%")], (BCC, CC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR, refused=1),
    "SwiftMailer -bs": Caller(
        "/usr/share/php/Swift/swift_required.php",
        ["php", "-r", SWIFT % "/usr/sbin/sendmail -bs"], (BCC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR),
    "SwiftMailer -t": Caller(
        "/usr/share/php/Swift/swift_required.php",
        ["php", "-r", SWIFT % "/usr/sbin/sendmail -t -i"], (BCC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR),
    "WordPress wp_mail()": Caller(
        "/usr/share/wordpress/wp-includes/pluggable.php",
        ["php", "-r", WORDPRESS], (BCC, CC, TO), user="jdoe",
        body="one\n.\ntwo\n", is_part=True, refused=1,
        reply_to="wordpress@site.example"),
    "nodemailer": Caller(
        "/usr/share/nodejs/nodemailer", ["node", "-e", NODEMAILER %
                                         "{sendmail: true}"], (BCC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR, refused=1,
        env={"NODE_PATH": "/usr/share/nodejs"}),
    "nodemailer with arguments": Caller(
        "/usr/share/nodejs/nodemailer", ["node", "-e", NODEMAILER %
                                         "{sendmail: true, args: ['-t']}"],
        (BCC, TO), body="one\n.\ntwo\n", reply_to=AUTHOR, refused=1,
        env={"NODE_PATH": "/usr/share/nodejs"}),
    "Ruby mail": Caller(
        "/usr/share/doc/ruby-mail", ["ruby", "-e", RUBY], (BCC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR),
    "Emacs message-mode": Caller(
        "emacs", ["emacs", "-Q", "--batch", "--eval", EMACS], (BCC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR, refused=1, is_quiet=False),
    "Email::Sender": Caller(
        "/usr/share/perl5/Email/Sender.pm",
        ["perl", "-MEmail::Sender::Simple=sendmail", "-e", EMAIL_SENDER],
        (BCC, TO), body="one\n.\ntwo\n", reply_to=AUTHOR, refused=3),
    "Mail::Box": Caller(
        "/usr/share/perl5/Mail/Box.pm",
        ["perl", "-MMail::Message", "-e", MAIL_BOX], (BCC, TO),
        body="one\n.\ntwo\n", reply_to=AUTHOR),
    "mailutils": Caller(
        "mail.mailutils", ["mail.mailutils", "-s", "s", "-a",
                           f"Bcc: {BCC}", TO], (BCC, TO),
        stdin=b"body\n", refused=1),
    "neomutt": Caller(
        "neomutt", ["neomutt", "-n", "-e", "set copy=no", "-s", "s", "-b",
                    BCC, "--", TO], (BCC, TO), stdin=BODY,
        body="one\n.\ntwo\n", refused=1),
    "mdadm": Caller(
        "mdadm", ["mdadm", "--monitor", "--test", "--oneshot", "--mail",
                  "root", "/dev/md0"], (BOSS,),
        subject="TestMessage event on /dev/md0:web1",
        body="This is an automatically generated mail message", is_part=True,
        is_quiet=False),
    "logcheck": Caller(
        "logcheck", LOGCHECK, (BOSS,), subject=None, body="something odd",
        is_part=True, is_quiet=False,
        files={"logcheck/logcheck.conf": "SENDMAILTO=root\nINTRO=0\n"}),
}


@pytest.mark.parametrize("caller", runnable(LARGE))
def test_what_a_caller_sends_arrives(host, caller):
    check_caller(host, caller)


@pytest.mark.parametrize("caller", runnable(looking(LARGE)))
def test_a_caller_that_looks_sees_a_refusal(host, caller):
    host.refuse()
    assert run(host, caller).returncode == caller.refused
    assert not host.tenant.messages


def test_symfony_sends_two_messages_in_one_session(host):
    if not machine.has("/usr/share/php/Symfony/Component/Mailer/autoload.php"):
        pytest.skip("Symfony Mailer is not installed")
    done = host.run("php", "-r", TWICE % "sendmail://default")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [m.parsed["Subject"] for m in host.received(2)] == ["s", "again"]
