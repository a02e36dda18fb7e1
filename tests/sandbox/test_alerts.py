"""Tests the path of an alert: Security Hub's event, rule, queue, function, topic and subscribers.

The queue's messages are gathered. The function here is a Python script that logs the time of each
run, and the number and size of its messages.
"""

import json
import pathlib
import sys
import tempfile
import time
import unittest
import uuid

from sandbox import deploy
from sandbox.testing import HOME, HUB, LINKED, MEMBER, AsRole, policy, setUpModule, stack, statement, upload_function

__all__ = ["setUpModule"]

WITHOUT_TLS = ("x-sandbox-without-tls", "true")
FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="sandbox-batches-"))
# A message is {"fails"}, or {"answer"} with the answer for the whole batch. A line of the file is a
# run.
BOOTSTRAP = f"""#!{sys.executable}
import json, os, pathlib, time, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as got:
        run, event = got.headers["Lambda-Runtime-Aws-Request-Id"], got.read()
    records = json.loads(event)["Records"]
    with pathlib.Path({str(FOLDER)!r}, "runs").open("a") as log:
        print(json.dumps([time.time(), len(records), len(event)]), file=log, flush=True)
    failed = [{{"itemIdentifier": r["messageId"]}} for r in records if "fails" in json.loads(r["body"])]
    answer = json.dumps({{"batchItemFailures": failed}})
    for record in records:
        answer = json.loads(record["body"]).get("answer", answer)
    answer = answer.encode()
    urllib.request.urlopen(urllib.request.Request(api + run + "/response", data=answer)).read()
"""
WINDOW = 2
TEMPLATE = f"""
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Queue:
    Type: AWS::SQS::Queue
    Properties:
      VisibilityTimeout: 3
      RedrivePolicy: {{deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}}
  Dead:
    Type: AWS::SQS::Queue
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{{Effect: Allow, Principal: {{Service: lambda.amazonaws.com}}, Action: sts:AssumeRole}}]
      Policies:
        - PolicyName: take
          PolicyDocument:
            Statement: [{{Effect: Allow, Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes],
                          Resource: !GetAtt Queue.Arn}}]
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: batches-worker
      CodeUri: {{Bucket: batches-code, Key: code.zip}}
      Runtime: provided.al2023
      Handler: bootstrap
      Timeout: 3
      Role: !GetAtt Role.Arn
      Events:
        Queue:
          Type: SQS
          Properties:
            Queue: !GetAtt Queue.Arn
            BatchSize: 20
            MaximumBatchingWindowInSeconds: {WINDOW}
            FunctionResponseTypes: [ReportBatchItemFailures]
            ScalingConfig: {{MaximumConcurrency: 2}}
Outputs:
  Queue: {{Value: !Ref Queue}}
  Dead: {{Value: !Ref Dead}}
"""


