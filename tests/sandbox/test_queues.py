"""Tests functions behind FIFO queues, as a sweep needs them.

The template is like infra/template.yaml. The function is a Python script that uses Lambda's runtime
API.
"""

import json
import os
import pathlib
import signal
import sys
import tempfile
import unittest
import uuid

from sandbox import deploy
from sandbox.testing import HUB, AsRole, ask, setUpModule, stack, upload_function

__all__ = ["setUpModule"]

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="sandbox-runs-"))
# A message is {"name", "seconds"}. The function writes each start and end of a run to a file of
# that name.
BOOTSTRAP = f"""#!{sys.executable}
import json, os, pathlib, time, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as got:
        run, event = got.headers["Lambda-Runtime-Aws-Request-Id"], json.load(got)
    failed = []
    for record in event.get("Records", []):
        asked = json.loads(record["body"])
        with pathlib.Path({str(FOLDER)!r}, asked["name"]).open("a") as log:
            print("start", os.getpid(), time.time(), file=log, flush=True)
            time.sleep(asked["seconds"])
            if asked.get("dies"):
                os.kill(os.getpid(), 9)
            print("end", os.getpid(), time.time(), file=log, flush=True)
        if asked.get("fails"):
            failed.append({{"itemIdentifier": record["messageId"]}})
    answer = json.dumps({{"batchItemFailures": failed, "echo": event.get("echo")}}).encode()
    urllib.request.urlopen(urllib.request.Request(api + run + "/response", data=answer)).read()
"""
TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Sweep:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: sweep.fifo
      FifoQueue: true
      VisibilityTimeout: 3
      RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}
  Dead:
    Type: AWS::SQS::Queue
    Properties: {QueueName: sweep-dead.fifo, FifoQueue: true}
  NotStarted:
    Type: AWS::SQS::Queue
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: [lambda.amazonaws.com, scheduler.amazonaws.com]},
                     Action: sts:AssumeRole}]
      Policies:
        - PolicyName: take
          PolicyDocument:
            Statement: [{Effect: Allow, Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes],
                         Resource: !GetAtt Sweep.Arn}]
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: sweep-worker
      CodeUri: {Bucket: sweep-code, Key: code.zip}
      Runtime: provided.al2023
      Handler: bootstrap
      Timeout: 3
      Role: !GetAtt Role.Arn
      Events:
        Sweep:
          Type: SQS
          Properties:
            Queue: !GetAtt Sweep.Arn
            BatchSize: 1
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {MaximumConcurrency: 3}
  Schedule:
    Type: AWS::Scheduler::Schedule
    Properties:
      Name: sweep-daily
      ScheduleExpression: rate(1 day)
      FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 15}
      State: DISABLED
      Target:
        Arn: !GetAtt Worker.Arn
        RoleArn: !GetAtt Role.Arn
        Input: '{"x": 1}'
        RetryPolicy: {MaximumRetryAttempts: 3, MaximumEventAgeInSeconds: 3600}
        DeadLetterConfig: {Arn: !GetAtt NotStarted.Arn}
Outputs:
  Queue: {Value: !Ref Sweep}
  Dead: {Value: !Ref Dead}
