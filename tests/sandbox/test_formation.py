"""Tests the resources that CloudFormation makes, and those that deploy.py leaves out."""

import json
import unittest
import uuid

from botocore.exceptions import WaiterError

from sandbox import deploy
from sandbox.testing import HOME, HUB, AsRole, policy, setUpModule, stack, statement

__all__ = ["setUpModule"]

TEMPLATE = """
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  Name: {Type: String}
  Places: {Type: CommaDelimitedList, Default: ""}
  LogsMayUseKey: {Type: String, Default: "yes"}
Rules:
  Places:
    RuleCondition: !Not [Fn::Contains: [!Ref Places, ""]]
    Assertions:
      - {Assert: {"Fn::Contains": [!Ref Places, !Ref AWS::Region]}, AssertDescription: Places must contain this region}
Conditions:
  LogsMay: !Equals [!Ref LogsMayUseKey, "yes"]
Resources:
  Key:
    Type: AWS::KMS::Key
    Properties:
      EnableKeyRotation: true
      RotationPeriodInDays: 180
      KeyPolicy:
        Statement:
          - {Effect: Allow, Principal: {AWS: !Sub "arn:aws:iam::${AWS::AccountId}:root"}, Action: kms:*, Resource: "*"}
          - !If
            - LogsMay
            - Effect: Allow
              Principal: {Service: !Sub "logs.${AWS::Region}.amazonaws.com"}
              Action: [kms:Encrypt, kms:Decrypt, kms:ReEncrypt*, kms:GenerateDataKey*, kms:DescribeKey]
              Resource: "*"
              Condition:
                ArnLike:
                  kms:EncryptionContext:aws:logs:arn: !Sub arn:aws:logs:*:${AWS::AccountId}:log-group:/formation/*
            - !Ref AWS::NoValue
  KeyAlias:
    Type: AWS::KMS::Alias
    Properties: {AliasName: !Sub "alias/${Name}", TargetKeyId: !Ref Key}
  Topic:
    Type: AWS::SNS::Topic
    Properties: {TopicName: !Ref Name, KmsMasterKeyId: !Ref Key}
  TopicPolicy:
    Type: AWS::SNS::TopicPolicy
    Properties:
      Topics: [!Ref Topic]
      PolicyDocument:
        Statement:
          - {Sid: Alarms, Effect: Allow, Principal: {Service: cloudwatch.amazonaws.com}, Action: sns:Publish,
             Resource: !Ref Topic}
  Queue:
    Type: AWS::SQS::Queue
    Properties: {KmsMasterKeyId: !Ref Key}
  Log:
    Type: AWS::Logs::LogGroup
    Properties: {LogGroupName: !Sub "/formation/${Name}", KmsKeyId: !GetAtt Key.Arn, RetentionInDays: 90}
  Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Ref Name
      Namespace: AWS/SQS
      MetricName: ApproximateNumberOfMessagesVisible
      Dimensions: [{Name: QueueName, Value: !GetAtt Queue.QueueName}]
      Statistic: Maximum
      Period: 300
      EvaluationPeriods: 1
      ComparisonOperator: GreaterThanThreshold
      Threshold: 0
      AlarmActions: [!Ref Topic]
  Dashboard:
    Type: AWS::CloudWatch::Dashboard
    Properties: {DashboardName: !Ref Name, DashboardBody: '{"widgets": []}'}
Outputs:
  Key: {Value: !GetAtt Key.Arn}
  Topic: {Value: !Ref Topic}
  Queue: {Value: !Ref Queue}
"""


