"""The sandbox's organization: a hub account, three members, a suspended account, and two regions.

Of the management account, only the events of accounts that join and leave are simulated. The hub is
the delegated administrator, and answers all requests about the organization. The suspended account
only appears in the list of accounts. One more account can join.
"""

import datetime
import uuid

ID = "o-sandbox00000"
HUB = "100000000001"
MEMBERS = ("200000000002", "300000000003", "400000000004")
ACCOUNTS = (HUB, *MEMBERS)
SUSPENDED = "500000000005"
JOINING = "600000000006"
MANAGEMENT = "900000000009"
HOME = "us-east-1"
REGIONS = (HOME, "eu-west-1")
_states = dict.fromkeys(ACCOUNTS, "ACTIVE") | {SUSPENDED: "SUSPENDED"}


def of(account):
    """Returns the organization's id for its accounts, or `None` for any other account.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalorgid
    """
    return ID if account in _states or account == MANAGEMENT else None


def states():
    """Returns the accounts of the organization, each with its state."""
    return dict(_states)


def change(asked):
    """Makes an account join, leave or close, and reports it as Organizations does.

    The event appears in the management account, unless `asked` says otherwise.
    """
    from . import disorder

    account, what = asked["account"], asked["change"]
    name, details = _CHANGES[what](account)
    record = {
        "eventVersion": "1.11",
        "userIdentity": {"accountId": MANAGEMENT, "invokedBy": "organizations.amazonaws.com"},
        "eventTime": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": "organizations.amazonaws.com",
        "eventName": name,
        "awsRegion": HOME,
        "sourceIPAddress": "organizations.amazonaws.com",
        "userAgent": "organizations.amazonaws.com",
        "requestParameters": None,
        "responseElements": None,
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "eventType": "AwsServiceEvent",
        "managementEvent": True,
        "recipientAccountId": MANAGEMENT,
        "serviceEventDetails": details,
        "eventCategory": "Management",
    }
    if asked.get("event", True):
        disorder.put(MANAGEMENT, HOME, "aws.organizations", "AWS Service Event via CloudTrail", record)
    return states()


def _join(account):
    """Makes an account join. The fields other than the account's are in the announcement.

    https://aws.amazon.com/about-aws/whats-new/2026/05/aws-organizations-cloudtrail/
    """
    _states[account] = "ACTIVE"
    return "AccountJoinedOrganization", {"accountId": account, "joinedMethod": "Invited"}


def _leave(account):
    del _states[account]
    return "AccountDepartedOrganization", {"accountId": account, "departedMethod": "Left"}


def _close(account):
    """Closes an account, which is then suspended.

    https://docs.aws.amazon.com/organizations/latest/userguide/orgs_cloudtrail-integration.html
    """
    _states[account] = "SUSPENDED"
    return "CloseAccountResult", {"closeAccountStatus": {"accountId": account, "state": "SUCCEEDED"}}


_CHANGES = {"join": _join, "leave": _leave, "close": _close}