"""


class Fifo(AsRole):
    @classmethod
    def setUpClass(cls):
        upload_function("sweep-code", BOOTSTRAP)
        cls.outputs, cls.sqs = stack("sweep", TEMPLATE), deploy.client("sqs", HUB)

    def send(self, group, name, seconds=0.0, **more):
        body = json.dumps({"name": name, "seconds": seconds, **more})
        queue, once = self.outputs["Queue"], {"MessageGroupId": group, "MessageDeduplicationId": name}
        self.sqs.send_message(QueueUrl=queue, MessageBody=body, **once)

    def runs(self, name):
        """Returns the log of the runs for a message, as (start or end, process, time)."""
        log = FOLDER / name
        lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        return [(what, int(process), float(when)) for what, process, when in lines]

    def whole(self, name):
        """Returns the run for a message as (start, end), once it is over."""
        runs = self.wait(lambda: len(self.runs(name)) > 1 and self.runs(name))
        self.assertEqual([what for what, _, _ in runs], ["start", "end"])
        return runs[0][2], runs[1][2]

    def test_messages_of_a_group_run_one_by_one_and_groups_run_in_parallel_up_to_the_limit(self):
        for number in range(2):
            for group in "ABCD":
                self.send(group, f"beside-{group}{number}", 1.0)
        spans = {f"{group}{number}": self.whole(f"beside-{group}{number}") for group in "ABCD" for number in range(2)}
        for group in "ABCD":
            self.assertLess(spans[f"{group}0"][1], spans[f"{group}1"][0], "a group is in order")
        at_once = [sum(low <= moment < high for low, high in spans.values()) for moment, _ in spans.values()]
        self.assertEqual(max(at_once), 3)

    def test_a_message_whose_process_was_killed_is_retried_and_delays_only_its_group(self):
        self.send("K", "killed", 2.5)
        ((_, process, killed_at),) = self.wait(lambda: self.runs("killed"))
        self.assertIn({"function": "sweep-worker", "pid": process, "busy": True}, ask("GET", "workers"))
        self.send("K", "after-killed")
        self.send("L", "other-than-killed")
        os.kill(process, signal.SIGKILL)
        other = self.whole("other-than-killed")
        again = self.wait(lambda: self.runs("killed")[1:])[0]
        self.assertNotEqual(again[1], process)
        self.assertGreater(again[2] - killed_at, 2.9, "after the visibility timeout")
        self.assertLess(other[0], again[2])
        after = self.whole("after-killed")
        self.assertGreater(after[0], self.runs("killed")[-1][2])

    def test_a_message_that_fails_too_often_becomes_a_dead_letter_and_frees_its_group(self):
        for group, name, how in (("F", "failing", {"fails": True}), ("G", "dying", {"dies": True})):
            self.send(group, name, **how)
            self.send(group, f"after-{name}")
        dead = self.outputs["Dead"]
        gone = set()
        while not gone >= {("F", "failing"), ("G", "dying")}:
            told = self.wait(lambda: self.sqs.receive_message(QueueUrl=dead, AttributeNames=["All"]).get("Messages"))
            gone |= {(one["Attributes"]["MessageGroupId"], json.loads(one["Body"])["name"]) for one in told}
        for name in ("failing", "dying"):
            self.assertEqual([what for what, _, _ in self.runs(name)].count("start"), 2)
            self.whole(f"after-{name}")

    def test_a_message_that_runs_too_long_is_retried(self):
        self.send("T", "slow", 3.5)
        self.wait(lambda: len(self.runs("slow")) == 2)
        self.assertEqual([what for what, _, _ in self.runs("slow")], ["start", "start"])

    def test_a_repeated_message_runs_once(self):
        for _ in range(2):
            self.send("S", "same")
        self.whole("same")

    def test_the_permission_to_send_a_message_covers_batches(self):
        queue = self.sqs.create_queue(QueueName=f"{uuid.uuid4()}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        once = {"Id": "1", "MessageBody": "x", "MessageGroupId": "g", "MessageDeduplicationId": "1"}
        sender, nobody = (self.role(HUB, *actions).client("sqs") for actions in (["sqs:SendMessage"], []))
        self.assertEqual(len(sender.send_message_batch(QueueUrl=queue, Entries=[once])["Successful"]), 1)
        self.refused("AccessDenied", nobody.send_message_batch, QueueUrl=queue, Entries=[once])

    def test_a_function_can_be_invoked_directly(self):
        functions = deploy.client("lambda", HUB)
        answer = functions.invoke(FunctionName="sweep-worker", Payload=json.dumps({"echo": 7}))
        self.assertEqual((answer["StatusCode"], json.load(answer["Payload"])["echo"]), (200, 7))
        self.assertEqual(functions.invoke(FunctionName="sweep-worker", InvocationType="Event")["StatusCode"], 202)

    def test_a_schedule_has_the_properties_of_the_template(self):
        schedule = deploy.client("scheduler", HUB).get_schedule(Name="sweep-daily")
        self.assertEqual((schedule["ScheduleExpression"], schedule["State"]), ("rate(1 day)", "DISABLED"))
        self.assertEqual(schedule["FlexibleTimeWindow"], {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 15})
        self.assertEqual(schedule["Target"]["RetryPolicy"]["MaximumRetryAttempts"], 3)
        self.assertIn("NotStarted", schedule["Target"]["DeadLetterConfig"]["Arn"])


if __name__ == "__main__":
    unittest.main()