class Made(AsRole):
    def test_each_type_of_resource_has_the_properties_of_the_template(self):
        name = f"made-{uuid.uuid4()}"
        made = stack(name, TEMPLATE, Name=name)
        kms, key = deploy.client("kms", HUB), made["Key"]
        rotation = kms.get_key_rotation_status(KeyId=key)
        self.assertEqual((rotation["KeyRotationEnabled"], rotation["RotationPeriodInDays"]), (True, 180))
        self.assertEqual(kms.describe_key(KeyId=f"alias/{name}")["KeyMetadata"]["Arn"], key)
        self.assertEqual(len(json.loads(kms.get_key_policy(KeyId=key)["Policy"])["Statement"]), 2)
        topic = deploy.client("sns", HUB).get_topic_attributes(TopicArn=made["Topic"])["Attributes"]
        self.assertTrue(key.endswith(topic["KmsMasterKeyId"]))
        self.assertEqual(json.loads(topic["Policy"])["Statement"][0]["Sid"], "Alarms")
        asked = {"QueueUrl": made["Queue"], "AttributeNames": ["All"]}
        queue = deploy.client("sqs", HUB).get_queue_attributes(**asked)["Attributes"]
        self.assertTrue(key.endswith(queue["KmsMasterKeyId"]))
        groups = deploy.client("logs", HUB).describe_log_groups(logGroupNamePrefix=f"/formation/{name}")["logGroups"]
        self.assertEqual([(group["kmsKeyId"], group["retentionInDays"]) for group in groups], [(key, 90)])
        watch = deploy.client("cloudwatch", HUB)
        (alarm,) = watch.describe_alarms(AlarmNames=[name])["MetricAlarms"]
        self.assertEqual(alarm["AlarmActions"], [made["Topic"]])
        self.assertEqual(json.loads(watch.get_dashboard(DashboardName=name)["DashboardBody"]), {"widgets": []})

    def test_a_log_group_whose_key_does_not_admit_cloudwatch_logs_is_refused(self):
        name = f"made-{uuid.uuid4()}"
        with self.assertRaises(WaiterError):
            stack(name, TEMPLATE, Name=name, LogsMayUseKey="no")
        closed = policy(statement({"AWS": HUB}, "kms:*"))
        key = deploy.client("kms", HUB).create_key(Policy=closed)["KeyMetadata"]["Arn"]
        create = deploy.client("logs", HUB).create_log_group
        self.refused("InvalidParameterException", create, logGroupName=f"/formation/{name}", kmsKeyId=key)

    def test_an_empty_list_contains_the_empty_string_in_rules(self):
        for places, refused in (("", False), (HOME, False), ("mars-north-1", True)):
            with self.subTest(places):
                name = f"rules-{uuid.uuid4()}"
                given = {"Name": name, "Places": places}
                parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
                create = {"StackName": name, "TemplateBody": TEMPLATE, "Parameters": parameters}
                formation = deploy.client("cloudformation", HUB)
                if refused:
                    self.refused("ValidationError", formation.create_stack, **create)
                else:
                    formation.create_stack(**create)


class LeftOut(unittest.TestCase):
    def setUp(self):
        name = {"Fn::Sub": "${AWS::StackName}-${!Insight}"}
        self.kept = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}}
        self.template = {
            "Resources": {"Queue": self.kept, "Insight": {"Type": "AWS::SecurityHub::Insight", "DependsOn": "Queue"}},
            "Outputs": {"Url": {"Value": {"Ref": "Queue"}}, "Id": {"Value": {"Fn::Sub": "it is ${Insight}"}}},
        }

    def test_unsupported_resources_are_removed_with_their_outputs(self):
        left = deploy.leave_out(self.template)
        self.assertEqual(left, {"Resources": {"Queue": self.kept}, "Outputs": {"Url": {"Value": {"Ref": "Queue"}}}})

    def test_a_remaining_reference_to_a_removed_resource_is_an_error(self):
        for reference in (
            {"DependsOn": ["Insight"]},
            {"Properties": {"X": [{"Ref": "Insight"}]}},
            {"Properties": {"X": {"Fn::GetAtt": ["Insight", "InsightArn"]}}},
            {"Properties": {"X": {"Fn::GetAtt": "Insight.InsightArn"}}},
            {"Properties": {"X": {"Fn::Sub": ["${Insight.InsightArn}-${y}", {"y": "z"}]}}},
        ):
            with self.subTest(reference):
                self.template["Resources"]["Queue"] = {"Type": "AWS::SQS::Queue", **reference}
                with self.assertRaisesRegex(ValueError, "Queue refers to Insight"):
                    deploy.leave_out(self.template)


if __name__ == "__main__":
    unittest.main()
