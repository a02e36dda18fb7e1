"""What `make deploy` and its like do, but for the build: check what was asked for, and make or remove the stacks.

What is asked for comes in environment variables, which the Makefile exports: no shell looks into the values. What a
parameter may be says the template alone; here it is only read before the build, which takes minutes, and not after it.
"""

import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys

import boto3
from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

INFRA = pathlib.Path(__file__).parent
HUB, MEMBER = "cmkwatch", "cmkwatch-member"
# The variable of `make` that a parameter has of its own; all others are given in PARAMETERS.
OWN = {"OrganizationId": "ORGANIZATION_ID", "Targets": "TARGETS", "Regions": "REGIONS", "Architecture": "ARCH"}
MEMBERS_OWN = {"HubBusArn": "BUS_ARN", "OrganizationId": "ORGANIZATION_ID", "HomeRegion": "HOME_REGION"}
# A message must not come again while it is being handled: Lambda refuses it, but only when the stack is half made.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
NOT_BEFORE = {
    "RetryAfterSeconds": "TimeoutSeconds",
    "AlertRetryAfterSeconds": "TimeoutSeconds",
    "SweepRetryAfterSeconds": "SweepTimeoutSeconds",
}


class Refused(Exception):
    """What was asked for is not understood, or cannot be done; its words say what is wanted."""


def hub_parameters(asked):
    """The parameters of infra/template.yaml; Refused names all that are wrong."""
    given = {name: asked.get(variable, "") for name, variable in OWN.items()}
    faults = [f"{variable} is missing" for variable in ("ARTIFACTS", "REGION") if not asked.get(variable)]
    if not given["Targets"]:
        faults.append("TARGETS is missing: the organizational units (ou-...), or the root (r-...), that are watched")
    try:
        words = shlex.split(asked.get("PARAMETERS", ""))
    except ValueError as error:
        words, faults = [], [*faults, f"PARAMETERS is not understood: {error}"]
    for word in words:
        name, is_set, value = word.partition("=")
        if not is_set:
            faults.append(f"PARAMETERS holds `{word}`, but wanted is Name=value")
        elif name in OWN:
            faults.append(f"{name} is given by {OWN[name]}=, not in PARAMETERS")
        elif name == "MemberTemplateUrl":
            faults.append("MemberTemplateUrl is not to be given: infra/member.yaml is uploaded")
        else:
            given[name] = value
    faults += _faults("template.yaml", given, OWN)
    if given["Regions"] and asked.get("REGION") not in given["Regions"].split(","):
        faults.append(f"REGIONS is `{given['Regions']}`, but must contain REGION, `{asked.get('REGION')}`")
    if bool(given.get("SlackWorkspaceId")) != bool(given.get("SlackChannelId")):
        faults.append("SlackWorkspaceId and SlackChannelId are given both, or neither")
    return _unless(faults, given)


def member_parameters(asked):
    """The parameters of infra/member.yaml and the regions, the home region first; Refused names all that are wrong."""
    given = {name: asked.get(variable, "") for name, variable in MEMBERS_OWN.items()}
    faults = list(_faults("member.yaml", given, MEMBERS_OWN))
    home, regions = given["HomeRegion"], [region for region in asked.get("REGIONS", "").split(",") if region]
    if not faults and given["HubBusArn"].split(":")[3] != home:
        faults.append(f"HOME_REGION is `{home}`, but the bus of BUS_ARN is in `{given['HubBusArn'].split(':')[3]}`")
    if home and home not in regions:
        faults.append(f"REGIONS is `{','.join(regions)}`, but must contain HOME_REGION, `{home}`")
    return _unless(faults, (given, sorted(set(regions), key=lambda region: (region != home, region))))


def _faults(template, given, variables):
    declared = yaml_parse((INFRA / template).read_text())["Parameters"]
    for name, value in given.items():
        called = variables.get(name, name)
        if name not in declared:
            yield f"infra/{template} has no parameter {name}"
        elif not value and "Default" not in declared[name]:
            yield f"{called} is missing: {declared[name]['Description']}"
        elif value and not _fits(value, declared[name]):
            yield f"{called} is `{value}`, wanted: {declared[name]['ConstraintDescription']}"
    for name, other in NOT_BEFORE.items():
        if {name, other} & given.keys():
            late, early = (given.get(each) or declared[each]["Default"] for each in (name, other))
            if str(late).isdecimal() and str(early).isdecimal() and int(late) < int(early):
                yield f"{name} is {late}, but must not be less than {other}, {early}"


