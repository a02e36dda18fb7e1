"""The operations ListAccounts and DescribeAccount of Organizations.

https://docs.aws.amazon.com/organizations/latest/APIReference/API_ListAccounts.html
https://docs.aws.amazon.com/organizations/latest/APIReference/API_DescribeAccount.html
"""

from ministack.core.responses import error_response_json, get_account_id, json_response
from ministack.services import organizations

from . import organization

_PAGE = 2


def install():
    for name, operation in (("ListAccounts", _list_accounts), ("DescribeAccount", _describe_account)):
        organizations._DISPATCH[name] = _of_the_hub(operation)


def _of_the_hub(operation):
    """Refuses all accounts but the hub, which is the delegated administrator.

    AWS allows these operations "from the management account or a member account that is a delegated
    administrator".
    """

    def answered(request):
        if get_account_id() != organization.HUB:
            why = "You don't have permissions to access this resource."
            return error_response_json("AccessDeniedException", why, 400)
        return operation(request)

    return answered


def _describe_account(request):
    number, states = request.get("AccountId", ""), organization.states()
    if number not in states:
        return error_response_json("AccountNotFoundException", "You specified an account that doesn't exist.", 400)
    return json_response({"Account": _account(number, states[number])})


def arn(number):
    """Returns the ARN of an account of the organization."""
    return f"arn:aws:organizations::{organization.MANAGEMENT}:account/{organization.ID}/{number}"


def _list_accounts(request):
    size, token = request.get("MaxResults", 20), request.get("NextToken", "")
    if not 1 <= size <= 20:
        return error_response_json("InvalidInputException", "MaxResults is 1 to 20", 400)
    listed = [_account(number, state) for number, state in organization.states().items()]
    # "These operations can occasionally return an empty set of results even when more results are
    # available". Here the first page is always empty.
    if not token:
        return json_response({"Accounts": [], "NextToken": "from-0"})
    start = token.removeprefix("from-")
    if not start.isdigit() or int(start) >= len(listed):
        return error_response_json("InvalidInputException", "NextToken is not one of ours", 400)
    end = int(start) + min(size, _PAGE)
    page = {"Accounts": listed[int(start) : end]}
    return json_response(page | ({"NextToken": f"from-{end}"} if end < len(listed) else {}))


def name(number):
    """Returns the name of an account of the organization."""
    return f"account {number[0]}"


def _account(number, state):
    """Describes an account without Status, which was retired on 9 September 2026.

    https://docs.aws.amazon.com/organizations/latest/APIReference/API_Account.html
    """
    return {
        "Id": number,
        "Arn": arn(number),
        "Name": name(number),
        "Email": f"account-{number[0]}@example.com",
        "State": state,
        "JoinedMethod": "CREATED",
        "JoinedTimestamp": 1767225600,
    }
