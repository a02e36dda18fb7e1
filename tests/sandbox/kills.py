"""A process of a function that dies at a chosen call, before the call takes effect or right after it did.

Every step of an evaluation and of an alert ends with a call to AWS, so this stops a run between any two steps. Lambda
"may" stop a run at any time, and what it was doing is done again when the message comes back:
https://docs.aws.amazon.com/lambda/latest/dg/concepts-event-driven-architectures.html#event-driven-architectures-idempotency
"""

import os
import signal

from ministack.core import iam_evaluator

from .calls import action
from .cloudtrail import Call

_FIELDS = {"function": str, "action": str, "nth": int, "when": str}


class Kills:
    """Around the whole of MiniStack; `workers` lists the processes of functions."""

    def __init__(self, app, workers):
        self.app, self.workers, self.armed = app, workers, []

    def put(self, kills):
        """Takes these instead of those that were there; ValueError for what is none."""
        for kill in kills:
            if kill.keys() != _FIELDS.keys() or any(not isinstance(kill[name], t) for name, t in _FIELDS.items()):
                raise ValueError(f"a kill has {', '.join(_FIELDS)}")
            if kill["nth"] < 1 or kill["when"] not in ("before", "after"):
                raise ValueError("nth is 1 or more, when is before or after")
        self.armed = [dict(kill) for kill in kills]

    def get(self, _asked):
        """Those that have not killed yet."""
        return self.armed

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or not self.armed:
            return await self.app(scope, receive, send)
        call, more = Call(scope), True
        while more:
            message = await receive()
            call.request += message.get("body", b"")
            more = message.get("more_body", False)
        whole = [{"type": "http.request", "body": call.request, "more_body": False}]

        async def receive_again():
            return whole.pop() if whole else await receive()

        kill = self._next(call)
        if kill is None:
            return await self.app(scope, receive_again, send)
        if kill["when"] == "after":
            await self.app(scope, receive_again, _drop)
        for worker in self.workers():
            if worker["function"] == kill["function"] and worker["busy"]:
                os.kill(worker["pid"], signal.SIGKILL)
        await _no_answer(send)

    def _next(self, call):
        """The kill that strikes at this call, and then no more."""
        for kill in self.armed:
            if action(call) == kill["action"] and kill["function"] in _callers(call):
                kill["nth"] -= 1
                if kill["nth"] == 0:
                    self.armed.remove(kill)
                    return kill
        return None


def _callers(call):
    """The names of the role and the session that call: a function's own role, and the sessions that it opens in other
    accounts, have its name."""
    principal = call.principal()
    if isinstance(principal, iam_evaluator.PrincipalInfo) and principal.type == "AssumedRole":
        return principal.arn.split("/")[1:]
    return []


async def _drop(_message):
    """Nobody is left to read it."""


async def _no_answer(send):
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b""})
