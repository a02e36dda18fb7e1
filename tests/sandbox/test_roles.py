"""Tests that actions in a role's name need its permissions, and encrypted resources their key.

The actions are receiving from queues, sending, publishing, logging, firing schedules and giving up
events. Each is tested with and without each permission.
"""

import json
import sys
import time
import unittest
import uuid

from botocore.exceptions import WaiterError

from sandbox import deploy
from sandbox.testing import HOME, HUB, MEMBER, AsRole, ask, policy, setUpModule, stack, statement, upload_function

__all__ = ["setUpModule"]

ROOT = {"AWS": f"arn:aws:iam::{HUB}:root"}
THROUGH_SQS = {"kms:ViaService": f"sqs.{HOME}.amazonaws.com"}
# The function prints its event, and fails if the event says so.
BOOTSTRAP = f"""#!{sys.executable}
import json, os, urllib.request
api = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(api + "next") as got:
        run, event = got.headers["Lambda-Runtime-Aws-Request-Id"], json.load(got)
    print("ran for", json.dumps(event), flush=True)
    answer = "error" if "fails" in event else "response"
    body = json.dumps({{"errorMessage": "as asked", "errorType": "Asked"}} if answer == "error" else {{}}).encode()
    urllib.request.urlopen(urllib.request.Request(api + run + "/" + answer, data=body)).read()
"""
TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties:
      KeyPolicy:
        Statement:
          - {Effect: Allow, Principal: {AWS: !Sub "arn:aws:iam::${AWS::AccountId}:root"}, Action: kms:*, Resource: "*"}
          - {Effect: Allow, Principal: {Service: !Sub "logs.${AWS::Region}.amazonaws.com"}, Action: kms:*,
             Resource: "*"}
  Queue:
    Type: AWS::SQS::Queue
    Properties: {KmsMasterKeyId: !Ref Key, VisibilityTimeout: 3}
  Dead:
    Type: AWS::SQS::Queue
    Properties: {KmsMasterKeyId: !Ref Key}
  Log:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: /aws/lambda/roles-worker, KmsKeyId: !GetAtt Key.Arn}
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      FunctionName: roles-worker
      CodeUri: {Bucket: roles-code, Key: code.zip}
      Runtime: provided.al2023
      Handler: bootstrap
      Timeout: 3
      Role: !GetAtt Role.Arn
      DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Dead.Arn}
      LoggingConfig: {LogGroup: !Ref Log}
      Events:
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Queue.Arn, BatchSize: 1}}
  Role:
    Type: AWS::IAM::Role
    Properties:
      RoleName: roles-worker
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}]
      Policies:
        - PolicyName: worker
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: [sqs:ReceiveMessage, sqs:DeleteMessage, sqs:GetQueueAttributes],
                 Resource: !GetAtt Queue.Arn}
              - {Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt Dead.Arn}
              - Effect: Allow
                Action: [kms:Decrypt, kms:GenerateDataKey]
                Resource: !GetAtt Key.Arn
                Condition: {StringEquals: {kms:ViaService: !Sub "sqs.${AWS::Region}.amazonaws.com"}}
              - {Effect: Allow, Action: [logs:CreateLogStream, logs:PutLogEvents], Resource: !GetAtt Log.Arn}
  Schedule:
    Type: AWS::Scheduler::Schedule
    Properties:
      Name: roles-schedule
      ScheduleExpression: rate(1 day)
      FlexibleTimeWindow: {Mode: "OFF"}
      Target:
        Arn: !GetAtt Worker.Arn
        RoleArn: !GetAtt ScheduleRole.Arn
        Input: '{"by": "schedule"}'
        DeadLetterConfig: {Arn: !GetAtt Dead.Arn}
  ScheduleRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName: roles-schedule
      AssumeRolePolicyDocument:
        Statement:
          - Effect: Allow
            Principal: {Service: scheduler.amazonaws.com}
            Action: sts:AssumeRole
            Condition: {StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}}
      Policies:
        - PolicyName: schedule
          PolicyDocument:
            Statement:
              - {Effect: Allow, Action: lambda:InvokeFunction, Resource: !GetAtt Worker.Arn}
              - {Effect: Allow, Action: sqs:SendMessage, Resource: !GetAtt Dead.Arn}
              - {Effect: Allow, Action: [kms:Decrypt, kms:GenerateDataKey], Resource: !GetAtt Key.Arn}
