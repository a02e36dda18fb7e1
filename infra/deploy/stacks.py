"""The stacks: package, upload, deploy, remove."""

import hashlib
import subprocess
import sys
import time

import boto3
from botocore.exceptions import ClientError, WaiterError

from . import hub
from .asked import INFRA, Refused, hub_parameters, member_parameters, regions

HUB, MEMBER = "cmkwatch", "cmkwatch-member"
# CloudFormation itself waits as long for the stacks of a StackSet: "timeoutInMinutes": 2160 in the
# schema of
# https://github.com/aws-cloudformation/aws-cloudformation-resource-providers-cloudformation
PATIENCE = {"Delay": 30, "MaxAttempts": 2160 * 2}
IN_PROGRESS = {
    "CREATE_IN_PROGRESS": "stack_create_complete",
    "UPDATE_IN_PROGRESS": "stack_update_complete",
    "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS": "stack_update_complete",
}


# The states in which a stack exists but cannot be updated. In every other state it can be.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
STUCK = {
    "ROLLBACK_COMPLETE": "its creation failed, so delete the stack first",
    "ROLLBACK_FAILED": "its creation failed, so delete the stack first",
    "CREATE_FAILED": "its creation failed, so delete the stack first",
    "DELETE_FAILED": "its removal failed, so delete the rest of it first",
    "UPDATE_ROLLBACK_FAILED": "its rollback failed, so run aws cloudformation continue-update-rollback first",
}


def deploy_hub(asked):
    """Packages and deploys the template of the hub's stack.

    Prints the outputs, and the accounts and regions where the StackSet is not current.
    """
    region, bucket = asked["REGION"], asked["ARTIFACTS"]
    parameters = hub_parameters(asked, standing_parameters(HUB, region))
    target = INFRA.parent / "target"
    packaged = package(hub.write(target / "hub.yaml"), target / "packaged.yaml", bucket, region)
    parameters["MemberTemplateUrl"] = upload_member(bucket, region)
    parameters["Generation"] = int(time.time())
    deploy_stack(region, packaged, HUB, parameters, ["--s3-bucket", bucket, "--s3-prefix", HUB, *_role_of(asked)])
    for name, value in outputs(HUB, region).items():
        print(f"{name}: {value}")
    if missing := not_current(region):
        print("The StackSet cmkwatch-member is not current in these accounts and regions:", *missing, sep="\n  ")


def _role_of(asked):
    """Returns the option for the role that CloudFormation uses, if there is one.

    The session of that role does not end with the caller's.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
    """
    return ["--role-arn", asked["ROLE_ARN"]] if asked.get("ROLE_ARN") else []


def package(template, packaged, bucket, region):
    """Uploads the functions' code. Writes a copy of the template that names it, and returns its path."""
    aws(region, "package", "--template-file", template, "--s3-bucket", bucket, "--s3-prefix", HUB,
         "--output-template-file", packaged)  # fmt: skip
    return packaged


def upload_member(bucket, region):
    """Uploads infra/member.yaml, and returns its URL.

    `package` uploads the templates of nested stacks, but not those of StackSets. The name changes
    with the content. Otherwise CloudFormation would see no change.
    """
    storage, text = client("s3", region), (INFRA / "member.yaml").read_bytes()
    key = f"{HUB}/member-{hashlib.sha256(text).hexdigest()[:32]}.yaml"
    storage.put_object(Bucket=bucket, Key=key, Body=text)
    return url_of(storage, region, bucket, key)


def url_of(storage, region, bucket, key):
    """Returns the URL at which CloudFormation finds an uploaded object."""
    suffix = "amazonaws.com.cn" if storage.meta.partition == "aws-cn" else "amazonaws.com"
    return f"https://s3.{region}.{suffix}/{bucket}/{key}"


def deploy_management(asked):
    """Deploys infra/member.yaml in each region, in the account of the credentials."""
    parameters, all_regions = member_parameters(asked)
    for region in all_regions:
        deploy_stack(region, INFRA / "member.yaml", MEMBER, parameters, _role_of(asked))


def deploy_stack(region, template, stack, parameters, more):
    """Makes or updates a stack, and waits until that is done.

    The AWS CLI waits for an hour, but a StackSet for many accounts takes longer.

    Raises Refused if the stack cannot be updated now. So the deployment that is waited for is
    always the requested one.
    """
    refuse_unless_free(stack, region)
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    try:
        aws(region, "deploy", "--template-file", template, "--stack-name", stack, "--no-fail-on-empty-changeset",
             "--capabilities", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND", *more,
             "--parameter-overrides", *overrides)  # fmt: skip
    except Refused:
        formation = client("cloudformation", region)
        waiter = IN_PROGRESS.get(status_of(stack, formation))
        if waiter is None:
            raise
        print(f"CloudFormation still makes the stack {stack} in {region}. Ctrl-C ends the wait, not the operation.")
        _wait(formation, waiter, stack, region)


