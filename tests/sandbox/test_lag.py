"""Tests the lags of the sandbox and the disorder of its events, one test for each rule."""

import json
import time
import unittest
import uuid

from sandbox import deploy
from sandbox.test_securityhub import finding
from sandbox.testing import HOME, HUB, LINKED, MEMBER, AsRole, ask, policy, setUpModule  # noqa: F401

LAG = 1.0
_NONE = {"get_findings": 0, "home_region": 0, "batch_update_findings": 0, "settings": 0, "index": 0}
_ORDER = {"seed": 0, "drop": 0, "duplicate": 0, "shuffle": 0}


class Late(AsRole):
    def setUp(self):
        self.addCleanup(ask, "PUT", "disorder", _ORDER)
        self.addCleanup(ask, "PUT", "lag", _NONE)

    def shows_after(self, seconds, what, expected):
        """Waits until the result is as expected, and asserts that this took about `seconds`."""
        started = time.monotonic()
        self.wait(lambda: what() == expected)
        self.assertAlmostEqual(time.monotonic() - started, seconds, delta=0.6)


class SecurityHub(Late):
    def setUp(self):
        super().setUp()
        self.hub = deploy.client("securityhub", MEMBER, LINKED)
        self.home = deploy.client("securityhub", HUB, HOME)
        for hub in (self.hub, self.home):
            hub.enable_security_hub()
        self.id = f"cmkwatch/{uuid.uuid4()}"
        self.product = f"arn:aws:securityhub:{LINKED}:{MEMBER}:product/{MEMBER}/default"

    def put(self, moment, status):
        made = finding(Id=self.id, ProductArn=self.product, UpdatedAt=f"2026-11-01T00:00:{moment:02}Z")
        answer = self.hub.batch_import_findings(Findings=[{**made, "Compliance": {"Status": status}}])
        self.assertEqual(answer["FailedCount"], 0)

    def resolve(self):
        identifier = {"Id": self.id, "ProductArn": self.product}
        self.hub.batch_update_findings(FindingIdentifiers=[identifier], Workflow={"Status": "RESOLVED"})

    def seen(self, by=None):
        mine = {"Id": [{"Comparison": "EQUALS", "Value": self.id}]}
        found = (by or self.hub).get_findings(Filters=mine)["Findings"]
        return [f"{one['Compliance']['Status']} {one['Workflow']['Status']}" for one in found]

    def test_an_import_appears_after_the_lag_and_later_in_the_home_region(self):
        ask("PUT", "lag", {"get_findings": LAG, "home_region": 2 * LAG})
        self.put(0, "FAILED")
        self.assertEqual((self.seen(), self.seen(self.home)), ([], []))
        self.shows_after(LAG, self.seen, ["FAILED NEW"])
        self.shows_after(LAG, lambda: self.seen(self.home), ["FAILED NEW"])

    def test_an_edit_takes_effect_after_the_lag_over_later_imports(self):
        ask("PUT", "lag", {"get_findings": LAG, "batch_update_findings": LAG})
        self.put(0, "FAILED")
        self.put(1, "PASSED")
        self.resolve()
        self.put(2, "FAILED")
        self.shows_after(LAG, self.seen, ["FAILED RESOLVED"])

    def test_everything_appears_at_once_without_a_lag(self):
        self.put(0, "PASSED")
        self.resolve()
        self.assertEqual((self.seen(), self.seen(self.home)), (["PASSED RESOLVED"], ["PASSED RESOLVED"]))

    def test_a_lost_finding_appears_nowhere_and_can_be_imported_again(self):
        self.put(0, "FAILED")
        ask("PUT", "delete-finding", {"id": self.id})
        self.assertEqual((self.seen(), self.seen(self.home)), ([], []))
        self.put(0, "FAILED")
        self.assertEqual((self.seen(), self.seen(self.home)), (["FAILED NEW"], ["FAILED NEW"]))

    def test_describe_hub_returns_when_security_hub_was_enabled(self):
        first = self.hub.describe_hub()["SubscribedAt"]
        self.assertEqual(self.hub.describe_hub()["SubscribedAt"], first)
        self.hub.disable_security_hub()
        self.refused("InvalidAccessException", self.hub.describe_hub)
        time.sleep(0.01)
        self.hub.enable_security_hub()
        self.assertGreater(self.hub.describe_hub()["SubscribedAt"], first)

    def test_an_invalid_lag_is_refused(self):
        for lag in ({"get_findings": -1}, {"something": 1}, {"settings": "1"}):
            with self.assertRaises(OSError):
                ask("PUT", "lag", lag)


class Settings(Late):
    def test_a_role_reads_old_settings_of_a_bucket_and_the_accounts_root_does_not(self):
        name, role = f"late-{uuid.uuid4()}", self.role(MEMBER, "s3:*")
        owner, reader = deploy.client("s3", MEMBER), role.client("s3")
        owner.create_bucket(Bucket=name)
        ask("PUT", "lag", {"settings": LAG})
        kms = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}]}
        owner.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=kms)
        owner.put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})

        def algorithm(client):
            (rule,) = client.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
            return rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]

        self.assertEqual((algorithm(owner), algorithm(reader)), ("aws:kms", "AES256"))
        self.refused("NoSuchTagSet", reader.get_bucket_tagging, Bucket=name)
        self.shows_after(LAG, lambda: algorithm(reader), "aws:kms")
        self.assertEqual(len(reader.get_bucket_tagging(Bucket=name)["TagSet"]), 1)

    def test_a_role_reads_an_old_state_and_policy_of_a_key(self):
        owner, role = deploy.client("kms", MEMBER), self.role(MEMBER, "kms:*")
        key, reader = owner.create_key()["KeyMetadata"]["KeyId"], role.client("kms")
        ask("PUT", "lag", {"settings": LAG})
        owner.disable_key(KeyId=key)
        open_to_all = policy({"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Resource": "*"})
        owner.put_key_policy(KeyId=key, PolicyName="default", Policy=open_to_all)

        def state(client):
            return client.describe_key(KeyId=key)["KeyMetadata"]["KeyState"]

        self.assertEqual((state(owner), state(reader)), ("Disabled", "Enabled"))
        self.assertNotEqual(reader.get_key_policy(KeyId=key)["Policy"], open_to_all)
        self.shows_after(LAG, lambda: state(reader), "Disabled")
        self.assertEqual(reader.get_key_policy(KeyId=key)["Policy"], open_to_all)