def _fits(value, declared):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html"""
    if declared["Type"] == "Number":
        if not re.fullmatch(r"[0-9]{1,9}", value):
            return False
        if not declared.get("MinValue", 0) <= int(value) <= declared.get("MaxValue", int(value)):
            return False
    if "AllowedValues" in declared and value not in map(str, declared["AllowedValues"]):
        return False
    each = value.split(",") if declared["Type"] == "CommaDelimitedList" else [value]
    return all(one and re.fullmatch(declared.get("AllowedPattern", ".*"), one) for one in each)


def _unless(faults, result):
    if faults:
        raise Refused("\n".join(faults))
    return result


def check_hub(asked):
    """Refused where the stack of the hub could not be deployed, for its parameters, credentials or bucket."""
    hub_parameters(asked)
    bucket, region = asked["ARTIFACTS"], asked["REGION"]
    try:
        found = _client("s3", region).head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"the bucket `{bucket}` of ARTIFACTS cannot be used with these credentials: {error}") from error
    # Lambda takes code from a bucket of its own region only.
    there = found["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
    if there != region:
        raise Refused(f"the bucket `{bucket}` of ARTIFACTS is in {there}, but wanted is one in REGION, {region}")


def deploy_hub(asked):
    """Packages and deploys infra/template.yaml, and says what it put out."""
    parameters, region, bucket = hub_parameters(asked), asked["REGION"], asked["ARTIFACTS"]
    packaged = INFRA.parent / "target" / "template.yaml"
    _aws(region, "package", "--template-file", INFRA / "template.yaml", "--s3-bucket", bucket, "--s3-prefix", HUB,
         "--output-template-file", packaged)  # fmt: skip
    parameters["MemberTemplateUrl"] = _upload_member(bucket, region)
    _deploy(region, packaged, HUB, parameters, ["--s3-bucket", bucket, "--s3-prefix", HUB])
    for output in _client("cloudformation", region).describe_stacks(StackName=HUB)["Stacks"][0]["Outputs"]:
        print(f"{output['OutputKey']}: {output['OutputValue']}")


def _upload_member(bucket, region):
    """`package` uploads the templates of nested stacks, not those of StackSets. The name changes with what is in it, or
    CloudFormation would see no change."""
    storage, text = _client("s3", region), (INFRA / "member.yaml").read_bytes()
    key = f"{HUB}/member-{hashlib.sha256(text).hexdigest()[:32]}.yaml"
    storage.put_object(Bucket=bucket, Key=key, Body=text)
    suffix = "amazonaws.com.cn" if storage.meta.partition == "aws-cn" else "amazonaws.com"
    return f"https://s3.{region}.{suffix}/{bucket}/{key}"


def deploy_management(asked):
    """Deploys infra/member.yaml in the account of the credentials, in each region."""
    parameters, regions = member_parameters(asked)
    for region in regions:
        _deploy(region, INFRA / "member.yaml", MEMBER, parameters, [])


def _deploy(region, template, stack, parameters, more):
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    _aws(region, "deploy", "--template-file", template, "--stack-name", stack, "--no-fail-on-empty-changeset",
         "--capabilities", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND", *more,
         "--parameter-overrides", *overrides)  # fmt: skip


def undeploy_hub(asked):
    """Removes the hub's stack, and with it the StackSet and its stacks in all accounts."""
    _remove(HUB, [asked["REGION"]])
    print("What stays: uploads in the bucket of ARTIFACTS, and findings, which expire by themselves.")


def undeploy_management(asked):
    """Removes the stacks of infra/member.yaml from the account of the credentials."""
    _remove(MEMBER, [region for region in asked["REGIONS"].split(",") if region])


def _remove(stack, regions):
    for region in regions:
        formation = _client("cloudformation", region)
        try:
            formation.describe_stacks(StackName=stack)
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            print(f"There is no stack {stack} in {region}: nothing to remove.")
            continue
        print(f"Removing the stack {stack} in {region}; this may take some minutes.")
        formation.delete_stack(StackName=stack)
        try:
            formation.get_waiter("stack_delete_complete").wait(StackName=stack)
        except WaiterError as error:
            raise Refused(f"the stack {stack} in {region} could not be removed; its events say why: {error}") from error


def _client(service, region):
    return boto3.client(service, region_name=region)


def _aws(region, *arguments):
    """The AWS CLI, with what it prints; Refused where it fails, since it has said why."""
    command = [sys.executable, "-m", "awscli", "cloudformation", *map(str, arguments), "--region", region]
    if subprocess.run(command).returncode:
        raise Refused(f"aws cloudformation {arguments[0]} in {region} failed, see above")


ACTIONS = {
    "check": check_hub,
    "deploy": deploy_hub,
    "deploy-management": deploy_management,
    "undeploy": undeploy_hub,
    "undeploy-management": undeploy_management,
}

if __name__ == "__main__":
    try:
        ACTIONS[sys.argv[1]](os.environ)
    except (Refused, BotoCoreError, ClientError) as error:
        sys.exit(str(error))