class Batches(AsRole):
    @classmethod
    def setUpClass(cls):
        upload_function("batches-code", BOOTSTRAP)
        cls.outputs, cls.sqs = stack("batches", TEMPLATE), deploy.client("sqs", HUB)

    def send(self, *bodies):
        for start in range(0, len(bodies), 5):
            entries = [
                {"Id": str(at), "MessageBody": json.dumps(body)} for at, body in enumerate(bodies[start : start + 5])
            ]
            self.sqs.send_message_batch(QueueUrl=self.outputs["Queue"], Entries=entries)

    def runs(self):
        log = FOLDER / "runs"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def new_runs(self, count):
        """Waits for this many further runs, and returns them. More runs are an error."""
        runs = self.wait(lambda: len(self.runs()) >= self.before + count and self.runs())
        self.assertEqual(len(runs), self.before + count)
        return runs[self.before :]

    def setUp(self):
        self.before, self.began = len(self.runs()), time.time()

    def test_messages_are_gathered_for_the_window_after_the_first(self):
        self.send({})
        time.sleep(WINDOW / 2)
        self.send({}, {})
        ((when, count, _),) = self.new_runs(1)
        self.assertEqual(count, 3)
        self.assertGreater(when - self.began, WINDOW)
        self.assertLess(when - self.began, WINDOW + 2)

    def test_a_full_batch_does_not_wait(self):
        self.send(*[{}] * 25)
        (full, rest) = self.new_runs(2)
        self.assertEqual((full[1], rest[1]), (20, 5))
        self.assertLess(full[0] - self.began, WINDOW)
        self.assertGreater(rest[0] - self.began, WINDOW)

    def test_a_batch_holds_up_to_6_mb(self):
        self.send(*[{"much": "x" * 200_000}] * 5)
        for _ in range(3):
            self.send(*[{"much": "x" * 1_000_000}])
        for _ in range(4):
            self.send(*[{"much": "y" * 1_000_000}])
        (full, rest) = self.new_runs(2)
        self.assertEqual(full[1] + rest[1], 12)
        self.assertGreater(full[2], 5_000_000)
        self.assertLess(full[2], 6 * 1024 * 1024)
        self.assertLess(full[0] - self.began, WINDOW)

    def test_a_failed_message_is_retried_alone_and_then_becomes_a_dead_letter(self):
        self.send({}, {"fails": 1}, {})
        self.assertEqual([count for _, count, _ in self.new_runs(2)], [3, 1])
        dead = {"QueueUrl": self.outputs["Dead"], "MaxNumberOfMessages": 10}
        told = self.wait(lambda: self.sqs.receive_message(**dead).get("Messages"))
        self.assertEqual([json.loads(message["Body"]) for message in told], [{"fails": 1}])

    def test_an_answer_that_names_no_message_of_the_batch_fails_all_messages(self):
        self.send({}, {"answer": json.dumps({"batchItemFailures": [{"itemIdentifier": "another"}]})})
        self.assertEqual([count for _, count, _ in self.new_runs(2)], [2, 2])
        dead, told = {"QueueUrl": self.outputs["Dead"], "MaxNumberOfMessages": 10}, []

        def both():
            told.extend(self.sqs.receive_message(**dead).get("Messages", []))
            return len(told) == 2

        self.wait(both)

    def test_answers_are_valid_as_lambda_documents(self):
        from sandbox.queues import _is_understood

        for answer, expected in (
            ({"batchItemFailures": [{"itemIdentifier": "a"}]}, True),
            ('{"batchItemFailures": [{"itemIdentifier": "a"}, {"itemIdentifier": "b"}]}', True),
            ({"batchItemFailures": []}, True),
            ({"batchItemFailures": None}, True),
            ({}, True),
            (None, True),
            ("", True),
            ({"batchItemFailures": [{"itemIdentifier": ""}]}, False),
            ({"batchItemFailures": [{"itemIdentifier": None}]}, False),
            ({"batchItemFailures": [{"id": "a"}]}, False),
            ({"batchItemFailures": [{"itemIdentifier": "c"}]}, False),
            ("{", False),
        ):
            with self.subTest(answer):
                self.assertEqual(_is_understood(answer, {"a", "b"}), expected)


PATTERN = {
    "source": ["aws.securityhub"],
    "detail-type": ["Security Hub Findings - Imported"],
    "detail": {
        "findings": {
            "GeneratorId": [{"prefix": "cmkwatch/"}],
            "$or": [
                {
                    "ProductFields": {"cmkwatch/transition": ["opened", "worsened"]},
                    "RecordState": ["ACTIVE"],
                    "Workflow": {"Status": ["NEW"]},
                },
                {"ProductFields": {"cmkwatch/transition": ["resolved"]}, "RecordState": ["ACTIVE"]},
                {"ProductFields": {"cmkwatch/transition": ["gone"]}},
            ],
        }
    },
}


