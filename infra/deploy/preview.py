"""A preview of a deployment: a change set that is made, read and deleted."""

import hashlib
import pathlib
import tempfile
import time

from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from botocore.exceptions import ClientError, WaiterError

from . import hub
from .asked import INFRA, Refused, hub_parameters
from .stacks import HUB, client, described, package, standing_parameters, status_of, upload_member, url_of


def preview_hub(asked):
    """Prints the changes that CloudFormation would make, and makes none of them.

    Raises Refused if CloudFormation would refuse the deployment. The functions are not built yet,
    so the code of each function appears as a change.
    """
    region, bucket = asked["REGION"], asked["ARTIFACTS"]
    parameters = hub_parameters(asked, standing_parameters(HUB, region))
    parameters |= {"MemberTemplateUrl": upload_member(bucket, region), "Generation": str(int(time.time()))}
    with tempfile.TemporaryDirectory() as folder:
        packaged = package_without_code(pathlib.Path(folder), bucket, region)
        changes = preview_stack(region, packaged, HUB, parameters, bucket, asked.get("ROLE_ARN"))
    print(f"CloudFormation would make {len(changes)} changes to the stack {HUB} in {region}:", *changes, sep="\n  ")


def package_without_code(folder, bucket, region):
    """Packages the hub's template with a placeholder for each function. Returns its path."""
    for function in (INFRA.parent / "functions").iterdir():
        code = folder / "target" / "lambda" / function.name
        code.mkdir(parents=True)
        (code / "bootstrap").write_text("not built yet")
    template = hub.write(folder / "infra" / "hub.yaml")
    return package(template, folder / "packaged.yaml", bucket, region)


def preview_stack(region, template, stack, parameters, bucket, role_arn=None):
    """Returns the changes that CloudFormation would make, one line for each.

    Raises Refused with CloudFormation's reason if the stack would be refused.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets.html
    """
    formation, storage = client("cloudformation", region), client("s3", region)
    status = status_of(stack, formation)
    is_new = status in (None, "REVIEW_IN_PROGRESS")
    text = template.read_bytes()
    key = f"{HUB}/preview-{hashlib.sha256(text).hexdigest()[:32]}.yaml"
    storage.put_object(Bucket=bucket, Key=key, Body=text)
    name = {"StackName": stack, "ChangeSetName": f"preview-{int(time.time())}"}
    asked = name | dict(
        ChangeSetType="CREATE" if is_new else "UPDATE",
        TemplateURL=url_of(storage, region, bucket, key),
        Parameters=_parameters(parameters, yaml_parse(text.decode()), described(stack, formation) or {}),
        Capabilities=["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        **({"RoleARN": role_arn} if role_arn else {}),
    )
    try:
        formation.create_change_set(**asked)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ValidationError":
            raise
        raise Refused(f"CloudFormation refuses the stack {stack}: {error.response['Error']['Message']}") from error
    try:
        return _changes(formation, name)
    finally:
        _throw_away(formation, name, status is None)


def _throw_away(formation, name, is_new):
    """Deletes a change set, and the empty stack that CloudFormation made for it if it was new."""
    if not is_new:
        return formation.delete_change_set(**name)
    formation.delete_stack(StackName=name["StackName"])
    waiter = formation.get_waiter("stack_delete_complete")
    return waiter.wait(StackName=name["StackName"], WaiterConfig={"Delay": 3, "MaxAttempts": 200})


def _parameters(given, template, stack):
    """Returns the given parameters, and keeps the other parameters of the stack as they are.

    A parameter that is not passed would get its default.
    """
    known = {one["ParameterKey"] for one in stack.get("Parameters", [])} & template["Parameters"].keys()
    return [
        *({"ParameterKey": name, "ParameterValue": str(value)} for name, value in given.items()),
        *({"ParameterKey": name, "UsePreviousValue": True} for name in sorted(known - given.keys())),
    ]


def _changes(formation, name):
    waiter = formation.get_waiter("change_set_create_complete")
    try:
        waiter.wait(**name, WaiterConfig={"Delay": 3, "MaxAttempts": 200})
    except WaiterError as error:
        why = formation.describe_change_set(**name).get("StatusReason", str(error))
        # CloudFormation has no error code for a change set without changes.
        if "didn't contain changes" in why or "No updates are to be performed" in why:
            return []
        raise Refused(f"CloudFormation refuses the stack {name['StackName']}: {why}") from error
    pages = formation.get_paginator("describe_change_set").paginate(**name)
    changes = [one["ResourceChange"] for page in pages for one in page.get("Changes", []) if "ResourceChange" in one]
    return [_line(change) for change in sorted(changes, key=lambda change: change["LogicalResourceId"])]


def _line(change):
    replaced = {"True": ", replaced", "Conditional": ", replaced in some cases"}.get(change.get("Replacement"), "")
    return f"{change['Action']} {change['LogicalResourceId']} ({change['ResourceType']}{replaced})"
