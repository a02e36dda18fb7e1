"""Tests what a role may read of buckets and keys, and what it then sees.

The rules are those of access.py, buckets.py, keys.py and rotation.py. The tests call as cmkwatch
does, over HTTP and with the credentials of a role.
"""

import unittest
import uuid

from botocore.exceptions import ClientError

from sandbox import deploy
from sandbox.testing import HOME, LINKED, MEMBER, OTHER, AsRole, policy, setUpModule, statement

__all__ = ["setUpModule"]

ROOT, APP = f"arn:aws:iam::{MEMBER}:root", f"arn:aws:iam::{MEMBER}:role/app"
READS_OF_BUCKETS = ["s3:GetBucketPolicy", "s3:GetBucketTagging", "s3:GetEncryptionConfiguration"]
READS_OF_KEYS = {
    "kms:DescribeKey": "describe_key",
    "kms:GetKeyPolicy": "get_key_policy",
    "kms:GetKeyRotationStatus": "get_key_rotation_status",
}


class Reads(AsRole):
    """A role in each of two accounts, which IAM lets read all buckets and keys."""

    def setUp(self):
        self.reader, self.stranger = (
            self.role(account, *READS_OF_BUCKETS, *READS_OF_KEYS) for account in (MEMBER, OTHER)
        )


class Buckets(Reads):
    def setUp(self):
        super().setUp()
        self.owner, self.s3, self.bucket = deploy.client("s3", MEMBER), self.reader.client("s3"), f"b-{uuid.uuid4()}"
        self.owner.create_bucket(Bucket=self.bucket)
        self.arn = f"arn:aws:s3:::{self.bucket}"

    def encryption(self):
        return self.s3.get_bucket_encryption(Bucket=self.bucket)["ServerSideEncryptionConfiguration"]["Rules"]

    def test_a_bucket_policy_is_returned_unchanged(self):
        self.refused("NoSuchBucketPolicy", self.s3.get_bucket_policy, Bucket=self.bucket)
        put = policy(statement("*", "s3:*", self.arn, "Deny", Bool={"aws:SecureTransport": "false"}))
        self.owner.put_bucket_policy(Bucket=self.bucket, Policy=put)
        read = self.s3.get_bucket_policy(Bucket=self.bucket, ExpectedBucketOwner=MEMBER)
        self.assertEqual(read["Policy"], put)
        self.refused("AccessDenied", self.s3.get_bucket_policy, Bucket=self.bucket, ExpectedBucketOwner=OTHER)

    def test_iam_and_the_bucket_policy_can_refuse(self):
        self.reader.deny("s3:GetBucketPolicy")
        self.refused("AccessDenied", self.s3.get_bucket_policy, Bucket=self.bucket)
        put = policy(statement("*", "s3:GetEncryptionConfiguration", self.arn, "Deny"))
        self.owner.put_bucket_policy(Bucket=self.bucket, Policy=put)
        self.refused("AccessDenied", self.encryption)

    def test_other_accounts_cannot_read_a_bucket_policy(self):
        admit = policy(statement({"AWS": OTHER}, READS_OF_BUCKETS, self.arn))
        self.owner.put_bucket_policy(Bucket=self.bucket, Policy=admit)
        stranger = self.stranger.client("s3")
        stranger.get_bucket_encryption(Bucket=self.bucket)
        self.refused("MethodNotAllowed", stranger.get_bucket_policy, Bucket=self.bucket)

    def put(self, rule):
        configuration = {"Rules": [rule]}
        self.owner.put_bucket_encryption(Bucket=self.bucket, ServerSideEncryptionConfiguration=configuration)

    def test_new_buckets_block_sse_c_and_keep_a_configured_block(self):
        default, blocked = {"SSEAlgorithm": "AES256"}, {"EncryptionType": ["SSE-C"]}
        new = {
            "ApplyServerSideEncryptionByDefault": default,
            "BucketKeyEnabled": False,
            "BlockedEncryptionTypes": blocked,
        }
        self.assertEqual(self.encryption(), [new])
        kms = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "alias/acme"}
        for put in [
            {"ApplyServerSideEncryptionByDefault": kms, "BucketKeyEnabled": True, "BlockedEncryptionTypes": blocked},
            {"ApplyServerSideEncryptionByDefault": default, "BlockedEncryptionTypes": {"EncryptionType": ["NONE"]}},
        ]:
            with self.subTest(put):
                self.put(put)
                self.assertEqual(self.encryption(), [put])
                self.put({"ApplyServerSideEncryptionByDefault": default})
                kept = {"BlockedEncryptionTypes": put["BlockedEncryptionTypes"]}
                self.assertEqual(self.encryption(), [{"ApplyServerSideEncryptionByDefault": default, **kept}])
        self.owner.delete_bucket_encryption(Bucket=self.bucket)
        self.assertEqual(self.encryption(), [new])


class ReadsOfKeys(Reads):
    def setUp(self):
        super().setUp()
        self.owner, self.kms = deploy.client("kms", MEMBER), self.reader.client("kms")

    def make(self, **how):
        return self.owner.create_key(**how)["KeyMetadata"]["Arn"]