class Findings(AsRole):
    def finding(self, transition="opened", generator="cmkwatch/tls-only", **more):
        now = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}.{time.time_ns() % 10**9:09d}Z"
        return {
            "SchemaVersion": "2018-10-08",
            "Id": f"alerts/{uuid.uuid4()}",
            "ProductArn": f"arn:aws:securityhub:{LINKED}:{MEMBER}:product/{MEMBER}/default",
            "GeneratorId": generator,
            "AwsAccountId": MEMBER,
            "CreatedAt": now,
            "UpdatedAt": now,
            "Title": "a title",
            "Description": "a description",
            "Types": ["Software and Configuration Checks/x"],
            "Severity": {"Label": "HIGH"},
            "Resources": [{"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::b"}],
            "ProductFields": {"cmkwatch/transition": transition},
            **more,
        }

    def listen(self, pattern):
        """Makes a queue for events of the hub's home region, and returns its reader."""
        name, sqs, events = f"findings-{uuid.uuid4()}", deploy.client("sqs", HUB), deploy.client("events", HUB)
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rule = events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
        let = statement({"Service": "events.amazonaws.com"}, "sqs:SendMessage", arn, ArnEquals={"aws:SourceArn": rule})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(let)})
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])
        self.addCleanup(events.remove_targets, Rule=name, Ids=["queue"])
        return lambda: sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])

    def test_a_rule_selects_findings_by_alternative_conditions(self):
        heard = self.listen(PATTERN)
        hub = deploy.client("securityhub", MEMBER, LINKED)
        hub.enable_security_hub()
        told = [
            ("opened", True, self.finding()),
            ("worsened", True, self.finding("worsened")),
            ("resolved, whatever its workflow", True, self.finding("resolved", Workflow={"Status": "RESOLVED"})),
            ("opened, but taken up", False, self.finding(Workflow={"Status": "NOTIFIED"})),
            ("unchanged", False, self.finding("unchanged")),
            ("archived", False, self.finding(RecordState="ARCHIVED")),
            ("gone", True, self.finding("gone", RecordState="ARCHIVED")),
            ("another's", False, self.finding(generator="other/tls-only")),
        ]
        hub.batch_import_findings(Findings=[finding for _, _, finding in told])
        got = {json.loads(message["Body"])["detail"]["findings"][0]["Id"] for message in heard()}
        for why, expected, finding in told:
            with self.subTest(why):
                self.assertEqual(finding["Id"] in got, expected)

    def test_findings_of_an_array_are_matched_one_by_one(self):
        one, other = self.finding(generator="other/x"), self.finding("unchanged")
        event = {"id": "1", "source": "aws.securityhub", "account": HUB, "region": HOME, "time": one["CreatedAt"]}
        event |= {"detail-type": "Security Hub Findings - Imported", "resources": []}
        events = deploy.client("events", HUB)
        for findings, expected in (([one, other], False), ([one, self.finding(RecordState="ACTIVE")], True)):
            for finding in findings:
                finding |= {"RecordState": "ACTIVE", "Workflow": {"Status": "NEW"}}
            whole = json.dumps({**event, "detail": {"findings": findings}})
            matched = events.test_event_pattern(EventPattern=json.dumps(PATTERN), Event=whole)["Result"]
            self.assertEqual(matched, expected)

    def test_security_hub_adds_the_region_and_the_name_of_the_account(self):
        heard, finding = self.listen({"source": ["aws.securityhub"]}), self.finding()
        hub = deploy.client("securityhub", MEMBER, LINKED)
        hub.enable_security_hub()
        hub.batch_import_findings(Findings=[finding])
        (told,) = [json.loads(message["Body"])["detail"]["findings"][0] for message in heard()]
        self.assertEqual((told["Region"], told["AwsAccountName"], told["AwsAccountId"]), (LINKED, "account 2", MEMBER))
        self.assertEqual((told["ProductName"], told["CompanyName"]), ("Default", "Personal"))
        self.assertEqual((told["Workflow"], told["RecordState"]), ({"Status": "NEW"}, "ACTIVE"))


