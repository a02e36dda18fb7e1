"""Tests the calls to AWS that only a sweep makes, and the records, faults and kills of the sandbox.

The rules are those of accounts.py, buckets.py, tags.py, cloudtrail.py, faults.py and kills.py. The
tests call over HTTP, with the credentials of a role.
"""

import unittest
import urllib.error
import uuid

from sandbox import deploy, organization
from sandbox.testing import HOME, HUB, LINKED, MEMBER, OTHER, AsRole, Records, ask, policy, setUpModule

__all__ = ["setUpModule"]


class Accounts(AsRole):
    def setUp(self):
        self.organizations = self.role(HUB, "organizations:ListAccounts").client("organizations")

    def test_accounts_are_listed_in_pages_and_the_first_page_is_empty(self):
        pages = list(self.organizations.get_paginator("list_accounts").paginate())
        self.assertEqual([len(page["Accounts"]) for page in pages], [0, 2, 2, 1])
        listed = [(account["Id"], account["State"]) for page in pages for account in page["Accounts"]]
        ours = [(account, "ACTIVE") for account in organization.ACCOUNTS]
        self.assertEqual(listed, [*ours, (organization.SUSPENDED, "SUSPENDED")])
        self.assertNotIn("Status", pages[1]["Accounts"][0])
        pages = list(self.organizations.get_paginator("list_accounts").paginate(PaginationConfig={"PageSize": 1}))
        self.assertEqual([len(page["Accounts"]) for page in pages], [0, 1, 1, 1, 1, 1])

    def test_an_invalid_page_is_refused(self):
        for wrong in ({"MaxResults": 21}, {"NextToken": "from-5"}, {"NextToken": "nonsense"}):
            with self.subTest(wrong):
                self.refused("InvalidInputException", self.organizations.list_accounts, **wrong)

    def test_only_the_delegated_administrator_may_ask_and_iam_can_refuse(self):
        member = self.role(MEMBER, "organizations:ListAccounts").client("organizations")
        self.refused("AccessDeniedException", member.list_accounts)
        self.refused("AccessDeniedException", self.role(HUB).client("organizations").list_accounts)

    def test_describing_an_account_needs_permission_and_the_delegated_administrator(self):
        able = self.role(HUB, "organizations:DescribeAccount").client("organizations")
        told = able.describe_account(AccountId=MEMBER)["Account"]
        self.assertEqual((told["Id"], told["Name"], told["State"]), (MEMBER, "account 2", "ACTIVE"))
        self.refused("AccountNotFoundException", able.describe_account, AccountId="999999999999")
        member = self.role(MEMBER, "organizations:DescribeAccount").client("organizations")
        self.refused("AccessDeniedException", member.describe_account, AccountId=MEMBER)
        self.refused("AccessDeniedException", self.organizations.describe_account, AccountId=MEMBER)


class Buckets(AsRole):
    """Buckets of an account, three in the home and one in the linked region, and of another
    account.
    """

    @classmethod
    def setUpClass(cls):
        cls.prefix = f"sweep-{uuid.uuid4().hex[:8]}"
        there = {"CreateBucketConfiguration": {"LocationConstraint": LINKED}}
        for name, account, region, options in [
            *((name, MEMBER, HOME, {}) for name in "cab"),
            ("d", MEMBER, LINKED, there),
            ("e", OTHER, HOME, {}),
        ]:
            deploy.client("s3", account, region).create_bucket(Bucket=f"{cls.prefix}-{name}", **options)

    def setUp(self):
        self.reader = self.role(MEMBER, "s3:ListAllMyBuckets", "tag:GetResources")


