"""The organization that the sandbox plays: one hub account, two members, two regions."""

ID = "o-sandbox00000"
HUB = "100000000001"
MEMBERS = ("200000000002", "300000000003")
ACCOUNTS = (HUB, *MEMBERS)
HOME = "us-east-1"
REGIONS = (HOME, "eu-west-1")


def of(account):
    """The id of the account's organization; an account that is not ours has none.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalorgid
    """
    return ID if account in ACCOUNTS else None
