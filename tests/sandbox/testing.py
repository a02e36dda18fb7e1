"""What the tests share: a sandbox that is served, with nothing deployed in it, and roles to ask it with."""

import asyncio
import atexit
import functools
import json
import pathlib
import socket
import tempfile
import threading
import unittest
import urllib.request
import uuid

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
    """What unittest calls first. Serves the sandbox until the process ends: MiniStack can be loaded but once."""
    server.prepare(PORT, pathlib.Path(tempfile.mkdtemp(prefix="sandbox-")))
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    serving = server.serve(server.load(), PORT, stop)
    thread = threading.Thread(target=loop.run_until_complete, args=[serving], daemon=True)
    thread.start()
    atexit.register(thread.join)
    atexit.register(loop.call_soon_threadsafe, stop.set)
    while thread.is_alive():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", PORT)) == 0:
                return


def ask(method, path, body=None):
    """One of the sandbox's own endpoints."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}/_sandbox/{path}", data=data, method=method)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def statement(principal, action, resource="*", effect="Allow", **condition):
    made = {"Effect": effect, "Principal": principal, "Action": action, "Resource": resource}
    return made | ({"Condition": condition} if condition else {})


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


class AsRole(unittest.TestCase):
    def role(self, account, *actions):
        """A role of the account that may do so much."""
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
            # What is wrong is for the service to refuse.
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )

    def deny(self, action):
        denied = {"Effect": "Deny", "Action": action, "Resource": "*"}
        self.iam.put_role_policy(RoleName=self.name, PolicyName="denied", PolicyDocument=policy(denied))
