"""EventBridge Scheduler: fires a schedule on demand, with its role.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
"""

import json

from ministack.core.responses import request_scope
from ministack.services import lambda_svc, scheduler

from . import authority, functions


def install():
    """Turns the clock off: MiniStack would fire schedules without checking permissions."""
    scheduler._tick_schedules = lambda: None


def fire(asked):
    """Fires the schedule of a name at once, and reports if its target was invoked.

    Raises LookupError if the schedule does not exist.
    """
    for (account, region, _), schedule in list(scheduler._schedules._data.items()):
        if schedule["Name"] == asked["name"]:
            with request_scope(account, region):
                return {"invoked": _fire(schedule, account)}
    raise LookupError(f"there is no schedule {asked['name']}")


def _fire(schedule, account):
    target = schedule["Target"]
    why = _refusal(schedule, target, account)
    if why is None:
        function, _, _ = lambda_svc._get_func_record_for_ref(target["Arn"])
        lambda_svc.invoke_async_with_retry(function, json.loads(target.get("Input") or "{}"))
        return True
    # "EventBridge Scheduler delivers a dead-letter event" with the same role:
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
    told = {"ERROR_CODE": why[0], "ERROR_MESSAGE": why[1], "SCHEDULE_ARN": schedule["Arn"], "TARGET_ARN": target["Arn"]}
    dead = (target.get("DeadLetterConfig") or {}).get("Arn")
    if dead:
        functions.send_as_role(target["RoleArn"], dead, target.get("Input") or "{}", told)
    return False


def _refusal(schedule, target, account):
    """Returns why the target cannot be invoked, as (code, message), or `None` if it can."""
    # "aws:SourceArn" is the ARN of the schedule's group:
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    group = schedule["Arn"].replace(":schedule/", ":schedule-group/").rpartition("/")[0]
    source = {"aws_SourceAccount": account, "aws_SourceArn": group}
    if not authority.trusts(target["RoleArn"], "scheduler.amazonaws.com", **source):
        return "AccessDeniedException", f"{target['RoleArn']} does not trust scheduler.amazonaws.com"
    if not authority.allows(authority.role(target["RoleArn"]), "lambda:InvokeFunction", target["Arn"]):
        return "AccessDeniedException", f"{target['RoleArn']} may not invoke {target['Arn']}"
    if not lambda_svc._get_func_record_for_ref(target["Arn"])[0]:
        return "ResourceNotFoundException", f"there is no function {target['Arn']}"
    return None
