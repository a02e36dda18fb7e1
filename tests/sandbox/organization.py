"""The organization that the sandbox plays: one hub account, three members, two regions, and one suspended account.

Its management account is not played: the hub is the delegated administrator, and what is asked of the organization is
asked there. The suspended account is in the organization's list, and nothing else of it is there.
"""

ID = "o-sandbox00000"
HUB = "100000000001"
MEMBERS = ("200000000002", "300000000003", "400000000004")
ACCOUNTS = (HUB, *MEMBERS)
SUSPENDED = "500000000005"
MANAGEMENT = "900000000009"
HOME = "us-east-1"
REGIONS = (HOME, "eu-west-1")


def of(account):
    """The id of the account's organization; an account that is not ours has none.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalorgid
    """
    return ID if account in (*ACCOUNTS, SUSPENDED) else None