Outputs:
  Queue: {Value: !Ref Queue}
  Dead: {Value: !Ref Dead}
"""


UNTRUSTED = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Worker:
    Type: AWS::Lambda::Function
    Properties:
      Code: {S3Bucket: roles-code, S3Key: code.zip}
      Runtime: provided.al2023
      Handler: bootstrap
      Role: !GetAtt Role.Arn
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement: [{Effect: Allow, Principal: {Service: ec2.amazonaws.com}, Action: sts:AssumeRole}]
"""


class Refusals(AsRole):
    def setUp(self):
        ask("PUT", "denied")

    def denied(self, principal):
        """Returns the actions that were refused to a principal since the test began."""
        return {one["action"] for one in ask("GET", "denied") if one["principal"] == principal}


class OfFunctions(Refusals):
    @classmethod
    def setUpClass(cls):
        upload_function("roles-code", BOOTSTRAP)
        cls.outputs, cls.sqs, cls.iam = stack("roles", TEMPLATE), deploy.client("sqs", HUB), deploy.client("iam", HUB)

    def without(self, action, role="roles-worker"):
        """Removes an action from the role until the test ends. The result restores it earlier."""
        (name,) = self.iam.list_role_policies(RoleName=role)["PolicyNames"]
        put = {"RoleName": role, "PolicyName": name}
        whole = self.iam.get_role_policy(**put)["PolicyDocument"]
        less = json.loads(json.dumps(whole))
        for one in less["Statement"]:
            actions = one["Action"] if isinstance(one["Action"], list) else [one["Action"]]
            one["Action"] = [kept for kept in actions if kept != action] or "x:Nothing"
        self.assertNotEqual(less, whole)
        self.iam.put_role_policy(**put, PolicyDocument=json.dumps(less))

        def put_back():
            self.iam.put_role_policy(**put, PolicyDocument=json.dumps(whole))

        self.addCleanup(put_back)
        return put_back

    def logged(self, text):
        events = deploy.client("logs", HUB).filter_log_events(logGroupName="/aws/lambda/roles-worker")["events"]
        return [event["message"] for event in events if text in event["message"]]

    def dead(self):
        asked = {"QueueUrl": self.outputs["Dead"], "MessageAttributeNames": ["All"], "VisibilityTimeout": 0}
        return self.sqs.receive_message(**asked).get("Messages", [])

    def clean(self):
        self.sqs.purge_queue(QueueUrl=self.outputs["Dead"])

    def invoke(self, **event):
        run = {"FunctionName": "roles-worker", "InvocationType": "Event", "Payload": json.dumps(event)}
        deploy.client("lambda", HUB).invoke(**run)

    def test_a_function_receives_nothing_if_one_permission_is_missing(self):
        for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "kms:Decrypt"):
            with self.subTest(action):
                put_back, mark = self.without(action), uuid.uuid4().hex
                self.sqs.send_message(QueueUrl=self.outputs["Queue"], MessageBody=mark)
                self.wait(lambda action=action: action in self.denied("roles-worker"))
                time.sleep(0.5)
                self.assertEqual(self.logged(mark), [])
                put_back()
                self.wait(lambda mark=mark: self.logged(mark))

    def trust(self, service):
        put = policy({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})
        self.iam.update_assume_role_policy(RoleName="roles-worker", PolicyDocument=put)

    def test_a_function_receives_nothing_if_lambda_may_not_assume_its_role(self):
        mark = uuid.uuid4().hex
        self.addCleanup(self.trust, "lambda.amazonaws.com")
        self.trust("ec2.amazonaws.com")
        self.sqs.send_message(QueueUrl=self.outputs["Queue"], MessageBody=mark)
        self.wait(lambda: "sts:AssumeRole" in self.denied("lambda.amazonaws.com"))
        time.sleep(0.5)
        self.trust("lambda.amazonaws.com")
        self.assertEqual(self.logged(mark), [])
        self.wait(lambda: self.logged(mark))

    def test_a_function_whose_role_lambda_may_not_assume_is_refused(self):
        with self.assertRaises(WaiterError):
            stack("roles-untrusted", UNTRUSTED)
        events = deploy.client("cloudformation", HUB).describe_stack_events(StackName="roles-untrusted")["StackEvents"]
        reasons = [event.get("ResourceStatusReason", "") for event in events]
        self.assertTrue(any("cannot be assumed by Lambda" in reason for reason in reasons), reasons)

    def test_output_of_a_function_is_stored_only_with_permission_to_log(self):
        for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
            with self.subTest(action):
                put_back, mark = self.without(action), uuid.uuid4().hex
                self.invoke(mark=mark)
                self.wait(lambda action=action: action in self.denied("roles-worker"))
                self.assertEqual(self.logged(mark), [])
                put_back()
        mark = uuid.uuid4().hex
        self.invoke(mark=mark)
        self.assertIn(f'ran for {{"mark": "{mark}"}}', self.wait(lambda: self.logged(f'ran for {{"mark": "{mark}')))

    def test_a_failed_event_becomes_a_dead_letter_with_the_role_of_the_function(self):
        self.clean()
        for action in ("sqs:SendMessage", "kms:GenerateDataKey"):
            with self.subTest(action):
                put_back = self.without(action)
                self.invoke(fails="first")
                self.wait(lambda action=action: action in self.denied("roles-worker"))
                self.assertEqual(self.dead(), [])
                put_back()
        mark = uuid.uuid4().hex
        self.invoke(fails=mark)
        (told,) = self.wait(self.dead)
        self.assertEqual(json.loads(told["Body"]), {"fails": mark})
        self.assertEqual(told["MessageAttributes"]["ErrorMessage"]["StringValue"], "as asked")
        self.assertEqual(len(self.logged(f'ran for {{"fails": "{mark}')), 3)

    def test_a_failed_event_goes_to_the_destination_for_failures_if_there_is_one(self):
        self.clean()
        functions, name = deploy.client("lambda", HUB), "roles-worker"
        asked = {"QueueUrl": self.outputs["Dead"], "AttributeNames": ["QueueArn"]}
        arn = self.sqs.get_queue_attributes(**asked)["Attributes"]["QueueArn"]
        to = {"OnFailure": {"Destination": arn}}
        functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0, DestinationConfig=to)
        self.addCleanup(functions.delete_function_event_invoke_config, FunctionName=name)
        self.invoke(fails="at once")
        (told,) = self.wait(self.dead)
        told = json.loads(told["Body"])
        self.assertEqual(told["requestPayload"], {"fails": "at once"})
        self.assertEqual(told["requestContext"]["approximateInvokeCount"], 1)

    def test_a_schedule_fires_with_its_role(self):
        before = len(self.logged('ran for {"by": "schedule"}'))
        self.assertEqual(ask("PUT", "schedule", {"name": "roles-schedule"}), {"invoked": True})
        self.wait(lambda: len(self.logged('ran for {"by": "schedule"}')) == before + 1)
        self.assertEqual(self.denied("roles-schedule"), set())

    def test_a_schedule_that_may_not_fire_sends_a_dead_letter_with_its_role(self):
        self.clean()
        self.without("lambda:InvokeFunction", "roles-schedule")
        self.assertEqual(ask("PUT", "schedule", {"name": "roles-schedule"}), {"invoked": False})
        (told,) = self.dead()
        self.assertEqual(json.loads(told["Body"]), {"by": "schedule"})
        self.assertEqual(told["MessageAttributes"]["ERROR_CODE"]["StringValue"], "AccessDeniedException")
        self.clean()
        self.without("sqs:SendMessage", "roles-schedule")
        ask("PUT", "schedule", {"name": "roles-schedule"})
        self.assertEqual(self.dead(), [])
        self.assertEqual(self.denied("roles-schedule"), {"lambda:InvokeFunction", "sqs:SendMessage"})

    def test_the_role_of_a_schedule_can_limit_trust_to_its_account(self):
        def trust(account):
            condition = {"StringEquals": {"aws:SourceAccount": account}}
            let = {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole"}
            put = json.dumps({"Version": "2012-10-17", "Statement": [let | {"Condition": condition}]})
            self.iam.update_assume_role_policy(RoleName="roles-schedule", PolicyDocument=put)

        self.addCleanup(trust, HUB)
        trust(MEMBER)
        self.assertEqual(ask("PUT", "schedule", {"name": "roles-schedule"}), {"invoked": False})
        self.assertEqual(self.denied("scheduler.amazonaws.com"), {"sts:AssumeRole"})


class OfBuses(Refusals):
    def queue_of_rules(self, sqs, name):
        """Makes a queue that accepts events of every rule, and returns its URL and ARN."""
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        let = statement({"Service": "events.amazonaws.com"}, "sqs:SendMessage", arn)
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(let)})
        return url, arn

    def test_an_event_reaches_another_bus_of_the_account_with_the_role_of_the_target(self):
        events, sqs, role = deploy.client("events", HUB), deploy.client("sqs", HUB), self.role(HUB)
        bus = events.create_event_bus(Name=f"bus-{uuid.uuid4()}")["EventBusArn"]
        source, name = f"test.{uuid.uuid4()}", bus.rpartition("/")[2]
        let = policy({"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sts:AssumeRole"})
        role.iam.update_assume_role_policy(RoleName=role.name, PolicyDocument=let)
        pattern, role_arn = json.dumps({"source": [source]}), f"arn:aws:iam::{HUB}:role/{role.name}"
        events.put_rule(Name=name, EventPattern=pattern)
        events.put_targets(Rule=name, Targets=[{"Id": "bus", "Arn": bus, "RoleArn": role_arn}])
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        rule = events.put_rule(Name=name, EventBusName=name, EventPattern=pattern)["RuleArn"]
        let = statement({"Service": "events.amazonaws.com"}, "sqs:SendMessage", arn, ArnEquals={"aws:SourceArn": rule})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(let)})
        events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])
        entry = {"Source": source, "DetailType": "t", "Detail": "{}"}
        events.put_events(Entries=[entry])
        self.assertEqual(self.denied(role.name), {"events:PutEvents"})
        self.assertNotIn("Messages", sqs.receive_message(QueueUrl=url))
        # An event that is not delivered goes to the target's dead letters, if the target has any.
        dead, dead_arn = self.queue_of_rules(sqs, f"{name}-dead")
        target = {"Id": "bus", "Arn": bus, "RoleArn": role_arn, "DeadLetterConfig": {"Arn": dead_arn}}
        events.put_targets(Rule=name, Targets=[target])
        events.put_events(Entries=[entry])
        (told,) = sqs.receive_message(QueueUrl=dead, MessageAttributeNames=["All"])["Messages"]
        self.assertEqual(told["MessageAttributes"]["TARGET_ARN"]["StringValue"], bus)
        may = policy({"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus})
        role.iam.put_role_policy(RoleName=role.name, PolicyName="put", PolicyDocument=may)
        events.put_events(Entries=[entry])
        self.assertEqual(len(sqs.receive_message(QueueUrl=url)["Messages"]), 1)


class OfKeys(Refusals):
    def setUp(self):
        super().setUp()
        self.kms, self.sqs, self.sns = (deploy.client(service, HUB) for service in ("kms", "sqs", "sns"))

    def key(self, *statements):
        put = policy(*(statements or [statement(ROOT, "kms:*")]))
        return self.kms.create_key(Policy=put, BypassPolicyLockoutSafetyCheck=True)["KeyMetadata"]["Arn"]

    def queue(self, key, *statements):
        url = self.sqs.create_queue(QueueName=f"q-{uuid.uuid4()}", Attributes={"KmsMasterKeyId": key})["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        if statements:
            let = [{**one, "Resource": arn} for one in statements]
            self.sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy(*let)})
        return url, arn

    def able(self, service, action, *allowed):
        """Returns a client of a role that may perform the action on everything.

        `allowed` lists what else is allowed, as (actions, condition).
        """
        role = self.role(HUB, action)
        for number, (actions, condition) in enumerate(allowed):
            one = {"Effect": "Allow", "Action": actions, "Resource": "*", "Condition": condition}
            put = {"RoleName": role.name, "PolicyName": str(number), "PolicyDocument": policy(one)}
            role.iam.put_role_policy(**put)
        return role.client(service)

    def test_sending_needs_to_generate_and_decrypt_data_keys_through_sqs(self):
        through, elsewhere = (
            {"StringEquals": THROUGH_SQS},
            {"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}},
        )
        both = ["kms:GenerateDataKey", "kms:Decrypt"]
        url, arn = self.queue(self.key())
        send = {"QueueUrl": url, "MessageBody": "x"}
        for may, *allowed in (
            (True, (both, through)),
            (True, (both, {"StringEquals": {"kms:CallerAccount": HUB, "kms:EncryptionContext:aws:sqs:arn": arn}})),
            (False,),
            (False, ("kms:GenerateDataKey", through)),
            (False, ("kms:Decrypt", through)),
            (False, (both, elsewhere)),
            (False, (both, {"StringEquals": {"kms:CallerAccount": MEMBER}})),
        ):
            with self.subTest(allowed):
                sender = self.able("sqs", "sqs:SendMessage", *allowed)
                if may:
                    sender.send_message(**send)
                    entry = {"Id": "1", "MessageBody": "y"}
                    sender.send_message_batch(QueueUrl=url, Entries=[entry])
                else:
                    self.refused("KmsAccessDenied", sender.send_message, **send)

    def test_receiving_needs_to_decrypt_data_keys_once_there_is_a_message(self):
        url, _ = self.queue(self.key())
        mine = {"StringEquals": THROUGH_SQS}
        opener = self.able("sqs", "sqs:ReceiveMessage", ("kms:Decrypt", mine))
        other = self.able("sqs", "sqs:ReceiveMessage", ("kms:GenerateDataKey", mine))
        self.assertNotIn("Messages", other.receive_message(QueueUrl=url))
        self.sqs.send_message(QueueUrl=url, MessageBody="x")
        self.refused("KmsAccessDenied", other.receive_message, QueueUrl=url)
        self.assertEqual(len(opener.receive_message(QueueUrl=url)["Messages"]), 1)

    def test_the_key_policy_must_delegate_to_iam_and_can_name_the_service(self):
        both = (["kms:GenerateDataKey", "kms:Decrypt"], {})
        administration = statement(ROOT, ["kms:Describe*", "kms:Put*"])
        here, elsewhere = THROUGH_SQS, {"kms:ViaService": "sqs.eu-west-1.amazonaws.com"}
        for may, *statements in (
            (True, administration, statement(ROOT, "kms:*", StringEquals={**here, "kms:CallerAccount": HUB})),
            (False, administration),
            (False, administration, statement(ROOT, "kms:*", StringEquals=elsewhere)),
            (False, statement(ROOT, "kms:*"), statement("*", "kms:Decrypt", effect="Deny", StringEquals=here)),
        ):
            with self.subTest(statements):
                url, _ = self.queue(self.key(*statements))
                sender = self.able("sqs", "sqs:SendMessage", both)
                if may:
                    sender.send_message(QueueUrl=url, MessageBody="x")
                else:
                    self.refused("KmsAccessDenied", sender.send_message, QueueUrl=url, MessageBody="x")

    def test_a_disabled_key_or_one_pending_deletion_refuses_all_use(self):
        key = self.key()
        url, _ = self.queue(key)
        sender = self.able("sqs", "sqs:SendMessage", ("kms:*", {}))
        self.kms.disable_key(KeyId=key)
        self.refused("KmsDisabled", sender.send_message, QueueUrl=url, MessageBody="x")
        self.kms.schedule_key_deletion(KeyId=key)
        self.refused("KmsInvalidState", sender.send_message, QueueUrl=url, MessageBody="x")

    def test_publishing_needs_the_key_of_the_topic_through_sns(self):
        key = self.key()
        topic = self.sns.create_topic(Name=f"t-{uuid.uuid4()}", Attributes={"KmsMasterKeyId": key})["TopicArn"]
        both = ["kms:GenerateDataKey", "kms:Decrypt"]
        through_sns = {"StringEquals": {"kms:ViaService": f"sns.{HOME}.amazonaws.com"}}
        message = {"TopicArn": topic, "Message": "x"}
        self.able("sns", "sns:Publish", (both, through_sns)).publish(**message)
        for allowed in ([], [("kms:Decrypt", through_sns)], [(both, {"StringEquals": THROUGH_SQS})]):
            publisher = self.able("sns", "sns:Publish", *allowed)
            self.refused("KMSAccessDenied", publisher.publish, **message)

    def test_eventbridge_needs_permission_in_the_policy_of_the_key_of_a_queue(self):
        events, uses = deploy.client("events", HUB), ["kms:GenerateDataKey", "kms:Decrypt"]
        mine, name = statement(ROOT, "kms:*"), f"r-{uuid.uuid4()}"
        service = {"Service": "events.amazonaws.com"}
        events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
        as_service, as_somebody = ({"aws:PrincipalIsAWSService": value} for value in ("true", "false"))
        queues = []
        for arrives, *statements in (
            (True, mine, statement(service, uses)),
            (True, mine, statement("*", uses, Bool=as_service)),
            (True, mine, statement("*", uses, Null={"aws:PrincipalArn": "true", "kms:CallerAccount": "true"})),
            (False, mine),
            (False, mine, statement(service, "kms:GenerateDataKey")),
            # EventBridge does not pass its source on to KMS.
            (False, mine, statement(service, uses, ArnLike={"aws:SourceArn": f"arn:aws:events:*:{HUB}:rule/*"})),
            (False, mine, statement(service, uses, StringEquals={"aws:SourceAccount": HUB})),
            (False, mine, statement("*", uses, Bool=as_somebody)),
            (False, mine, statement("*", uses, StringEquals={"kms:CallerAccount": HUB})),
        ):
            url, arn = self.queue(self.key(*statements), statement(service, "sqs:SendMessage"))
            queues.append((arrives, statements, url))
            events.put_targets(Rule=name, Targets=[{"Id": str(len(queues)), "Arn": arn}])
        events.put_events(Entries=[{"Source": name, "DetailType": "x", "Detail": "{}"}])
        for arrives, statements, url in queues:
            with self.subTest(statements):
                self.assertEqual("Messages" in self.sqs.receive_message(QueueUrl=url), arrives)
        self.assertEqual(self.denied("events.amazonaws.com"), {"kms:GenerateDataKey", "kms:Decrypt"})

    def test_undeliverable_events_go_to_the_dead_letters_of_the_target(self):
        events, name = deploy.client("events", HUB), f"r-{uuid.uuid4()}"
        let = statement({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
        (_, closed), (url, dead) = self.queue(self.key(), let), self.queue("", let)
        rule = events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))["RuleArn"]
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": closed, "DeadLetterConfig": {"Arn": dead}}])
        events.put_events(Entries=[{"Source": name, "DetailType": "x", "Detail": '{"y": 1}'}])
        (told,) = self.sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"])["Messages"]
        self.assertEqual(json.loads(told["Body"])["detail"], {"y": 1})
        attributes = {name: value["StringValue"] for name, value in told["MessageAttributes"].items()}
        self.assertEqual(attributes, {"RULE_ARN": rule, "TARGET_ARN": closed, "ERROR_CODE": "NO_PERMISSIONS"})

    def test_sns_needs_the_key_of_a_subscribed_queue(self):
        topic = self.sns.create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]
        service, mine = {"Service": "sns.amazonaws.com"}, statement(ROOT, "kms:*")
        admitted = statement(service, ["kms:GenerateDataKey", "kms:Decrypt"], ArnEquals={"aws:SourceArn": topic})
        queues = []
        for statements in ([mine, admitted], [mine]):
            url, arn = self.queue(self.key(*statements), statement(service, "sqs:SendMessage"))
            self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
            queues.append(url)
        self.sns.publish(TopicArn=topic, Message="x")
        self.assertEqual(["Messages" in self.sqs.receive_message(QueueUrl=url) for url in queues], [True, False])

    def test_an_alarm_needs_the_topic_and_its_key(self):
        service, mine = {"Service": "cloudwatch.amazonaws.com"}, statement(ROOT, "kms:*")
        source = {"aws:SourceArn": f"arn:aws:cloudwatch:{HOME}:{HUB}:alarm:ours-*"}
        uses = ["kms:GenerateDataKey", "kms:Decrypt"]
        admitted, of_source = statement(service, uses), statement(service, uses, ArnLike=source)
        watch = deploy.client("cloudwatch", HUB)
        for told, name, of_key, of_topic in (
            (True, "ours-1", [mine, admitted], statement(service, "sns:Publish", ArnLike=source)),
            (False, "theirs-1", [mine, admitted], statement(service, "sns:Publish", ArnLike=source)),
            # CloudWatch does not pass the alarm on to KMS.
            (False, "ours-4", [mine, of_source], statement(service, "sns:Publish")),
            (False, "ours-2", [mine], statement(service, "sns:Publish")),
            (False, "ours-3", [mine, admitted], statement(ROOT, "sns:Publish")),
        ):
            with self.subTest(name):
                key = {"KmsMasterKeyId": self.key(*of_key)}
                topic = self.sns.create_topic(Name=f"t-{uuid.uuid4()}", Attributes=key)["TopicArn"]
                put = {"TopicArn": topic, "AttributeName": "Policy"}
                self.sns.set_topic_attributes(**put, AttributeValue=policy({**of_topic, "Resource": topic}))
                url, arn = self.queue("", statement({"Service": "sns.amazonaws.com"}, "sqs:SendMessage"))
                self.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
                alarm = {"MetricName": "m", "Namespace": "n", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
                alarm |= {"ComparisonOperator": "GreaterThanThreshold", "Threshold": 0, "AlarmActions": [topic]}
                watch.put_metric_alarm(AlarmName=name, **alarm)
                watch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
                self.assertEqual("Messages" in self.sqs.receive_message(QueueUrl=url), told)


class Denied(Refusals):
    def test_refusals_to_a_role_are_counted_until_they_are_cleared(self):
        role = self.role(HUB, "sqs:SendMessage")
        queue = deploy.client("sqs", HUB).create_queue(QueueName=f"d-{uuid.uuid4()}")["QueueUrl"]
        for _ in range(2):
            self.refused("AccessDenied", role.client("sqs").receive_message, QueueUrl=queue)
        role.client("sqs").send_message(QueueUrl=queue, MessageBody="x")
        topic = f"arn:aws:sns:{HOME}:{HUB}:none"
        self.refused("AuthorizationError", role.client("sns").publish, TopicArn=topic, Message="x")
        member = deploy.client("iam", MEMBER)
        trust = policy({"Effect": "Allow", "Principal": {"AWS": MEMBER}, "Action": "sts:AssumeRole"})
        other = member.create_role(RoleName=f"closed-{uuid.uuid4()}", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        assume = self.role(HUB, "sts:AssumeRole")
        self.refused("AccessDenied", assume.client("sts").assume_role, RoleArn=other, RoleSessionName="x")
        found = {(one["principal"], one["action"], one["resource"]): one for one in ask("GET", "denied")}
        arn = f"arn:aws:sqs:{HOME}:{HUB}:{queue.rpartition('/')[2]}"
        twice = {"account": HUB, "action": "sqs:ReceiveMessage", "count": 2, "principal": role.name, "resource": arn}
        self.assertEqual(found[role.name, "sqs:ReceiveMessage", arn], twice)
        self.assertEqual(found[role.name, "sns:Publish", topic]["count"], 1)
        self.assertEqual(found[assume.name, "sts:AssumeRole", other]["account"], HUB)
        ask("PUT", "denied")
        self.assertEqual(self.denied(role.name), set())

    def test_refusals_to_the_root_of_an_account_are_not_counted(self):
        theirs = deploy.client("s3", MEMBER)
        theirs.create_bucket(Bucket=(name := f"d-{uuid.uuid4()}"))
        self.refused("AccessDenied", deploy.client("s3", HUB).get_bucket_encryption, Bucket=name)
        self.assertEqual([one for one in ask("GET", "denied") if name in one["resource"]], [])


if __name__ == "__main__":
    unittest.main()
