"""Counts the calls of each kind, because they use the quotas of the users and cost money."""

from collections import Counter

from ministack import app as ministack
from ministack.core import iam_actions, router

from .cloudtrail import Call


class Calls:
    """Wraps MiniStack and counts calls by account, region and IAM action."""

    def __init__(self, app):
        self.app, self.counts = app, Counter()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        call = Call(scope)

        async def receive_and_keep():
            message = await receive()
            call.request += message.get("body", b"")
            return message

        await self.app(scope, receive_and_keep, send)
        self.counts[f"{call.account}/{call.region}/{action(call)}"] += 1


def action(call):
    """Returns the IAM action that a call needs."""
    parameters = ministack._routing_params(call.method, call.path, call.headers, call.request, call.query)
    if call.bucket:
        path = f"/{call.bucket}/{call.key}"
        return iam_actions.extract_iam_action("s3", call.method, path, call.headers, b"", call.query)
    service = router.detect_service(call.method, call.path, call.headers, parameters)
    return iam_actions.extract_iam_action(service, call.method, call.path, call.headers, call.request, parameters)
