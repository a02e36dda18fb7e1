"""EventBridge: events of AWS services, buses of other accounts and regions, and permissions."""

import collections
import json
import logging

from ministack.core import iam_evaluator
from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import get_account_id, request_scope
from ministack.services import eventbridge, sqs

from . import authority

log = logging.getLogger("sandbox.events")


def install():
    deliver = eventbridge._invoke_target

    def invoke_target(target, event, rule, view=None):
        try:
            arn = parse_arn(target.get("Arn", ""))
        except ArnParseError:
            return deliver(target, event, rule, view)
        if arn.service == "events" and arn.resource.startswith("event-bus/"):
            return _send_to_bus(target, arn, event, rule)
        # An SQS queue accepts events if its policy lets EventBridge send for the rule.
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions
        if arn.service == "sqs":
            if not _may_send(target["Arn"], rule):
                log.warning("%s: the policy of the queue or of its key refuses %s", target["Arn"], rule["Arn"])
                return _to_dead_letters(target, event, rule)
        return deliver(target, event, rule, view)

    eventbridge._invoke_target = invoke_target
    eventbridge._put_permission = _put_policy(eventbridge._put_permission)
    # MiniStack stores every event, but nothing reads them. The findings of thousands of buckets
    # would take gigabytes.
    eventbridge._events_log_list = lambda: collections.deque(maxlen=0)


def _put_policy(put_permission):
    """Replaces the bus's policy if a request contains a whole policy.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutPermission.html
    """

    def put(asked):
        if "Policy" not in asked:
            return put_permission(asked)
        eventbridge._event_bus_policies[asked.get("EventBusName", "default")] = json.loads(asked["Policy"])
        return eventbridge.json_response({})

    return put


def _may_send(queue_arn, rule):
    return sqs.queue_policy_allows(queue_arn, "events.amazonaws.com", rule["Arn"], get_account_id())


def _to_dead_letters(target, event, rule):
    """Sends an undeliverable event to the target's dead-letter queue.

    EventBridge does not retry if a permission is missing.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    dead = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not dead or not _may_send(dead, rule):
        return
    told = {"RULE_ARN": rule["Arn"], "TARGET_ARN": target["Arn"], "ERROR_CODE": "NO_PERMISSIONS"}
    attributes = {name: {"DataType": "String", "StringValue": value} for name, value in told.items()}
    body = json.dumps(eventbridge._pattern_event_view(event).event_with_detail())
    url = sqs._queue_url(dead.rpartition(":")[2])
    sqs._act_send_message({"QueueUrl": url, "MessageBody": body, "MessageAttributes": attributes}, url)


def put(account, region, source, detail_type, detail, resources=()):
    """Puts an event of an AWS service onto the default bus of an account and region.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events.html
    """
    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail), "Resources": list(resources)}
    with request_scope(account, region):
        eventbridge._ensure_default_bus()
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _send_to_bus(target, arn, event, rule):
    """Sends an event to another bus with the target's role.

    The policy of a bus in another account must allow it. The event keeps its account, region, id
    and time.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
    """
    bus = arn.resource.removeprefix("event-bus/")
    if why := _refusal(target, arn, bus, rule):
        log.warning("%s takes no event of %s: %s", target["Arn"], get_account_id(), why)
        return _to_dead_letters(target, event, rule)
    with request_scope(arn.account_id, arn.region):
        eventbridge._ensure_default_bus()
        if bus not in eventbridge._event_buses:
            return log.warning("%s does not exist", target["Arn"])
        eventbridge._dispatch_event({**event, "EventBusName": bus, "_DispatchPath": []})


def _refusal(target, arn, bus, rule):
    bus_arn, role_arn = target["Arn"], target.get("RoleArn", "")
    role = authority.role(role_arn)
    if role is None:
        return f"there is no role {role_arn}"
    # "aws:SourceArn" is the rule that sends the event, and "aws:SourceAccount" is its account:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
    source = {"aws_SourceArn": rule["Arn"], "aws_SourceAccount": get_account_id()}
    if not authority.trusts(role_arn, "events.amazonaws.com", **source):
        return f"{role_arn} does not trust events.amazonaws.com"
    if not authority.allows(role, "events:PutEvents", bus_arn):
        return f"{role_arn} may not put events there"
    if arn.account_id == get_account_id():
        return None
    context = iam_evaluator.EvalContext(
        principal_arn=role.arn,
        principal_type=role.type,
        principal_account=role.account,
        action="events:PutEvents",
        resource_arn=bus_arn,
        region=arn.region,
    )
    policy = eventbridge._event_bus_policies.get_scoped(arn.account_id, arn.region, bus)
    if not policy or iam_evaluator.evaluate_resource_policy(policy, context).decision != "Allow":
        authority.refused_role(role, "events:PutEvents", bus_arn)
        return "the bus's policy does not allow it"
    return None
