"""Deploys the hub's template, without what MiniStack cannot make, and infra/member.yaml."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import boto3
from botocore.config import Config

from infra.deploy import hub

from . import organization

_ARTIFACTS = "cmkwatch-sandbox-artifacts"
_ALERT_WINDOW = 3
# The types of resources that MiniStack cannot make, and the replacement of each. They are removed
# from the packaged template, with the outputs that refer to them. Nothing else is removed.
LEFT_OUT = {
    "AWS::Chatbot::SlackChannelConfiguration": "a queue is subscribed to the topic, as the channel would be",
    "AWS::CloudFormation::StackSet": "each account and region gets infra/member.yaml as a stack of its own",
    "AWS::SecurityHub::Insight": "nothing: insights only group what the Security Hub console shows",
}


def client(service, account, region=organization.HOME):
    """Returns a client that acts as the root of an account."""
    return boto3.client(
        service,
        endpoint_url=os.environ["AWS_ENDPOINT_URL"],
        region_name=region,
        aws_access_key_id=account,
        aws_secret_access_key="sandbox",
        config=Config(retries={"total_max_attempts": 1}),
    )


def parameters(arguments):
    """Returns the parameters of the hub's template that differ from the defaults.

    They keep the tests short.
    """
    return {
        "OrganizationId": organization.ID,
        "Architecture": "x86_64",
        "SettleDelaySeconds": arguments.settle_delay,
        "SecondLookSeconds": arguments.second_look,
        "Generation": int(time.time()),
        # A message that fails reaches the dead-letter queue within a minute instead of half an
        # hour.
        "TimeoutSeconds": arguments.timeout,
        "RetryAfterSeconds": arguments.timeout,
        "SweepTimeoutSeconds": arguments.sweep_timeout,
        "SweepRetryAfterSeconds": arguments.sweep_timeout,
        "AlertWindowSeconds": _ALERT_WINDOW,
        "AlertRetryAfterSeconds": arguments.timeout + _ALERT_WINDOW,
    }


def deploy(root, folder, parameters, settings=None):
    """Deploys cmkwatch.

    Returns the outputs of the hub's stack, and the URL of the subscriber's queue. The order is
    Security Hub everywhere, the hub's stack, the members' stacks, and a subscriber. `settings` is a
    file that is packed instead of infra/cmkwatch.toml.
    """
    for account in organization.ACCOUNTS:
        for region in organization.REGIONS:
            client("securityhub", account, region).enable_security_hub()
    outputs = _deploy_hub(_with_settings(root, settings) if settings else root, folder, parameters)
    for account in organization.ACCOUNTS:
        for region in organization.REGIONS:
            _deploy_member(root, account, region, outputs)
    _deploy_member(root, organization.MANAGEMENT, organization.HOME, outputs, IsManagementAccount="yes")
    return outputs | ({"SubscriberQueueUrl": _subscribe(outputs["TopicArn"])} if "TopicArn" in outputs else {})


def _with_settings(root, settings):
    """Makes a folder with the functions of `root` and with other settings."""
    other = pathlib.Path(tempfile.mkdtemp(prefix="with-settings-"))
    for function in (root / "functions").iterdir():
        packed = other / "target" / "lambda" / function.name
        shutil.copytree(root / "target" / "lambda" / function.name, packed)
        shutil.copy(settings, packed / "cmkwatch.toml")
    return other


def _deploy_hub(root, folder, parameters):
    """Packages and deploys the hub's template with the AWS CLI, as `make deploy` does."""
    client("s3", organization.HUB).create_bucket(Bucket=_ARTIFACTS)
    packaged, template = folder / "template.json", hub.write(root / "target" / "hub.yaml")
    _aws("package", "--template-file", template, "--s3-bucket", _ARTIFACTS, "--output-template-file", packaged,
         "--use-json")  # fmt: skip
    reduced = leave_out(json.loads(packaged.read_text()))
    packaged.write_text(json.dumps(reduced))
    overrides = [f"{name}={value}" for name, value in parameters.items() if name in reduced["Parameters"]]
    _aws("deploy", "--template-file", packaged, "--s3-bucket", _ARTIFACTS, "--stack-name", "cmkwatch",
         "--capabilities", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND", "--no-fail-on-empty-changeset",
         "--parameter-overrides", *overrides)  # fmt: skip
    (stack,) = client("cloudformation", organization.HUB).describe_stacks(StackName="cmkwatch")["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def leave_out(template):
    """Returns the template without the resources of LEFT_OUT and the outputs that refer to them.

    Metadata that refers to them, and so orders the deployment, is left out too. Raises ValueError
    if a resource that is kept refers to one that is not.
    """
    gone = {name for name, resource in template["Resources"].items() if resource["Type"] in LEFT_OUT}
    kept = {name: dict(resource) for name, resource in template["Resources"].items() if name not in gone}
    for name, resource in kept.items():
        if _referred(resource.get("Metadata")) & gone:
            del resource["Metadata"]
        if missed := _referred(resource) & gone:
            raise ValueError(f"{name} refers to {', '.join(sorted(missed))}, which the sandbox cannot make")
    outputs = {name: output for name, output in template.get("Outputs", {}).items() if not _referred(output) & gone}
    return {**template, "Resources": kept, "Outputs": outputs}


def _referred(part):
    """Returns the logical ids to which a part of a template refers."""
    if isinstance(part, list):
        return set().union(*map(_referred, part))
    if not isinstance(part, dict):
        return set()
    named = set()
    for name, value in part.items():
        if name in ("Ref", "DependsOn", "Fn::GetAtt"):
            whole = value[0] if name == "Fn::GetAtt" and isinstance(value, list) else value
            named |= {one.split(".")[0] for one in (whole if isinstance(whole, list) else [whole])}
        elif name == "Fn::Sub":
            text = value[0] if isinstance(value, list) else value
            named |= {one.split(".")[0] for one in re.findall(r"\$\{([^!}][^}]*)\}", text)}
        named |= _referred(value)
    return named


def _subscribe(topic):
    """Makes a queue in the hub account that the topic sends to, and returns its URL.

    https://docs.aws.amazon.com/sns/latest/dg/subscribe-sqs-queue-to-sns-topic.html
    """
    queues = client("sqs", organization.HUB)
    url = queues.create_queue(QueueName="cmkwatch-sandbox-subscriber")["QueueUrl"]
    arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    by, source = {"Service": "sns.amazonaws.com"}, {"ArnEquals": {"aws:SourceArn": topic}}
    let = {"Effect": "Allow", "Principal": by, "Action": "sqs:SendMessage", "Resource": arn, "Condition": source}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [let]})
    queues.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    client("sns", organization.HUB).subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