def refuse_unless_free(stack, region):
    """Raises Refused if an operation on the stack is running or must come first."""
    status = status_of(stack, client("cloudformation", region)) or "REVIEW_IN_PROGRESS"
    if status in STUCK:
        raise Refused(f"the stack {stack} in {region} is {status}: {STUCK[status]}")
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise Refused(f"the stack {stack} in {region} is {status}: wait until this operation ends")


def undeploy_hub(asked):
    """Removes the hub's stack, and with it the StackSet and its stacks in all accounts."""
    if not asked.get("REGION"):
        raise Refused("REGION is missing: set it to the region of the hub's stack")
    try:
        _remove(HUB, asked["REGION"], asked.get("ROLE_ARN"))
    except Refused as error:
        left = not_current(asked["REGION"], every=True)
        words = [str(error), *(["the StackSet cmkwatch-member still has stacks in:"] if left else []), *left]
        raise Refused("\n  ".join(words)) from error
    print("These remain: uploads in the bucket of ARTIFACTS, findings until they expire, and the KMS key for 7 days.")


def undeploy_management(asked):
    """Removes the stacks of infra/member.yaml from the account of the credentials."""
    if not regions(asked):
        raise Refused("REGIONS is missing: set it to the regions of the stacks, with commas between them")
    for region in regions(asked):
        _remove(MEMBER, region, asked.get("ROLE_ARN"))


def _remove(stack, region, role_arn):
    formation = client("cloudformation", region)
    if status_of(stack, formation) is None:
        print(f"There is no stack {stack} in {region}, so nothing is removed.")
        return
    print(f"Removing the stack {stack} in {region}. This takes hours if there are many accounts.")
    formation.delete_stack(StackName=stack, **({"RoleARN": role_arn} if role_arn else {}))
    _wait(formation, "stack_delete_complete", stack, region)


def _wait(formation, waiter, stack, region):
    try:
        formation.get_waiter(waiter).wait(StackName=stack, WaiterConfig=PATIENCE)
    except WaiterError as error:
        what = f"the stack {stack} in {region} is {status_of(stack, formation)}: {error}"
        raise Refused(f"{what}. The events of the stack contain the reason") from error


def outputs(stack, region):
    """Returns the outputs of a stack, by name."""
    (found,) = client("cloudformation", region).describe_stacks(StackName=stack)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def standing_parameters(stack, region):
    """Returns the parameters of a stack, empty if the stack does not exist.

    Raises Refused if the stack cannot be updated now.
    """
    refuse_unless_free(stack, region)
    found = described(stack, client("cloudformation", region))
    return {one["ParameterKey"]: one["ParameterValue"] for one in (found or {}).get("Parameters", [])}


def not_current(region, every=False):
    """Returns the accounts and regions where the StackSet is not current, one line for each.

    Returns all accounts and regions of the StackSet if `every` is true.
    """
    pages = client("cloudformation", region).get_paginator("list_stack_instances")
    try:
        found = [
            one for page in pages.paginate(StackSetName=MEMBER, CallAs="DELEGATED_ADMIN") for one in page["Summaries"]
        ]
    except ClientError as error:
        if error.response["Error"]["Code"] == "StackSetNotFoundException":
            return []
        # The result of the deployment or removal must be reported in spite of this error.
        return [f"unknown, because cloudformation:ListStackInstances failed: {error}"]
    listed = [one for one in found if every or one.get("Status") != "CURRENT"]
    return sorted(f"{one['Account']} {one['Region']} {one.get('Status')} {one.get('StatusReason', '')}" for one in listed)


def described(stack, formation):
    try:
        (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
        return found
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        return None


def status_of(stack, formation):
    return (described(stack, formation) or {}).get("StackStatus")


def client(service, region):
    return boto3.client(service, region_name=region)


def aws(region, *arguments):
    """Runs the AWS CLI, which prints its own output. Raises Refused if it fails."""
    command = [sys.executable, "-m", "awscli", "cloudformation", *map(str, arguments), "--region", region]
    if subprocess.run(command).returncode:
        raise Refused(f"aws cloudformation {arguments[0]} in {region} failed: the reason is in the output above")
