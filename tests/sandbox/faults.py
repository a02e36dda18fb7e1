"""Faults on demand: the errors of a service that throttles or is down."""

import uuid

from ministack.core import iam_actions, iam_evaluator

from .calls import action
from .cloudtrail import Call

_FIELDS = {"account": str, "region": str, "action": str, "code": str, "status": int, "times": int}


class Faults:
    """Wraps MiniStack, and answers instead of it if a fault matches the call.

    Faults apply only to calls of roles. A test that acts as an account's root still sees
    everything.
    """

    def __init__(self, app):
        self.app, self.faults = app, []

    def put(self, faults):
        """Replaces the faults. Raises ValueError for an invalid fault."""
        for fault in faults:
            if fault.keys() != _FIELDS.keys() or any(not isinstance(fault[name], t) for name, t in _FIELDS.items()):
                raise ValueError(f"a fault has {', '.join(_FIELDS)}")
        self.faults = [dict(fault) for fault in faults]

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or not self.faults:
            return await self.app(scope, receive, send)
        call, more = Call(scope), True
        while more:
            message = await receive()
            call.request += message.get("body", b"")
            more = message.get("more_body", False)
        if fault := self._next(call):
            return await _answer(send, call, fault)
        whole = [{"type": "http.request", "body": call.request, "more_body": False}]

        async def receive_again():
            return whole.pop() if whole else await receive()

        await self.app(scope, receive_again, send)

    def _next(self, call):
        """Returns the fault that matches the call, or `None`, and counts its use."""
        place = (call.account, call.region, action(call))
        for fault in self.faults:
            if fault["times"] and (fault["account"], fault["region"], fault["action"]) == place:
                principal = call.principal()
                if isinstance(principal, iam_evaluator.PrincipalInfo) and principal.type == "AssumedRole":
                    fault["times"] -= 1 if fault["times"] > 0 else 0
                    return fault
        return None


async def _answer(send, call, fault):
    """Sends the fault in the format of the service, in which MiniStack writes refusals."""
    service, name = action(call).split(":")
    _, headers, body = iam_actions.access_denied_response(
        service, name, "", str(uuid.uuid4()), error_code=fault["code"], message="a fault on demand", headers=call.headers
    )
    named = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": fault["status"], "headers": named})
    await send({"type": "http.response.body", "body": body})