class Keys(ReadsOfKeys):
    def readable(self, key, role=None):
        """Returns the reads of the key that the role may make."""
        kms, able = (role or self.reader).client("kms"), set()
        for action, read in READS_OF_KEYS.items():
            try:
                getattr(kms, read)(KeyId=key)
                able.add(action)
            except ClientError as error:
                self.assertEqual(error.response["Error"]["Code"], "AccessDeniedException")
        return able

    def test_the_key_policy_must_admit_the_role_or_leave_it_to_iam(self):
        administration = ["kms:Create*", "kms:Describe*", "kms:Get*", "kms:List*", "kms:Put*", "kms:ScheduleKeyDeletion"]
        through_s3 = {"kms:ViaService": f"s3.{HOME}.amazonaws.com"}
        use = statement({"AWS": APP}, "kms:Decrypt", StringEquals=through_s3)
        everything, all_reads = statement({"AWS": ROOT}, "kms:*"), set(READS_OF_KEYS)
        insecure = {"aws:SecureTransport": "false"}
        mine, theirs = {"kms:CallerAccount": MEMBER}, {"kms:CallerAccount": OTHER}
        for able, statements in [
            (all_reads, [everything]),
            (all_reads, [statement({"AWS": ROOT}, administration), use]),
            (all_reads, [everything, statement("*", "kms:*", effect="Deny", Bool=insecure)]),
            (all_reads, [statement({"AWS": "*"}, "kms:*", StringEquals=mine)]),
            ({"kms:DescribeKey"}, [statement({"AWS": ROOT}, ["kms:Describe*", "kms:Put*"])]),
            (set(), [statement({"AWS": "*"}, "kms:*", StringEquals=theirs)]),
            (set(), [everything, statement("*", "kms:*", effect="Deny", StringNotEquals=through_s3)]),
            (set(), [statement({"AWS": APP}, "kms:*")]),
        ]:
            with self.subTest(statements):
                put = policy(*statements)
                key = self.make(Policy=put, BypassPolicyLockoutSafetyCheck=True)
                self.assertEqual(self.readable(key), able)
                self.assertEqual(self.owner.get_key_policy(KeyId=key)["Policy"], put)

    def test_iam_can_refuse_each_read_of_a_key(self):
        key = self.make()
        for action in READS_OF_KEYS:
            self.reader.deny(action)
            self.assertEqual(self.readable(key), set(READS_OF_KEYS) - {action})

    def test_another_account_may_describe_a_key_but_not_read_its_policy(self):
        admit = statement({"AWS": OTHER}, "kms:*")
        key = self.make(Policy=policy(statement({"AWS": ROOT}, "kms:*"), admit))
        able = self.readable(key, self.stranger)
        self.assertEqual(able, {"kms:DescribeKey", "kms:GetKeyRotationStatus"})
        self.assertEqual(self.readable(self.make(), self.stranger), set())

    def test_calls_that_take_only_keys_refuse_an_alias(self):
        alias = f"alias/{uuid.uuid4()}"
        self.owner.create_alias(AliasName=alias, TargetKeyId=self.make())
        self.kms.describe_key(KeyId=alias)
        self.refused("NotFoundException", self.kms.get_key_policy, KeyId=alias)
        self.refused("NotFoundException", self.kms.get_key_rotation_status, KeyId=alias)


class Rotation(ReadsOfKeys):
    def status(self, key, kms=None):
        status = (kms or self.kms).get_key_rotation_status(KeyId=key)
        return status["KeyRotationEnabled"], status.get("RotationPeriodInDays")

    def test_the_rotation_period_is_a_year_or_the_configured_one(self):
        key = self.make()
        self.assertEqual(self.status(key), (False, None))
        for put, days in [({"RotationPeriodInDays": 90}, 90), ({"RotationPeriodInDays": 2560}, 2560), ({}, 365)]:
            self.owner.enable_key_rotation(KeyId=key, **put)
            self.assertEqual(self.status(key), (True, days))
        self.refused("ValidationException", self.owner.enable_key_rotation, KeyId=key, RotationPeriodInDays=2561)
        self.owner.disable_key_rotation(KeyId=key)
        self.assertEqual(self.status(key), (False, None))

    def test_rotation_stays_on_for_a_disabled_key_and_pauses_before_deletion(self):
        key = self.make()
        self.owner.enable_key_rotation(KeyId=key)
        self.owner.disable_key(KeyId=key)
        self.assertEqual(self.status(key), (True, 365))
        self.refused("DisabledException", self.owner.enable_key_rotation, KeyId=key)
        self.owner.schedule_key_deletion(KeyId=key)
        self.assertEqual(self.status(key), (False, None))
        self.refused("KMSInvalidStateException", self.owner.enable_key_rotation, KeyId=key)
        self.owner.cancel_key_deletion(KeyId=key)
        self.assertEqual(self.status(key), (True, 365))

    def test_only_symmetric_keys_made_by_kms_can_rotate(self):
        asymmetric = self.make(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        imported = self.make(Origin="EXTERNAL")
        for key in (asymmetric, imported):
            self.refused("UnsupportedOperationException", self.owner.enable_key_rotation, KeyId=key)
        self.assertEqual(self.status(asymmetric), (False, None))
        self.refused("UnsupportedOperationException", self.kms.get_key_rotation_status, KeyId=imported)
        self.assertEqual(self.kms.describe_key(KeyId=imported)["KeyMetadata"]["Origin"], "EXTERNAL")

    def test_replicas_share_rotation_and_managed_keys_always_rotate(self):
        primary, there = self.make(MultiRegion=True), deploy.client("kms", MEMBER, LINKED)
        self.owner.replicate_key(KeyId=primary, ReplicaRegion=LINKED)
        self.owner.enable_key_rotation(KeyId=primary, RotationPeriodInDays=100)
        replica = primary.replace(HOME, LINKED)
        self.assertEqual(self.status(replica, there), (True, 100))
        self.refused("UnsupportedOperationException", there.disable_key_rotation, KeyId=replica)
        managed = self.owner.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["Arn"]
        self.assertEqual(self.status(managed), (True, 365))


if __name__ == "__main__":
    unittest.main()
