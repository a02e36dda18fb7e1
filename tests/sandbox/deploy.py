"""Deploys infra/template.yaml and infra/member.yaml as they stand."""

import json
import os
import subprocess
import sys
import time
import uuid

import boto3
from botocore.config import Config

from . import organization

_ARTIFACTS = "cmkwatch-sandbox-artifacts"


def client(service, account, region=organization.HOME):
    """A client that acts as the root of an account."""
    return boto3.client(
        service,
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="sandbox",
        config=Config(retries={"total_max_attempts": 1}),
    )


def deploy(root, folder, settle_delay, sweep_timeout):
    """Security Hub everywhere, the hub's stack, then the members'; the outputs of the hub's stack."""
    for account in organization.ACCOUNTS:
        for region in organization.REGIONS:
            client("securityhub", account, region).enable_security_hub()
    outputs = _deploy_hub(root, folder, settle_delay, sweep_timeout)
    for account in organization.ACCOUNTS:
        for region in organization.REGIONS:
            _deploy_member(root, account, region, outputs)
    return outputs


def _deploy_hub(root, folder, settle_delay, sweep_timeout):
    """As `make deploy` does it: packaged and deployed with the AWS CLI."""
    client("s3", organization.HUB).create_bucket(Bucket=_ARTIFACTS)
    packaged, template = folder / "template.yaml", root / "infra" / "template.yaml"
    _aws("package", "--template-file", template, "--s3-bucket", _ARTIFACTS, "--output-template-file", packaged)
    parameters = {
        "OrganizationId": organization.ID,
        "Architecture": "x86_64",
        "SettleDelaySeconds": settle_delay,
        # A message that fails goes to the dead-letter queue within a minute instead of half an hour.
        "TimeoutSeconds": 10,
        "RetryAfterSeconds": 10,
        "SweepTimeoutSeconds": sweep_timeout,
        "SweepRetryAfterSeconds": sweep_timeout,
    }
    overrides = [f"{name}={value}" for name, value in parameters.items()]
    _aws("deploy", "--template-file", packaged, "--stack-name", "cmkwatch", "--capabilities", "CAPABILITY_NAMED_IAM",
         "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset", "--parameter-overrides", *overrides)  # fmt: skip
    (stack,) = client("cloudformation", organization.HUB).describe_stacks(StackName="cmkwatch")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def _deploy_member(root, account, region, outputs):
    parameters = {
        "HubBusArn": outputs["BusArn"],
        "OrganizationId": organization.ID,
        "HomeRegion": organization.HOME,
    }
    formation = client("cloudformation", account, region)
    formation.create_stack(
        StackName="cmkwatch-member",
        TemplateBody=(root / "infra" / "member.yaml").read_text(),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()],
    )
    formation.get_waiter("stack_create_complete").wait(
        StackName="cmkwatch-member", WaiterConfig={"Delay": 0.2, "MaxAttempts": 150}
    )


def _aws(*arguments):
    """Runs the AWS CLI in the hub account; RuntimeError with its words where it fails."""
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": organization.HUB,
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_DEFAULT_REGION": organization.HOME,
        "AWS_PAGER": "",
    }
    command = [sys.executable, "-m", "awscli", "cloudformation", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"aws cloudformation {arguments[0]}: {done.stdout}{done.stderr}")


def wait_until_handled(outputs, patience=60):
    """Waits until a change made now leads to a finding: makes a bucket, waits for its finding, deletes it."""
    member = organization.MEMBERS[0]
    name = f"sandbox-ready-{uuid.uuid4().hex[:12]}"
    storage, hub = client("s3", member), client("securityhub", member)
    storage.create_bucket(Bucket=name)
    prefix = f"cmkwatch/aws/{member}/{organization.HOME}/{name}/"
    mine = {"Id": [{"Comparison": "PREFIX", "Value": prefix}]}
    for expected in ("ACTIVE", "ARCHIVED"):
        deadline = time.monotonic() + patience
        while {f["RecordState"] for f in hub.get_findings(Filters=mine)["Findings"]} != {expected}:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no finding of {name} became {expected} in {patience} s; {json.dumps(outputs)}")
            time.sleep(0.2)
        if expected == "ACTIVE":
            storage.delete_bucket(Bucket=name)
