"""CloudFormation, where MiniStack is stricter than AWS."""

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks


def install():
    _patch_conditions()
    provisioners._RESOURCE_HANDLERS["AWS::Events::EventBusPolicy"] = {
        "create": lambda _logical_id, properties, _stack: _put_bus_policy(properties),
        "update": lambda _physical_id, _old, properties, _stack: _put_bus_policy(properties),
        "delete": _remove_bus_policy,
    }


def _patch_conditions():
    """Conditions may refer to pseudo parameters.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/conditions-section-structure.html
    """
    evaluate = engine._evaluate_conditions

    def evaluate_conditions(template, parameters):
        pseudo = {"AWS::Region": get_region(), "AWS::AccountId": get_account_id(), "AWS::Partition": "aws"}
        known = {name: {"Value": value} for name, value in pseudo.items()}
        return evaluate(template, {**parameters, **known})

    for module in (engine, changesets, handlers, stacks):
        module._evaluate_conditions = evaluate_conditions


def _put_bus_policy(properties):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-eventbuspolicy.html"""
    bus, statement_id = properties.get("EventBusName") or "default", properties["StatementId"]
    if bus not in eventbridge._event_buses:
        raise ValueError(f"Event bus {bus} does not exist.")
    policy = eventbridge._event_bus_policies.setdefault(bus, {"Version": "2012-10-17", "Statement": []})
    others = [statement for statement in policy["Statement"] if statement.get("Sid") != statement_id]
    policy["Statement"] = [*others, {**properties["Statement"], "Sid": statement_id}]
    return f"{bus}|{statement_id}", {}


def _remove_bus_policy(physical_id, _properties):
    bus, statement_id = physical_id.split("|", 1)
    eventbridge._remove_permission({"EventBusName": bus, "StatementId": statement_id})