def _deploy_member(root, account, region, outputs, **more):
    parameters = {
        "HubBusArn": outputs["BusArn"],
        "OrganizationId": organization.ID,
        "HomeRegion": organization.HOME,
        **more,
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
    """Runs the AWS CLI in the hub account. Raises RuntimeError with its output if it fails."""
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
    """Waits until changes lead to findings: makes a bucket, awaits its finding, deletes it."""
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
    if "SubscriberQueueUrl" in outputs:
        _forget_alerts(outputs, patience)


def _forget_alerts(outputs, patience):
    """Waits until all alerts about the bucket are sent, and deletes the received ones."""
    queues, deadline = client("sqs", organization.HUB), time.monotonic() + patience
    counted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    waiting = {"QueueUrl": outputs["AlertsQueueUrl"], "AttributeNames": counted}
    while any(int(count) for count in queues.get_queue_attributes(**waiting)["Attributes"].values()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"the function cmkwatch-alert did not handle its messages in {patience} s")
        time.sleep(0.2)
    subscriber = outputs["SubscriberQueueUrl"]
    while told := queues.receive_message(QueueUrl=subscriber, MaxNumberOfMessages=10).get("Messages"):
        for message in told:
            queues.delete_message(QueueUrl=subscriber, ReceiptHandle=message["ReceiptHandle"])