class Events(Late):
    def setUp(self):
        super().setUp()
        name = f"events-{uuid.uuid4()}"
        self.sqs, rules = deploy.client("sqs", MEMBER, LINKED), deploy.client("events", MEMBER, LINKED)
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy({**allowed, "Resource": arn})})
        rules.put_rule(Name=name, EventPattern=json.dumps({"source": ["aws.kms"]}))
        rules.put_targets(Rule=name, Targets=[{"Id": "records", "Arn": arn}])
        self.addCleanup(rules.remove_targets, Rule=name, Ids=["records"])
        self.kms = deploy.client("kms", MEMBER, LINKED)

    def sent(self, **disorder):
        """Makes 20 keys under a disorder, and returns their numbers in the order of events."""
        ask("PUT", "disorder", {**_ORDER, **disorder})
        for number in range(20):
            self.kms.create_key(Description=str(number))
        time.sleep(disorder.get("shuffle", 0) + 0.3)
        came = []
        while found := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                came.append(int(json.loads(message["Body"])["detail"]["requestParameters"]["description"]))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return came

    def test_events_arrive_once_and_in_order(self):
        self.assertEqual(self.sent(), list(range(20)))

    def test_lost_events_are_the_same_for_the_same_seed(self):
        some = self.sent(seed=1, drop=0.5)
        self.assertTrue(0 < len(some) < 20, some)
        self.assertEqual(self.sent(seed=1, drop=0.5), some)
        self.assertNotEqual(self.sent(seed=2, drop=0.5), some)

    def test_duplicated_events_arrive_twice(self):
        came = self.sent(seed=1, duplicate=0.5)
        self.assertEqual(set(came), set(range(20)))
        self.assertTrue(20 < len(came) < 40, came)

    def test_shuffled_events_arrive_out_of_order(self):
        came = self.sent(seed=1, shuffle=1)
        self.assertEqual(sorted(came), list(range(20)))
        self.assertNotEqual(came, sorted(came))

    def test_an_invalid_disorder_is_refused(self):
        for disorder in ({**_ORDER, "drop": 2}, {"seed": 1}, {**_ORDER, "shuffle": "x"}):
            with self.assertRaises(OSError):
                ask("PUT", "disorder", disorder)


class Tables(Late):
    def setUp(self):
        super().setUp()
        self.root = deploy.client("dynamodb", HUB)
        self.table = f"table-{uuid.uuid4()}"
        attributes = [{"AttributeName": name, "AttributeType": "S"} for name in ("p", "k")]
        self.definition = {
            "TableName": self.table,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": attributes,
            "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "by-k",
                    "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        }

    def query(self, **more):
        values = {":k": {"S": "one"}}
        asked = {"TableName": self.table, "IndexName": "by-k", "KeyConditionExpression": "k = :k", **more}
        return self.root.query(ExpressionAttributeValues=values, **asked)["Items"]

    def test_an_index_shows_a_write_after_the_lag_and_refuses_consistent_reads(self):
        self.root.create_table(**self.definition)
        ask("PUT", "lag", {"index": LAG})
        self.root.put_item(TableName=self.table, Item={"p": {"S": "a"}, "k": {"S": "one"}})
        self.assertIn("Item", self.root.get_item(TableName=self.table, Key={"p": {"S": "a"}}))
        self.shows_after(LAG, lambda: len(self.query()), 1)
        self.refused("ValidationException", self.query, ConsistentRead=True)

    def test_a_table_with_a_key_needs_permission_to_use_the_key_through_dynamodb(self):
        kms = deploy.client("kms", HUB)
        key = kms.create_key()["KeyMetadata"]["Arn"]
        formation = deploy.client("cloudformation", HUB)
        properties = {
            **self.definition,
            "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": key},
        }
        template = {"Resources": {"Table": {"Type": "AWS::DynamoDB::Table", "Properties": properties}}}
        formation.create_stack(StackName=self.table, TemplateBody=json.dumps(template))
        waiter = formation.get_waiter("stack_create_complete")
        waiter.wait(StackName=self.table, WaiterConfig={"Delay": 0.2, "MaxAttempts": 100})
        asked = {"TableName": self.table, "Key": {"p": {"S": "a"}}}
        without = self.role(HUB, "dynamodb:*").client("dynamodb")
        self.refused("AccessDeniedException", without.get_item, **asked)
        uses = ["Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey"]
        uses = [f"kms:{use}" for use in (*uses, "GenerateDataKeyWithoutPlaintext")]
        self.assertNotIn("Item", self.role(HUB, "dynamodb:*", *uses).client("dynamodb").get_item(**asked))
        for missing in uses:
            role = self.role(HUB, "dynamodb:*", *uses)
            role.deny(missing)
            self.refused("AccessDeniedException", role.client("dynamodb").get_item, **asked)
        kms.disable_key(KeyId=key)
        self.refused("AccessDeniedException", self.role(HUB, "dynamodb:*", *uses).client("dynamodb").get_item, **asked)


if __name__ == "__main__":
    unittest.main()
