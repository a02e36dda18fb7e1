"""EventBridge: events of AWS services, buses of other accounts and regions, and who may deliver where."""

import collections
import json
import logging

from ministack.core import iam_evaluator
from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge, iam, sqs

log = logging.getLogger("sandbox.events")


def install():
    deliver = eventbridge._invoke_target

    def invoke_target(target, event, rule, view=None):
        try:
            arn = parse_arn(target.get("Arn", ""))
        except ArnParseError:
            return deliver(target, event, rule, view)
        if arn.service == "events" and arn.resource.startswith("event-bus/"):
            if (arn.account_id, arn.region) != (get_account_id(), get_region()):
                return _send_to_bus(target, arn, event)
        # An SQS queue takes events where its policy lets EventBridge send for the rule.
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html#eb-sqs-permissions
        if arn.service == "sqs":
            if not sqs.queue_policy_allows(target["Arn"], "events.amazonaws.com", rule["Arn"], get_account_id()):
                return log.warning("%s: the queue's policy refuses %s", target["Arn"], rule["Arn"])
        return deliver(target, event, rule, view)

    eventbridge._invoke_target = invoke_target
    # MiniStack keeps every event for nobody to read; with the findings of thousands of buckets, that is gigabytes.
    eventbridge._events_log_list = lambda: collections.deque(maxlen=0)


def put(account, region, source, detail_type, detail, resources=()):
    """Puts an event of an AWS service onto the default bus of an account and region, where services put theirs.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events.html
    """
    entry = {"Source": source, "DetailType": detail_type, "Detail": json.dumps(detail), "Resources": list(resources)}
    with request_scope(account, region):
        eventbridge._ensure_default_bus()
        eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _send_to_bus(target, arn, event):
    """An event goes to a bus of another account or region by the target's role, if the bus's policy lets it.

    The event keeps its account, region, id and time.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-account.html
    """
    bus = arn.resource.removeprefix("event-bus/")
    if why := _refusal(target["Arn"], arn, bus, target.get("RoleArn", "")):
        return log.warning("%s takes no event of %s: %s", target["Arn"], get_account_id(), why)
    with request_scope(arn.account_id, arn.region):
        eventbridge._ensure_default_bus()
        if bus not in eventbridge._event_buses:
            return log.warning("%s does not exist", target["Arn"])
        eventbridge._dispatch_event({**event, "EventBusName": bus, "_DispatchPath": []})


def _refusal(bus_arn, arn, bus, role_arn):
    try:
        role_at = parse_arn(role_arn)
    except ArnParseError:
        return "the target has no role"
    name = role_at.resource.rsplit("/", 1)[-1]
    role = iam._roles.get_scoped(role_at.account_id, None, name)
    if role is None:
        return f"there is no role {role_arn}"
    if not _trusts_events(role["AssumeRolePolicyDocument"]):
        return f"{role_arn} does not trust events.amazonaws.com"
    context = iam_evaluator.EvalContext(
        principal_arn=f"arn:aws:sts::{role_at.account_id}:assumed-role/{name}/events",
        principal_type="AssumedRole",
        principal_account=role_at.account_id,
        action="events:PutEvents",
        resource_arn=bus_arn,
        region=arn.region,
        service_context={},
    )
    policies = iam_evaluator._gather_role_policies(name, role_at.account_id)
    if iam_evaluator.evaluate(context, policies).decision != "Allow":
        return f"{role_arn} may not put events there"
    policy = eventbridge._event_bus_policies.get_scoped(arn.account_id, arn.region, bus)
    if not policy or iam_evaluator.evaluate_resource_policy(policy, context).decision != "Allow":
        return "the bus's policy does not allow it"
    return None


def _trusts_events(document):
    """True where some statement lets EventBridge assume the role, its conditions on the source met: the source is a rule
    of the role's own account."""
    document = json.loads(document) if isinstance(document, str) else document
    statements = document.get("Statement", [])
    for statement in [statements] if isinstance(statements, dict) else statements:
        services = (statement.get("Principal") or {}).get("Service", [])
        services = [services] if isinstance(services, str) else services
        wanted = (statement.get("Condition") or {}).get("StringEquals", {}).get("aws:SourceAccount", get_account_id())
        if statement.get("Effect") == "Allow" and "events.amazonaws.com" in services and wanted == get_account_id():
            return True
    return False
