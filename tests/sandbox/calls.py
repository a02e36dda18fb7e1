"""How many calls of each kind were made: they are the users' quota and money. `GET /_sandbox/calls` tells, by account,
region and IAM action, with no call of its own."""

import json
from collections import Counter

from ministack import app as ministack
from ministack.core import iam_actions, router

from .cloudtrail import Call


class Calls:
    """Around the whole of MiniStack; counts what passes."""

    def __init__(self, app):
        self.app, self.counts = app, Counter()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        if scope["path"] == "/_sandbox/calls":
            return await self._tell(send)
        call = Call(scope)

        async def receive_and_keep():
            message = await receive()
            call.request += message.get("body", b"")
            return message

        await self.app(scope, receive_and_keep, send)
        self.counts[f"{call.account}/{call.region}/{_action(call)}"] += 1

    async def _tell(self, send):
        body = json.dumps(self.counts, sort_keys=True).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _action(call):
    parameters = ministack._routing_params(call.method, call.path, call.headers, call.request, call.query)
    if call.bucket:
        return iam_actions.extract_iam_action("s3", call.method, f"/{call.bucket}", call.headers, b"", call.query)
    service = router.detect_service(call.method, call.path, call.headers, parameters)
    return iam_actions.extract_iam_action(service, call.method, call.path, call.headers, call.request, parameters)
