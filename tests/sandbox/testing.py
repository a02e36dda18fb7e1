"""Code that the tests share: a running sandbox without a deployment, and roles to call it with."""

import asyncio
import atexit
import functools
import io
import json
import pathlib
import socket
import tempfile
import threading
import time
import unittest
import urllib.request
import uuid
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from . import deploy, organization, server

PORT = server.free_port()
HUB = organization.HUB
MEMBER, OTHER, THIRD = organization.MEMBERS
HOME, LINKED = organization.REGIONS


@functools.cache
def setUpModule():
    """Starts the sandbox, which runs until the process ends. unittest calls this function first.

    A process can load MiniStack only once.
    """
    server.prepare(PORT, pathlib.Path(tempfile.mkdtemp(prefix="sandbox-")))
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    serving = server.serve(server.load(), PORT, stop)
    thread = threading.Thread(target=loop.run_until_complete, args=[serving], daemon=True)
    thread.start()
    atexit.register(server.clean_up)
    atexit.register(thread.join)
    atexit.register(loop.call_soon_threadsafe, stop.set)
    while thread.is_alive():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                return


def ask(method, path, body=None):
    """Calls one of the sandbox's own endpoints."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/_sandbox/{path}", data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def statement(principal, action, resource="*", effect="Allow", **condition):
    made = {"Effect": effect, "Principal": principal, "Action": action, "Resource": resource}
    return made | ({"Condition": condition} if condition else {})


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def stack(name, template, **parameters):
    """Makes a stack in the hub's account and home region, and returns its outputs."""
    formation = deploy.client("cloudformation", HUB)
    formation.create_stack(
        StackName=name,
        TemplateBody=template,
        Capabilities=["CAPABILITY_AUTO_EXPAND", "CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    formation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})
    (made,) = formation.describe_stacks(StackName=name)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in made.get("Outputs", [])}


def upload_function(bucket, script):
    """Puts a function that is one script, code.zip, into a new bucket of the hub's account."""
    code, info = io.BytesIO(), zipfile.ZipInfo("bootstrap")
    info.external_attr = 0o755 << 16
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr(info, script)
    storage = deploy.client("s3", HUB)
    storage.create_bucket(Bucket=bucket)
    storage.put_object(Bucket=bucket, Key="code.zip", Body=code.getvalue())


class Records:
    """CloudTrail's records of KMS, as they arrive on the default bus of an account and region."""

    def __init__(self, test, account, region):
        self.sqs, rules = (deploy.client(service, account, region) for service in ("sqs", "events"))
        name = f"records-{uuid.uuid4()}"
        self.queue = {"QueueUrl": self.sqs.create_queue(QueueName=name)["QueueUrl"]}
        arn = self.sqs.get_queue_attributes(**self.queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = statement({"Service": "events.amazonaws.com"}, "sqs:SendMessage", arn)
        self.sqs.set_queue_attributes(**self.queue, Attributes={"Policy": policy(allowed)})
        rules.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.kms"]}))
        rules.put_targets(Rule=name, Targets=[{"Id": "records", "Arn": arn}])
        test.addCleanup(rules.remove_targets, Rule=name, Ids=["records"])

    def take(self):
        """Returns the events since the call before, as (detail-type, detail)."""
        found = self.sqs.receive_message(**self.queue, MaxNumberOfMessages=10).get("Messages", [])
        events = [json.loads(message["Body"]) for message in found]
        return [(event["detail-type"], event["detail"]) for event in events]


class AsRole(unittest.TestCase):
    def wait(self, what, patience=20):
        deadline = time.monotonic() + patience
        while not (value := what()):
            self.assertLess(time.monotonic(), deadline, "in vain")
            time.sleep(0.02)
        return value

    def role(self, account, *actions):
        """Makes a role of the account that may perform the actions."""
        name, iam = f"role-{uuid.uuid4()}", deploy.client("iam", account)
        trust = policy({"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"})
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        if actions:
            allowed = policy({"Effect": "Allow", "Action": actions, "Resource": "*"})
            iam.put_role_policy(RoleName=name, PolicyName="allowed", PolicyDocument=allowed)
        assumed = deploy.client("sts", account).assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        session = boto3.Session(assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"])
        return Role(name, iam, session)

    def refused(self, code, call, **arguments):
        with self.assertRaises(ClientError) as caught:
            call(**arguments)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)


class Role:
    def __init__(self, name, iam, session):
        self.name, self.iam, self.session = name, iam, session

    def client(self, service, region=HOME):
        return self.session.client(
            service,
            endpoint_url=f"http://127.0.0.1:{PORT}",
            region_name=region,
            # The service refuses wrong parameters, not the client.
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )

    def deny(self, action):
        denied = {"Effect": "Deny", "Action": action, "Resource": "*"}
        self.iam.put_role_policy(RoleName=self.name, PolicyName="denied", PolicyDocument=policy(denied))


class Keys(AsRole):
    """Code for tests of KMS keys, which the root of their account makes."""

    def setUp(self):
        self.owner = deploy.client("kms", MEMBER)
        self.there = deploy.client("kms", MEMBER, LINKED)

    def make(self, *statements, **how):
        """Makes a key with the default policy, or with the statements as its policy."""
        put = {"Policy": policy(*statements)} if statements else {}
        return self.owner.create_key(**put, **how)["KeyMetadata"]["Arn"]

    def metadata(self, key, kms=None):
        return (kms or self.owner).describe_key(KeyId=key)["KeyMetadata"]

    def state(self, key, kms=None):
        return self.metadata(key, kms)["KeyState"]

    def actor(self, account, *actions):
        """Makes a role that may perform the actions. Returns its ARN and its client of KMS."""
        role = self.role(account, *actions)
        return f"arn:aws:iam::{account}:role/{role.name}", role.client("kms")

    def refuses_alias(self, call, key, **more):
        alias = f"alias/{uuid.uuid4()}"
        self.owner.create_alias(AliasName=alias, TargetKeyId=key)
        self.refused("NotFoundException", call, KeyId=alias, **more)
