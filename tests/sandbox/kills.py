"""Kills the process of a function at a chosen call, before the call takes effect or right after.

Every step of an evaluation and of an alert ends with a call to AWS. So a kill can stop a run
between any two steps. Lambda "may" stop a run at any time. The work is then done again when the
message returns:
https://docs.aws.amazon.com/lambda/latest/dg/concepts-event-driven-architectures.html#event-driven-architectures-idempotency
"""

import os
import signal

from ministack.core import iam_evaluator

from .calls import action
from .cloudtrail import Call

_FIELDS = {"function": str, "action": str, "nth": int, "when": str}


class Kills:
    """Wraps the whole of MiniStack. `workers` returns the processes of functions."""

    def __init__(self, app, workers):
        self.app, self.workers, self.armed = app, workers, []

    def put(self, kills):
        """Replaces the kills. Raises ValueError for an invalid kill."""
        for kill in kills:
            if kill.keys() != _FIELDS.keys() or any(not isinstance(kill[name], t) for name, t in _FIELDS.items()):
                raise ValueError(f"a kill has {', '.join(_FIELDS)}")
            if kill["nth"] < 1 or kill["when"] not in ("before", "after"):
                raise ValueError("nth is 1 or more, when is before or after")
        self.armed = [dict(kill) for kill in kills]

    def get(self, _asked):
        """Returns the kills that have not happened yet."""
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
        """Counts the call. Returns and removes the kill that strikes at it, if any."""
        for kill in self.armed:
            if action(call) == kill["action"] and kill["function"] in _callers(call):
                kill["nth"] -= 1
                if kill["nth"] == 0:
                    self.armed.remove(kill)
                    return kill
        return None


def _callers(call):
    """Returns the names of the calling role and session.

    A function's role has the name of the function, and so have the sessions that it opens in other
    accounts.
    """
    principal = call.principal()
    if isinstance(principal, iam_evaluator.PrincipalInfo) and principal.type == "AssumedRole":
        return principal.arn.split("/")[1:]
    return []


async def _drop(_message):
    """Drops an answer that nobody is left to read."""


async def _no_answer(send):
    await send({"type": "http.response.start", "status": 500, "headers": []})
    await send({"type": "http.response.body", "body": b""})