class List(Buckets):
    def listed(self, region=HOME, **asked):
        answer = self.reader.client("s3", region).list_buckets(**asked)
        names = [bucket["Name"].removeprefix(f"{self.prefix}-") for bucket in answer["Buckets"]]
        return names, answer.get("ContinuationToken")

    def test_buckets_of_the_account_are_listed_by_name_in_pages(self):
        names, token = self.listed(MaxBuckets=2, Prefix=self.prefix)
        self.assertEqual(names, ["a", "b"])
        self.assertEqual(self.listed(MaxBuckets=2, Prefix=self.prefix, ContinuationToken=token), (["c", "d"], None))
        self.refused("InvalidArgument", self.reader.client("s3").list_buckets, MaxBuckets=10001)

    def test_a_region_can_only_be_listed_through_its_own_endpoint(self):
        for region, expected in ((HOME, ["a", "b", "c"]), (LINKED, ["d"])):
            self.assertEqual(self.listed(region, BucketRegion=region, Prefix=self.prefix), (expected, None))
        self.refused("InvalidArgument", self.reader.client("s3").list_buckets, BucketRegion=LINKED)

    def test_the_region_is_returned_only_to_requests_with_a_parameter(self):
        s3 = self.reader.client("s3")
        for asked in ({"Prefix": self.prefix}, {"MaxBuckets": 1000}):
            regions = {bucket["Name"]: bucket["BucketRegion"] for bucket in s3.list_buckets(**asked)["Buckets"]}
            self.assertEqual([regions[f"{self.prefix}-{name}"] for name in "ad"], [HOME, LINKED])
        self.assertNotIn("BucketRegion", s3.list_buckets()["Buckets"][0])

    def test_a_statement_on_all_buckets_allows_listing(self):
        self.reader = self.role(MEMBER)
        self.refused("AccessDenied", self.reader.client("s3").list_buckets)
        allowed = {"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "arn:aws:s3:::*"}
        self.reader.iam.put_role_policy(RoleName=self.reader.name, PolicyName="list", PolicyDocument=policy(allowed))
        self.assertEqual(self.listed(Prefix=f"{self.prefix}-a"), (["a"], None))

    def test_iam_can_refuse_and_refused_calls_are_counted(self):
        counted = f"{MEMBER}/{LINKED}/s3:ListAllMyBuckets"
        before = ask("GET", "calls").get(counted, 0)
        self.listed(LINKED, MaxBuckets=1)
        self.reader.deny("s3:ListAllMyBuckets")
        self.refused("AccessDenied", self.reader.client("s3", LINKED).list_buckets)
        self.assertEqual(ask("GET", "calls")[counted], before + 2)


class Tags(Buckets):
    def setUp(self):
        super().setUp()
        for name, account, region in [
            *((name, MEMBER, HOME) for name in "ab"),
            ("d", MEMBER, LINKED),
            ("e", OTHER, HOME),
        ]:
            tags = {"TagSet": [{"Key": "class", "Value": name}, {"Key": "sweep", "Value": self.prefix}]}
            deploy.client("s3", account, region).put_bucket_tagging(Bucket=f"{self.prefix}-{name}", Tagging=tags)
        self.tags = self.reader.client("resourcegroupstaggingapi")

    def arns(self, names):
        return [f"arn:aws:s3:::{self.prefix}-{name}" for name in names]

    def found(self, region=HOME, **asked):
        answer = self.reader.client("resourcegroupstaggingapi", region).get_resources(**asked)
        found = {one["ResourceARN"]: one["Tags"] for one in answer["ResourceTagMappingList"]}
        return {arn.rpartition("-")[2]: {tag["Key"]: tag["Value"] for tag in tags} for arn, tags in found.items()}

    def test_buckets_are_found_by_arn_in_their_region_and_account_if_they_have_or_had_tags(self):
        found = self.found(ResourceARNList=self.arns("abcdex"))
        self.assertEqual({name: tags["class"] for name, tags in found.items()}, {"a": "a", "b": "b"})
        self.assertEqual(self.found(LINKED, ResourceARNList=self.arns("abcdex")).keys(), {"d"})
        deploy.client("s3", MEMBER).delete_bucket_tagging(Bucket=f"{self.prefix}-b")
        self.assertEqual(self.found(ResourceARNList=self.arns("bc")), {"b": {}})
        self.refused("NoSuchTagSet", deploy.client("s3", MEMBER).get_bucket_tagging, Bucket=f"{self.prefix}-b")

    def test_buckets_are_found_by_filters_in_pages(self):
        mine = {"TagFilters": [{"Key": "sweep", "Values": [self.prefix]}]}
        self.assertEqual(self.found(**mine).keys(), {"a", "b"})
        self.assertEqual(self.found(**mine, ResourceTypeFilters=["lambda"]), {})
        asked = {**mine, "ResourceTypeFilters": ["s3"], "PaginationConfig": {"PageSize": 1}}
        pages = list(self.tags.get_paginator("get_resources").paginate(**asked))
        self.assertEqual([[one["ResourceARN"] for one in page["ResourceTagMappingList"]] for page in pages],
                         [[arn] for arn in self.arns("ab")])  # fmt: skip

    def test_requests_beyond_the_limits_are_refused(self):
        arns = self.arns("a")
        for wrong in [
            {"ResourceARNList": arns * 101},
            {"ResourceARNList": []},
            {"ResourceARNList": ["acme"]},
            {"ResourceARNList": arns, "TagFilters": [{"Key": "class"}]},
            {"ResourceARNList": arns, "ResourceTypeFilters": ["s3"]},
            {"ResourceARNList": arns, "ResourcesPerPage": 1},
            {"ResourcesPerPage": 101},
            {"PaginationToken": "x"},
        ]:
            with self.subTest(wrong):
                self.refused("InvalidParameterException", self.tags.get_resources, **wrong)

    def test_iam_can_refuse_and_refused_calls_are_counted(self):
        counted = f"{MEMBER}/{HOME}/tag:GetResources"
        before = ask("GET", "calls").get(counted, 0)
        self.found()
        self.reader.deny("tag:GetResources")
        self.refused("AccessDeniedException", self.tags.get_resources)
        self.assertEqual(ask("GET", "calls")[counted], before + 2)


class Faults(AsRole):
    def setUp(self):
        self.addCleanup(ask, "PUT", "faults", [])
        reader = self.role(MEMBER, "s3:ListAllMyBuckets", "kms:ListKeys", "sts:GetCallerIdentity")
        self.s3, self.kms, self.sts = (reader.client(service) for service in ("s3", "kms", "sts"))

    def fault(self, action, code, status, times):
        fault = {"account": MEMBER, "region": HOME, "action": action, "code": code, "status": status, "times": times}
        ask("PUT", "faults", [fault])

    def test_a_fault_fails_the_given_number_of_calls_in_the_format_of_the_service(self):
        for action, code, status, call in [
            ("s3:ListAllMyBuckets", "SlowDown", 503, self.s3.list_buckets),
            ("kms:ListKeys", "ThrottlingException", 400, self.kms.list_keys),
            ("sts:GetCallerIdentity", "Throttling", 400, self.sts.get_caller_identity),
        ]:
            with self.subTest(action):
                self.fault(action, code, status, 2)
                for _ in range(2):
                    with self.assertRaises(self.s3.exceptions.ClientError) as caught:
                        call()
                    response = caught.exception.response
                    self.assertEqual(
                        (response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]), (code, status)
                    )
                call()

    def test_a_fault_affects_only_roles_of_its_account_and_region_until_it_is_removed(self):
        self.fault("kms:ListKeys", "ThrottlingException", 400, -1)
        counted = f"{MEMBER}/{HOME}/kms:ListKeys"
        before = ask("GET", "calls").get(counted, 0)
        for _ in range(3):
            self.refused("ThrottlingException", self.kms.list_keys)
        self.assertEqual(ask("GET", "calls")[counted], before + 3)
        deploy.client("kms", MEMBER).list_keys()
        self.role(OTHER, "kms:ListKeys").client("kms").list_keys()
        self.role(MEMBER, "kms:ListKeys").client("kms", LINKED).list_keys()
        ask("PUT", "faults", [])
        self.kms.list_keys()

    def test_a_fault_leaves_other_calls_unchanged(self):
        self.fault("kms:ListKeys", "ThrottlingException", 400, -1)
        name = f"b-{uuid.uuid4()}"
        deploy.client("s3", MEMBER).create_bucket(Bucket=name)
        deploy.client("s3", MEMBER).put_object(Bucket=name, Key="large", Body=b"x" * 300_000)
        got = deploy.client("s3", MEMBER).get_object(Bucket=name, Key="large")
        self.assertEqual(got["ContentLength"], 300_000)
        self.assertIn(f"{MEMBER}/{HOME}/s3:PutObject", ask("GET", "calls"))


