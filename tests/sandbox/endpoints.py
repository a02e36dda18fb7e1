"""The sandbox's own endpoints, under `/_sandbox/`. Their requests do not count as calls.

- `GET /_sandbox/calls` returns the number of calls, by account, region and IAM action.
- `GET /_sandbox/workers` returns the running processes of functions: [{function, pid, busy}].
- `PUT /_sandbox/faults` takes [{account, region, action, code, status, times}]. The next `times`
  calls of roles get this error, or all calls if `times` is -1. The faults before are replaced.
- `PUT /_sandbox/kills` takes [{function, action, nth, when}]. At the nth call of an action by a
  function, in any account, its busy processes are killed. They die `before` or `after` the call
  takes effect.
- `GET /_sandbox/kills` returns the kills that have not happened yet.
- `GET /_sandbox/denied` returns the refusals to roles, and to AWS services that acted in their own
  name: [{principal, account, action, resource, count}].
- `PUT /_sandbox/denied` takes null, and clears that list.
- `PUT /_sandbox/schedule` takes {name}, and fires the schedule now. It answers {invoked}.
- `PUT /_sandbox/delete-key` takes {key}, and deletes the key as if its waiting period had passed.
- `PUT /_sandbox/share-key` takes {key, policy}. The policy is the text of the key's policy
  `AWS_RAM`, or null if the key is not shared any more.
- `PUT /_sandbox/key-dates` takes {key, created, valid_to, rotations}, of which all but the key can
  be absent. It sets the dates as if time had passed, in seconds since 1970. `valid_to` is the end
  of imported material, or null if it does not expire. `rotations` is a list of [seconds, type], and
  a type is `AUTOMATIC` or `ON_DEMAND`.
- `PUT /_sandbox/delete-finding` takes {id}, and loses the finding.
- `PUT /_sandbox/organization` takes {account, change, event}. The change of the account is `join`,
  `leave` or `close`. There is no event if `event` is false.
- `PUT /_sandbox/lag` takes {get_findings, home_region, batch_update_findings, settings, index}, in
  seconds. Lags that are not named stay as they are. It answers all lags.
- `PUT /_sandbox/disorder` takes {seed, drop, duplicate, shuffle}, for CloudTrail's events from now
  on. `drop` and `duplicate` are the fractions that are lost and repeated. `shuffle` is the longest
  delay in seconds.
"""

import json

from ministack.core import lambda_runtime

from . import authority, disorder, lag, material, organization, replicas, schedules, sharing
from .securityhub import findings


class Endpoints:
    """Wraps everything else, and answers the requests to `/_sandbox/`."""

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
            ("PUT", "/_sandbox/delete-key"): lambda asked: replicas.delete_key(asked["key"]),
            ("PUT", "/_sandbox/share-key"): sharing.put,
            ("PUT", "/_sandbox/key-dates"): material.put_dates,
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
    """Returns the processes of functions. `busy` says if a process handles an invocation now."""
    return [
        {"function": worker.func_name, "pid": process.pid, "busy": worker.in_use}
        for entries in list(lambda_runtime._workers.values())
        for worker in list(entries)
        if (process := worker._proc) is not None and process.poll() is None
    ]
