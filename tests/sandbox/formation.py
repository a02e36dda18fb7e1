"""Corrects CloudFormation where MiniStack is stricter than AWS, or ignores properties."""

from ministack.core.responses import get_account_id, get_region
from ministack.services import eventbridge, lambda_svc, sns
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks

from . import tables


def install():
    _patch_conditions()
    _patch_rules()
    _patch_resources()
    provisioners._RESOURCE_HANDLERS["AWS::Events::EventBusPolicy"] = {
        "create": lambda _logical_id, properties, _stack: _put_bus_policy(properties),
        "update": lambda _physical_id, _old, properties, _stack: _put_bus_policy(properties),
        "delete": _remove_bus_policy,
    }


def _patch_conditions():
    """Lets conditions refer to pseudo parameters.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/conditions-section-structure.html
    """
    evaluate = engine._evaluate_conditions

    def evaluate_conditions(template, parameters):
        pseudo = {"AWS::Region": get_region(), "AWS::AccountId": get_account_id(), "AWS::Partition": "aws"}
        known = {name: {"Value": value} for name, value in pseudo.items()}
        return evaluate(template, {**parameters, **known})

    for module in (engine, changesets, handlers, stacks):
        module._evaluate_conditions = evaluate_conditions


def _patch_rules():
    """Gives an empty list one member in rules too: the empty string.

    "The total number of strings should be one more than the total number of commas":
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
    """
    value_of = engine._rule_param_value

    def rule_param_value(*parameter):
        value = value_of(*parameter)
        return [""] if value == [] else value

    engine._rule_param_value = rule_param_value


def _patch_resources():
    """Applies properties of resources that MiniStack ignores."""
    _also("AWS::DynamoDB::Table", tables.set_key)
    _also("AWS::SNS::Topic", _key_of_topic)
    _also("AWS::Lambda::Function", _dead_letters_of_function)


def _also(kind, put):
    """Creates and updates resources of a type as before, and then applies further properties."""
    made_by = provisioners._RESOURCE_HANDLERS[kind]
    create, update = made_by["create"], made_by["update"]

    def create_too(logical_id, properties, stack):
        made = create(logical_id, properties, stack)
        put(made[0], properties)
        return made

    def update_too(physical_id, old, properties, *more, **named):
        made = update(physical_id, old, properties, *more, **named)
        put(made[0], properties)
        return made

    made_by["create"], made_by["update"] = create_too, update_too


def _key_of_topic(arn, properties):
    """Sets or removes the key of a topic.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sns-topic.html
    """
    attributes = sns._topics[arn]["attributes"]
    attributes.pop("KmsMasterKeyId", None)
    if key := properties.get("KmsMasterKeyId"):
        attributes["KmsMasterKeyId"] = key


def _dead_letters_of_function(name, properties):
    """Sets or removes the dead-letter queue of a function.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html
    """
    config = lambda_svc._functions[name]["config"]
    config.pop("DeadLetterConfig", None)
    if queue := properties.get("DeadLetterConfig"):
        config["DeadLetterConfig"] = queue


def _put_bus_policy(properties):
    """Adds a statement to the policy of a bus, or replaces the statement with the same id.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-events-eventbuspolicy.html
    """
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