class RecordsOfKms(unittest.TestCase):
    def setUp(self):
        self.kms = deploy.client("kms", MEMBER, LINKED)
        self.records = Records(self, MEMBER, LINKED).take
        self.old, self.new = (self.kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
        self.records()

    def record(self):
        ((kind, detail),) = self.records()
        self.assertEqual(kind, "AWS API Call via CloudTrail")
        self.assertEqual({resource["type"] for resource in detail["resources"]}, {"AWS::KMS::Key"})
        key = (detail["responseElements"] or {}).get("keyId")
        return detail["eventName"], [resource["ARN"] for resource in detail["resources"]], key

    def test_records_of_alias_calls_name_the_alias_and_the_key(self):
        name = f"alias/{uuid.uuid4()}"
        alias = f"arn:aws:kms:{LINKED}:{MEMBER}:{name}"
        self.kms.create_alias(AliasName=name, TargetKeyId=self.old)
        self.assertEqual(self.record(), ("CreateAlias", [self.old, alias], self.old))
        self.kms.update_alias(AliasName=name, TargetKeyId=self.new.rpartition("/")[2])
        self.assertEqual(self.record(), ("UpdateAlias", [alias, self.new], self.new))
        self.kms.delete_alias(AliasName=name)
        self.assertEqual(self.record(), ("DeleteAlias", [alias, self.new], self.new))

    def test_records_of_key_calls_name_the_key(self):
        for name, call in [
            ("DisableKey", self.kms.disable_key),
            ("EnableKey", self.kms.enable_key),
            ("ScheduleKeyDeletion", self.kms.schedule_key_deletion),
        ]:
            call(KeyId=self.old.rpartition("/")[2])
            self.assertEqual(self.record(), (name, [self.old], self.old))
        with self.assertRaises(self.kms.exceptions.KMSInvalidStateException):
            self.kms.enable_key_rotation(KeyId=self.old)
        self.assertEqual(self.record(), ("EnableKeyRotation", [self.old], None))

    def test_importing_key_material_is_recorded_without_the_material(self):
        key = self.kms.create_key(Origin="EXTERNAL")["KeyMetadata"]["Arn"]
        self.assertEqual(self.record()[:2], ("CreateKey", [key]))
        with self.assertRaises(self.kms.exceptions.ClientError):
            self.kms.import_key_material(KeyId=key, ImportToken=b"x", EncryptedKeyMaterial=b"y")
        ((_, detail),) = self.records()
        self.assertEqual((detail["eventName"], detail["requestParameters"]), ("ImportKeyMaterial", {"keyId": key}))

    def test_the_deletion_of_a_key_is_recorded_without_a_caller(self):
        name = f"alias/{uuid.uuid4()}"
        self.kms.create_alias(AliasName=name, TargetKeyId=self.old)
        self.records()
        ask("PUT", "delete-key", {"key": self.old})
        ((kind, detail),) = self.records()
        self.assertEqual(kind, "AWS Service Event via CloudTrail")
        self.assertEqual(detail["userIdentity"], {"accountId": MEMBER, "invokedBy": "AWS Internal"})
        self.assertEqual([resource["ARN"] for resource in detail["resources"]], [self.old])
        self.assertEqual((detail["eventType"], detail["requestParameters"]), ("AwsServiceEvent", None))
        self.assertNotIn("requestID", detail)
        for gone in (self.old, name):
            with self.assertRaises(self.kms.exceptions.NotFoundException):
                self.kms.describe_key(KeyId=gone)


class Kills(AsRole):
    """No function runs here that could be killed, so the tests check which call gets no answer."""

    def setUp(self):
        self.addCleanup(ask, "PUT", "kills", [])
        self.kms = self.role(MEMBER, "kms:ListKeys").client("kms")

    def unanswered(self):
        with self.assertRaises(self.kms.exceptions.ClientError) as caught:
            self.kms.list_keys()
        self.assertEqual(caught.exception.response["ResponseMetadata"]["HTTPStatusCode"], 500)

    def test_the_nth_call_of_a_session_gets_no_answer_before_or_after_its_effect(self):
        counted = f"{MEMBER}/{HOME}/kms:ListKeys"
        for when, calls in (("before", 2), ("after", 3)):
            with self.subTest(when):
                before = ask("GET", "calls").get(counted, 0)
                ask("PUT", "kills", [{"function": "test", "action": "kms:ListKeys", "nth": 2, "when": when}])
                self.kms.list_keys()
                self.assertEqual(len(ask("GET", "kills")), 1)
                self.unanswered()
                self.assertEqual(ask("GET", "kills"), [])
                self.kms.list_keys()
                self.assertEqual(ask("GET", "calls")[counted], before + calls)

    def test_a_kill_ignores_other_sessions(self):
        ask("PUT", "kills", [{"function": "cmkwatch-alert", "action": "kms:ListKeys", "nth": 1, "when": "before"}])
        self.kms.list_keys()

    def test_an_invalid_kill_is_refused(self):
        for wrong in ({}, {"function": "x", "action": "kms:ListKeys", "nth": 0, "when": "after"}):
            with self.assertRaises(urllib.error.HTTPError):
                ask("PUT", "kills", [wrong])


if __name__ == "__main__":
    unittest.main()