class Topics(AsRole):
    def setUp(self):
        self.sns, self.sqs = deploy.client("sns", HUB), deploy.client("sqs", HUB)
        self.topic = self.sns.create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]
        self.publish = deploy.client("sns", HUB).publish

    def subscriber(self, let=True):
        """Subscribes a queue, which the topic may send to or not, and returns its reader."""
        url = self.sqs.create_queue(QueueName=f"s-{uuid.uuid4()}")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        source = {"aws:SourceArn": self.topic if let else f"{self.topic}-other"}
        admit = statement({"Service": "sns.amazonaws.com"}, "sqs:SendMessage", arn, ArnEquals=source)
        self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(admit)})
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=arn)
        received = {"QueueUrl": url, "MaxNumberOfMessages": 10}
        return lambda: [json.loads(one["Body"]) for one in self.sqs.receive_message(**received).get("Messages", [])]

    def test_each_protocol_gets_its_own_message_or_the_default_one(self):
        heard, unheard = self.subscriber(), self.subscriber(let=False)
        structured = {"TopicArn": self.topic, "Subject": "a subject", "MessageStructure": "json"}
        for message in (
            {"default": "d", "sqs": "s", "email": "e"},
            {"default": "d", "email": "e"},
            {"default": "d", "sqs": 1},
        ):
            self.publish(**structured, Message=json.dumps(message))
        self.publish(TopicArn=self.topic, Message='{"default": "as it is"}')
        told = heard()
        self.assertEqual([one["Message"] for one in told], ["s", "d", "d", '{"default": "as it is"}'])
        self.assertEqual((told[0]["Type"], told[0]["TopicArn"]), ("Notification", self.topic))
        self.assertEqual([one.get("Subject") for one in told], ["a subject"] * 3 + [None])
        self.assertLessEqual({"MessageId", "Timestamp", "SignatureVersion", "Signature"}, told[0].keys())
        self.assertEqual(unheard(), [])

    def test_an_invalid_message_is_refused_and_reaches_nobody(self):
        heard = self.subscriber()
        for why, wrong in {
            "not JSON": {"Message": "x", "MessageStructure": "json"},
            "not an object": {"Message": '["default"]', "MessageStructure": "json"},
            "no default": {"Message": '{"sqs": "s"}', "MessageStructure": "json"},
            "default is no string": {"Message": '{"default": {}}', "MessageStructure": "json"},
            "a key twice": {"Message": '{"default": "d", "sqs": "1", "sqs": "2"}', "MessageStructure": "json"},
            "another structure": {"Message": "{}", "MessageStructure": "xml"},
            "more than 256 KB": {"Message": "\u00e9" * 131_073},
            "more than 256 KB in all": {
                "Message": json.dumps({"default": "d" * 131_072, "sqs": "s" * 131_072}),
                "MessageStructure": "json",
            },
            "subject too long": {"Message": "x", "Subject": "s" * 101},
            "subject of two lines": {"Message": "x", "Subject": "a\nb"},
        }.items():
            with self.subTest(why):
                self.refused("InvalidParameter", self.publish, TopicArn=self.topic, **wrong)
        self.publish(TopicArn=self.topic, Message="\u00e9" * 131_072, Subject="\u00e9" * 99)
        self.assertEqual([len(one["Message"]) for one in heard()], [131_072])

    def test_publishing_needs_an_iam_policy_and_the_topic_policy_can_refuse(self):
        able, nobody = self.role(HUB, "sns:Publish").client("sns"), self.role(HUB).client("sns")
        message = {"TopicArn": self.topic, "Message": "x"}
        put = {"TopicArn": self.topic, "AttributeName": "Policy"}
        alarms = statement({"Service": "cloudwatch.amazonaws.com"}, "sns:Publish", self.topic)
        insecure = {"aws:SecureTransport": "false"}
        tls = statement("*", "sns:Publish", self.topic, "Deny", Bool=insecure)
        self.sns.set_topic_attributes(**put, AttributeValue=policy(alarms, tls))
        able.publish(**message)
        self.refused("AuthorizationError", nobody.publish, **message)
        without_tls = self.role(HUB, "sns:Publish").client("sns")
        without_tls.meta.events.register("before-sign", lambda request, **_: request.headers.add_header(*WITHOUT_TLS))
        self.refused("AuthorizationError", without_tls.publish, **message)
        none = statement("*", "sns:Publish", self.topic, "Deny")
        self.sns.set_topic_attributes(**put, AttributeValue=policy(alarms, none))
        self.refused("AuthorizationError", able.publish, **message)


if __name__ == "__main__":
    unittest.main()
