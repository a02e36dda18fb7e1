"""What a test asks of the sandbox itself, under `/_sandbox/`; none of it is a call that counts.

`GET /_sandbox/calls`       how many calls of each kind were made, by account, region and IAM action
`GET /_sandbox/workers`     the running processes of functions: [{function, pid, busy}]
`PUT /_sandbox/faults`      [{account, region, action, code, status, times}]: the next `times` calls of roles, or all for
                            -1, get this error; it replaces the faults that were there
`PUT /_sandbox/kills`       [{function, action, nth, when}]: at the nth call of an action by a function, in any account,
                            its busy processes are killed, `before` the call takes effect or `after` it did
`GET /_sandbox/kills`       those that have not killed yet
`GET /_sandbox/denied`      what was refused to roles, and to services of AWS that acted in their own name:
                            [{principal, account, action, resource, count}]
`PUT /_sandbox/denied`      null forgets it
`PUT /_sandbox/schedule`    {name}: the schedule fires now; answers {invoked}
`PUT /_sandbox/delete-key`  {key}: the key is gone, as if its waiting period had passed
`PUT /_sandbox/delete-finding`
                            {id}: the finding is lost
`PUT /_sandbox/organization`
                            {account, change, event}: the account does `join`, `leave` or `close`, without an event if
                            that is false
`PUT /_sandbox/lag`         {get_findings, home_region, batch_update_findings, settings, index}: seconds from now on;
                            what is not named stays as it is; answers all
`PUT /_sandbox/disorder`    {seed, drop, duplicate, shuffle}: what becomes of CloudTrail's events from now on: how many of
                            1 are lost and come twice, and by how many seconds each is late at most
"""

import json

from ministack.core import lambda_runtime

from . import authority, cloudtrail, disorder, lag, organization, schedules
from .securityhub import findings


class Endpoints:
    """Around everything else."""

    def __init__(self, app, calls, faults, kills):
        self.app, self.calls, self.faults, self.kills = app, calls, faults, kills
        self.handlers = {
            ("GET", "/_sandbox/calls"): lambda _asked: self.calls.counts,
            ("GET", "/_sandbox/workers"): lambda _asked: workers(),
            ("PUT", "/_sandbox/faults"): self.faults.put,
            ("GET", "/_sandbox/kills"): self.kills.get,
            ("PUT", "/_sandbox/kills"): self.kills.put,
            ("GET", "/_sandbox/denied"): lambda _asked: authority.denied(),
            ("PUT", "/_sandbox/denied"): authority.forget,
            ("PUT", "/_sandbox/schedule"): schedules.fire,
            ("PUT", "/_sandbox/delete-key"): lambda asked: cloudtrail.delete_key(asked["key"]),
            ("PUT", "/_sandbox/delete-finding"): findings.delete,
            ("PUT", "/_sandbox/organization"): organization.change,
            ("PUT", "/_sandbox/lag"): lag.put,
            ("PUT", "/_sandbox/disorder"): disorder.put_disorder,
        }

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or not scope["path"].startswith("/_sandbox/"):
            return await self.app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        status, answer = self._answer((scope["method"], scope["path"]), body)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer, sort_keys=True).encode()})

    def _answer(self, asked, body):
        if asked not in self.handlers:
            return 404, {"error": f"there is no {asked[0]} {asked[1]}"}
        try:
            return 200, self.handlers[asked](json.loads(body or b"null"))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            return 400, {"error": str(error)}


def workers():
    """The functions' processes, each with whether it runs for somebody just now."""
    return [
        {"function": worker.func_name, "pid": process.pid, "busy": worker.in_use}
        for entries in list(lambda_runtime._workers.values())
        for worker in list(entries)
        if (process := worker._proc) is not None and process.poll() is None
    ]
