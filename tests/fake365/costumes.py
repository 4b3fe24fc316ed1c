"""What the submission host of a tenant can be dressed as.

Microsoft's other services differ from Exchange Online in a name, a scope,
or a rule; a relay (relay.py) is of another kind. README.md says what of
this is guessed.
"""

from typing import TYPE_CHECKING, Any, Dict

from .directory import Mailbox
from .exchange import Submission
from .relay import Relay
from .sasl import Credentials

if TYPE_CHECKING:
    from .tenant import Tenant

_SOON = 600  # seconds before its end at which HVE wants no token any more


class GovHigh(Submission):
    """GCC High: smtp.office365.us."""

    domain = "outlook.office365.us"
    forest = "namp110.prod.outlook.com"
    audiences = ("https://outlook.office365.us",)
    cloud = "us-gov-high"


class GovDod(Submission):
    """DoD: outlook-dod.office365.us."""

    domain = "outlook-dod.office365.us"
    forest = "namp111.prod.outlook.com"
    audiences = ("https://outlook-dod.office365.us",)
    cloud = "us-gov-dod"


class China(Submission):
    """21Vianet: smtp.partner.outlook.cn."""

    domain = "partner.outlook.cn"
    forest = "chnpr00.prod.partner.outlook.cn"
    audiences = ("https://partner.outlook.cn",)
    cloud = "china"


class Consumer(Submission):
    """smtp-mail.outlook.com: LOGIN is advertised, and refused."""

    def check_password(self, credentials: Credentials) -> str:
        return self.refuse_basic()


class HighVolume(Submission):
    """smtp-hve.office365.com: for recipients of the tenant."""

    def check_token(self, credentials: Credentials) -> str:
        if not credentials.secret:
            return self.late_no("501 5.5.124 Invalid XOAUTH2 auth data")
        return super().check_token(credentials)

    def admit(self, mailbox: Mailbox, credentials: Credentials) -> str:
        token = self.tenant.directory.token(credentials.secret)
        if token and token.remaining < _SOON:
            return self.late_no(
                "501 5.5.127 Invalid XOAUTH2 auth data - "
                "Token will expire soon error"
            )
        return super().admit(mailbox, credentials)

    def refuse_recipient(self, recipient: str) -> str:
        if not recipient.lower().endswith("@" + self.tenant.domain):
            return self.no(
                "550 5.7.1 High Volume Email does not send to external "
                "recipients"
            )
        return super().refuse_recipient(recipient)


class CommunicationServices(Submission):
    """smtp.azurecomm.net: a user who is no mailbox, domains for From."""

    short_name = "smtp"
    domain = "azurecomm.net"
    offered = ("LOGIN",)

    @staticmethod
    def default_mailbox(tenant: "Tenant") -> Dict[str, Any]:
        return {
            "login": f"contoso-mail|{tenant.client_id}|{tenant.tenant_id}",
            "password": tenant.client_secret,
            "send_as": ["@" + tenant.domain],
        }

    def refuse_password(self) -> str:
        return self.fail_auth("535 5.7.3 Authentication unsuccessful")

    def refuse_sender(self, sender: str) -> str:
        return self.no(
            "550 5.7.1 DomainNotLinked: The specified sender domain has not "
            "been linked."
        )


COSTUMES = {
    "exchange": Submission,
    "us-gov-high": GovHigh,
    "us-gov-dod": GovDod,
    "china": China,
    "consumer": Consumer,
    "hve": HighVolume,
    "acs": CommunicationServices,
    "relay": Relay,
}
