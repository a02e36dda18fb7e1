"""Tests who may use a key by a grant or a share, and the lag and the records of both.

The rules are those of grants.py, sharing.py, lag.py and cloudtrail.py.
"""

import json
import time
import unittest
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import deploy
from sandbox.testing import HOME, LINKED, MEMBER, OTHER, PORT, Keys, Records, ask, policy, setUpModule, statement

__all__ = ["setUpModule"]

ROOT, STRANGERS = f"arn:aws:iam::{MEMBER}:root", f"arn:aws:iam::{OTHER}:root"
ADMINISTRATION = statement({"AWS": ROOT}, ["kms:Create*", "kms:Put*", "kms:Schedule*"])
LAG = 1.0
SERVICE = {
    "GranteeServicePrincipal": "backup.amazonaws.com",
    "RetiringServicePrincipal": "rds.amazonaws.com",
    "Constraints": {"SourceArn": f"arn:aws:backup:{HOME}:{MEMBER}:backup-vault:acme"},
}


def session(account, name):
    return f"arn:aws:sts::{account}:assumed-role/{name}/test"


class WithGrants(Keys):
    def grant(self, grantee, *operations, **more):
        asked = {"KeyId": self.key, "GranteePrincipal": grantee, "Operations": operations or ["Encrypt"], **more}
        return self.owner.create_grant(**asked)

    def listed(self, kms=None, **more):
        return (kms or self.owner).list_grants(KeyId=self.key, **more)["Grants"]


class Grants(WithGrants):
    def setUp(self):
        super().setUp()
        self.key = self.make()

    def test_a_grant_names_an_identity_or_a_service_of_aws(self):
        instance = f"{MEMBER}:aws:ec2-infrastructure:i-0123456789abcdef0"
        for grantee in (f"arn:aws:iam::{MEMBER}:role/app", session(OTHER, "app"), "rds.amazonaws.com", instance):
            self.grant(grantee)
            self.assertIn(grantee, [grant["GranteePrincipal"] for grant in self.listed()])
        for wrong in ("app", "arn:aws:s3:::acme", f"{MEMBER}:role/app"):
            self.refused("InvalidArnException", self.grant, grantee=wrong)
        self.refused("InvalidArnException", self.grant, grantee=ROOT, RetiringPrincipal="app")

    def test_a_grant_to_a_service_principal_needs_a_source_and_a_retiring_principal(self):
        asked = {"KeyId": self.key, "Operations": ["Decrypt"], **SERVICE}
        self.owner.create_grant(**asked)
        (shown,) = self.listed()
        self.assertEqual({name: shown.get(name) for name in SERVICE}, SERVICE)
        self.assertNotIn("GranteePrincipal", shown)
        self.assertNotIn("RetiringPrincipal", shown)
        for missing in SERVICE:
            less = {name: value for name, value in asked.items() if name != missing}
            self.refused("ValidationException", self.owner.create_grant, **less)
        for more in ({"GranteePrincipal": ROOT}, {"RetiringPrincipal": ROOT}, {"GranteeServicePrincipal": "rds"}):
            self.refused("ValidationException", self.owner.create_grant, **(asked | more))
        self.refused("AccessDeniedException", self.listed, GranteeServicePrincipal="backup.amazonaws.com")

    def test_grants_are_listed_in_pages_of_50_or_as_asked(self):
        made = {self.grant(ROOT)["GrantId"] for _ in range(51)}
        pages = list(self.owner.get_paginator("list_grants").paginate(KeyId=self.key))
        self.assertEqual([len(page["Grants"]) for page in pages], [50, 1])
        self.assertEqual({grant["GrantId"] for page in pages for grant in page["Grants"]}, made)
        first = self.owner.list_grants(KeyId=self.key, Limit=20)
        self.assertEqual((len(first["Grants"]), first["Truncated"]), (20, True))
        self.assertEqual(len(self.listed(Limit=100)), 51)
        for limit in (0, 101):
            self.refused("ValidationException", self.listed, Limit=limit, kms=self.role(MEMBER, "kms:*").client("kms"))
        self.refused("InvalidMarkerException", self.listed, Marker="x")

    def test_grants_are_listed_in_every_state_of_the_key_and_made_only_if_it_is_enabled(self):
        made = self.grant(ROOT)
        for change, code in (
            (self.owner.disable_key, "DisabledException"),
            (self.owner.schedule_key_deletion, "KMSInvalidStateException"),
        ):
            change(KeyId=self.key)
            self.assertEqual([grant["GrantId"] for grant in self.listed()], [made["GrantId"]])
            self.refused(code, self.grant, grantee=ROOT)
        self.owner.revoke_grant(KeyId=self.key, GrantId=made["GrantId"])
        self.assertEqual(self.listed(), [])

    def test_calls_about_grants_take_no_alias(self):
        made = {"GrantId": self.grant(ROOT)["GrantId"]}
        self.refuses_alias(self.owner.list_grants, self.key)
        self.refuses_alias(self.owner.create_grant, self.key, GranteePrincipal=ROOT, Operations=["Encrypt"])
        self.refuses_alias(self.owner.revoke_grant, self.key, **made)
        self.refuses_alias(self.owner.retire_grant, self.key, **made)

    def test_another_account_makes_lists_and_revokes_grants_if_the_key_policy_allows_it(self):
        calls = ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"]
        _, stranger = self.actor(OTHER, *calls)
        asked = {"KeyId": self.key, "GranteePrincipal": STRANGERS, "Operations": ["Encrypt"]}
        self.refused("AccessDeniedException", stranger.create_grant, **asked)
        self.owner.put_key_policy(KeyId=self.key, Policy=policy(statement({"AWS": [ROOT, STRANGERS]}, "kms:*")))
        made = stranger.create_grant(**asked)["GrantId"]
        for kms in (self.owner, stranger):
            (shown,) = self.listed(kms)
            self.assertEqual((shown["GrantId"], shown["IssuingAccount"]), (made, STRANGERS))
        mine = self.grant(ROOT)["GrantId"]
        self.assertEqual({grant["GrantId"] for grant in self.listed(stranger)}, {made, mine})
        stranger.revoke_grant(KeyId=self.key, GrantId=mine)
        self.assertEqual([grant["GrantId"] for grant in self.listed()], [made])

    def test_the_grants_of_a_deleted_key_are_gone_and_its_token_is_invalid(self):
        token = self.grant(ROOT)["GrantToken"]
        self.refused("InvalidGrantTokenException", self.there.retire_grant, GrantToken=token)
        ask("PUT", "delete-key", {"key": self.key})
        self.refused("InvalidGrantTokenException", self.owner.retire_grant, GrantToken=token)


class Authorization(WithGrants):
    """A key whose policy leaves its use to nobody."""

    def setUp(self):
        super().setUp()
        self.key = self.make(ADMINISTRATION)

    def encrypts(self, kms, **context):
        try:
            kms.encrypt(KeyId=self.key, Plaintext=b"x", **({"EncryptionContext": context} if context else {}))
        except ClientError as error:
            self.assertEqual(error.response["Error"]["Code"], "AccessDeniedException")
            return False
        return True

    def test_a_role_a_session_and_a_user_may_do_what_a_grant_names_and_no_more(self):
        (role, kms), (other, other_kms), user, user_kms = self.actor(MEMBER), self.actor(OTHER), *self.user()
        second = self.make(ADMINISTRATION)
        for grantee, able in [
            (role, kms),
            (session(MEMBER, role.rpartition("/")[2]), kms),
            (other, other_kms),
            (user, user_kms),
        ]:
            with self.subTest(grantee):
                self.assertFalse(self.encrypts(able))
                made = self.grant(grantee, "Encrypt", "DescribeKey")["GrantId"]
                self.assertTrue(self.encrypts(able))
                able.describe_key(KeyId=self.key)
                self.refused("AccessDeniedException", able.describe_key, KeyId=second)
                self.refused("AccessDeniedException", able.generate_data_key, KeyId=self.key, KeySpec="AES_256")
                self.refused("AccessDeniedException", able.list_grants, KeyId=self.key)
                self.owner.revoke_grant(KeyId=self.key, GrantId=made)
                self.assertFalse(self.encrypts(able))

    def user(self):
        iam, name = deploy.client("iam", MEMBER), f"user-{uuid.uuid4()}"
        arn = iam.create_user(UserName=name)["User"]["Arn"]
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return arn, boto3.client(
            "kms",
            endpoint_url=f"http://127.0.0.1:{PORT}",
            region_name=HOME,
            aws_access_key_id=made["AccessKeyId"],
            aws_secret_access_key=made["SecretAccessKey"],
            config=Config(retries={"total_max_attempts": 1}),
        )

    def test_an_explicit_deny_of_the_role_or_the_key_is_stronger_than_a_grant(self):
        role = self.role(MEMBER)
        name, kms = f"arn:aws:iam::{MEMBER}:role/{role.name}", role.client("kms")
        self.grant(name, "Encrypt", "DescribeKey")
        role.deny("kms:Encrypt")
        self.assertFalse(self.encrypts(kms))
        kms.describe_key(KeyId=self.key)
        deny = statement("*", "kms:DescribeKey", effect="Deny")
        self.owner.put_key_policy(KeyId=self.key, Policy=policy(ADMINISTRATION, deny))
        self.refused("AccessDeniedException", kms.describe_key, KeyId=self.key)

    def test_a_grant_to_an_account_admits_identities_with_a_policy_of_their_own(self):
        (_, able), (_, unable), (_, owners) = self.actor(OTHER, "kms:Encrypt"), self.actor(OTHER), self.actor(MEMBER)
        self.grant(STRANGERS)
        self.assertEqual([self.encrypts(kms) for kms in (able, unable, owners)], [True, False, False])

    def test_the_encryption_context_of_a_grant_restricts_cryptographic_operations_only(self):
        part, whole = ({name: {"App": "x"}} for name in ("EncryptionContextSubset", "EncryptionContextEquals"))
        for constraints, expected in ((part, [True, True, False, False]), (whole, [True, False, False, False])):
            name, kms = self.actor(MEMBER)
            self.grant(name, "Encrypt", "DescribeKey", Constraints=constraints)
            given = [{"app": "x"}, {"App": "x", "b": "y"}, {"App": "y"}, {}]
            self.assertEqual([self.encrypts(kms, **context) for context in given], expected)
            kms.describe_key(KeyId=self.key)

    def test_a_grant_with_a_source_admits_no_role(self):
        name, kms = self.actor(MEMBER)
        self.grant(name, Constraints=SERVICE["Constraints"])
        self.assertFalse(self.encrypts(kms))

    def test_a_grantee_makes_only_grants_that_are_as_strict_as_its_own(self):
        self.key = self.make(statement({"AWS": ROOT}, "kms:Put*"))
        name, kms = self.actor(MEMBER)
        strict = {"EncryptionContextSubset": {"a": "x"}}
        self.grant(name, "CreateGrant", "Encrypt", Constraints=strict)
        asked = {"KeyId": self.key, "GranteePrincipal": name}
        for operations, constraints, made in [
            (["Encrypt"], strict, True),
            (["Encrypt"], {"EncryptionContextEquals": {"a": "x", "b": "y"}}, True),
            (["Encrypt"], {}, False),
            (["Encrypt"], {"EncryptionContextSubset": {"b": "y"}}, False),
            (["Encrypt", "Decrypt"], strict, False),
        ]:
            with self.subTest((operations, constraints)):
                full = {**asked, "Operations": operations, "Constraints": constraints}
                if made:
                    kms.create_grant(**full)
                else:
                    self.refused("AccessDeniedException", kms.create_grant, **full)

    def test_a_grant_is_retired_by_those_that_it_names_and_by_the_account_that_made_it(self):
        (retiring, first), (grantee, second) = self.actor(MEMBER), self.actor(OTHER)
        (_, third), (_, nobody) = self.actor(MEMBER, "kms:RetireGrant"), self.actor(OTHER, "kms:RetireGrant")
        allow = statement({"AWS": "*"}, "kms:RetireGrant")
        self.owner.put_key_policy(KeyId=self.key, Policy=policy(ADMINISTRATION, allow))
        for kms, operations in ((first, ["Encrypt"]), (second, ["Encrypt", "RetireGrant"]), (third, ["Encrypt"])):
            made = self.grant(grantee, *operations, RetiringPrincipal=retiring)
            self.refused("AccessDeniedException", nobody.retire_grant, GrantToken=made["GrantToken"])
            kms.retire_grant(GrantToken=made["GrantToken"])
        made = self.grant(grantee, RetiringPrincipal=retiring)
        by_id = {"KeyId": self.key, "GrantId": made["GrantId"]}
        self.refused("AccessDeniedException", second.retire_grant, **by_id)
        first.retire_grant(**by_id)
        made = self.grant(grantee, RetiringPrincipal=retiring)
        deny = statement("*", "kms:RetireGrant", effect="Deny")
        self.owner.put_key_policy(KeyId=self.key, Policy=policy(ADMINISTRATION, deny))
        self.refused("AccessDeniedException", first.retire_grant, GrantToken=made["GrantToken"])


class Permissions(Keys):
    def test_each_call_needs_its_action_on_the_key(self):
        key, other = self.make(), self.make()
        grant = self.owner.create_grant(KeyId=key, GranteePrincipal=ROOT, Operations=["Encrypt"])["GrantId"]
        actions = {
            "kms:CreateGrant": ("create_grant", {"GranteePrincipal": ROOT, "Operations": ["Encrypt"]}),
            "kms:ListGrants": ("list_grants", {}),
            "kms:ListKeyPolicies": ("list_key_policies", {}),
            "kms:ListKeyRotations": ("list_key_rotations", {}),
            "kms:RotateKeyOnDemand": ("rotate_key_on_demand", {}),
            "kms:RevokeGrant": ("revoke_grant", {"GrantId": grant}),
        }
        role = self.role(MEMBER, *actions)
        kms = role.client("kms")
        for action, (name, more) in actions.items():
            with self.subTest(action):
                denied = {"Effect": "Deny", "Action": action, "Resource": key}
                put = {"RoleName": role.name, "PolicyName": "denied"}
                role.iam.put_role_policy(**put, PolicyDocument=policy(denied))
                self.refused("AccessDeniedException", getattr(kms, name), KeyId=key, **more)
                if name != "revoke_grant":
                    getattr(kms, name)(KeyId=other, **more)
                role.iam.delete_role_policy(**put)
                getattr(kms, name)(KeyId=key, **more)
                self.refused("AccessDeniedException", getattr(self.role(MEMBER).client("kms"), name), KeyId=key, **more)


class Shares(Keys):
    def share(self, key, put):
        ask("PUT", "share-key", {"key": key, "policy": put})

    def read(self, key, name="AWS_RAM", kms=None):
        return (kms or self.owner).get_key_policy(KeyId=key, PolicyName=name)

    def names(self, key, **more):
        return self.owner.list_key_policies(KeyId=key, **more)

    def test_a_shared_key_has_a_second_policy_that_cannot_be_put(self):
        key, put = self.make(), policy(statement({"AWS": STRANGERS}, "kms:DescribeKey"))
        self.refused("NotFoundException", self.read, key=key)
        self.assertEqual(self.names(key)["PolicyNames"], ["default"])
        self.share(key, put)
        answer = self.read(key)
        self.assertEqual((answer["Policy"], answer["PolicyName"]), (put, "AWS_RAM"))
        self.assertEqual(self.read(key, "default")["PolicyName"], "default")
        self.assertNotEqual(self.read(key, "default")["Policy"], put)
        self.refused("NotFoundException", self.read, key=key, name="other")
        self.refused("ValidationException", self.owner.put_key_policy, KeyId=key, PolicyName="AWS_RAM", Policy=put)
        self.share(key, None)
        self.refused("NotFoundException", self.read, key=key)

    def test_the_names_of_policies_are_listed_in_pages(self):
        key = self.make()
        self.share(key, policy())
        first = self.names(key, Limit=1)
        self.assertEqual((first["PolicyNames"], first["Truncated"]), (["default"], True))
        second = self.names(key, Limit=1, Marker=first["NextMarker"])
        self.assertEqual((second["PolicyNames"], second["Truncated"]), (["AWS_RAM"], False))
        self.assertNotIn("NextMarker", second)
        self.refuses_alias(self.owner.list_key_policies, key)

    def test_both_policies_allow_and_deny(self):
        key, (_, stranger), (_, mine) = self.make(), self.actor(OTHER, "kms:*"), self.actor(MEMBER, "kms:*")
        self.refused("AccessDeniedException", stranger.describe_key, KeyId=key)
        self.share(key, policy(statement({"AWS": STRANGERS}, "kms:DescribeKey")))
        stranger.describe_key(KeyId=key)
        mine.describe_key(KeyId=key)
        self.refused("AccessDeniedException", stranger.list_grants, KeyId=key)
        self.share(key, policy(statement({"AWS": ROOT}, "kms:DescribeKey", effect="Deny")))
        self.refused("AccessDeniedException", mine.describe_key, KeyId=key)
        mine.list_grants(KeyId=key)

    def test_a_replica_is_shared_by_itself_and_an_invalid_share_is_refused(self):
        key = self.make(MultiRegion=True)
        self.share(key, policy())
        self.owner.replicate_key(KeyId=key, ReplicaRegion=LINKED)
        replica = key.replace(HOME, LINKED)
        self.refused("NotFoundException", self.read, key=replica, kms=self.there)
        for wrong in ({"key": f"{key}0", "policy": None}, {"key": key, "policy": "{"}, {"key": key}):
            with self.assertRaises(OSError):
                ask("PUT", "share-key", wrong)


class Late(Keys):
    """A role that reads settings which are a second old, and the root that reads them at once."""

    def setUp(self):
        super().setUp()
        self.key = self.make(statement({"AWS": [ROOT, STRANGERS]}, "kms:*"))
        self.reader = self.actor(MEMBER, "kms:*")[1]
        self.addCleanup(ask, "PUT", "lag", {"settings": 0})
        ask("PUT", "lag", {"settings": LAG})

    def shows_later(self, read, before, after):
        """Asserts that the root sees a change at once and the role only after the lag."""
        started = time.monotonic()
        self.assertEqual((read(self.owner), read(self.reader)), (after, before))
        self.wait(lambda: read(self.reader) == after)
        self.assertAlmostEqual(time.monotonic() - started, LAG, delta=0.6)

    def grants(self, kms):
        return len(kms.list_grants(KeyId=self.key)["Grants"])

    def test_grants_are_listed_late_also_to_and_after_another_account(self):
        stranger = self.actor(OTHER, "kms:*")[1]
        made = stranger.create_grant(KeyId=self.key, GranteePrincipal=ROOT, Operations=["Encrypt"])
        self.assertEqual(self.grants(stranger), 0)
        self.shows_later(self.grants, 0, 1)
        self.owner.retire_grant(GrantToken=made["GrantToken"])
        self.assertEqual(self.grants(stranger), 1)
        self.shows_later(self.grants, 1, 0)

    def test_a_share_is_shown_late(self):
        ask("PUT", "share-key", {"key": self.key, "policy": policy()})
        self.refused("NotFoundException", self.reader.get_key_policy, KeyId=self.key, PolicyName="AWS_RAM")
        self.shows_later(lambda kms: len(kms.list_key_policies(KeyId=self.key)["PolicyNames"]), 1, 2)
        self.reader.get_key_policy(KeyId=self.key, PolicyName="AWS_RAM")

    def test_rotations_and_their_setting_are_shown_late(self):
        self.owner.rotate_key_on_demand(KeyId=self.key)
        self.shows_later(lambda kms: len(kms.list_key_rotations(KeyId=self.key)["Rotations"]), 0, 1)
        self.owner.enable_key_rotation(KeyId=self.key)
        self.shows_later(lambda kms: kms.get_key_rotation_status(KeyId=self.key)["KeyRotationEnabled"], False, True)


class RecordsOfGrants(Keys):
    def setUp(self):
        super().setUp()
        self.key = self.make(statement({"AWS": [ROOT, STRANGERS]}, "kms:*"))
        self.records = Records(self, MEMBER, HOME)
        self.asked = {"KeyId": self.key.rpartition("/")[2], "GranteePrincipal": ROOT, "Operations": ["Encrypt"]}

    def one(self):
        ((_, detail),) = self.records.take()
        self.assertEqual([one["ARN"] for one in detail["resources"]], [self.key])
        return detail

    def test_a_new_grant_is_recorded_without_its_token(self):
        context = {"EncryptionContextSubset": {"Department": "x"}}
        made = self.owner.create_grant(**self.asked, Constraints=context, GrantTokens=["abc"])
        detail = self.one()
        self.assertEqual(detail["eventName"], "CreateGrant")
        expected = {
            "keyId": self.asked["KeyId"],
            "granteePrincipal": ROOT,
            "operations": ["Encrypt"],
            "constraints": {"encryptionContextSubset": {"Department": "x"}},
        }
        self.assertEqual(detail["requestParameters"], expected)
        self.assertEqual(detail["responseElements"], {"grantId": made["GrantId"], "keyId": self.key})
        self.assertNotIn(made["GrantToken"], json.dumps(detail))

    def test_a_revoked_grant_is_recorded_with_its_key(self):
        made = self.owner.create_grant(**self.asked)["GrantId"]
        self.records.take()
        self.owner.revoke_grant(KeyId=self.key, GrantId=made)
        detail = self.one()
        self.assertEqual(detail["eventName"], "RevokeGrant")
        self.assertEqual(detail["requestParameters"], {"keyId": self.key, "grantId": made})
        self.assertEqual(detail["responseElements"], {"keyId": self.key})
        self.assertNotIn("additionalEventData", detail)

    def test_a_retired_grant_is_recorded_with_its_key_and_id_alone(self):
        for by_token in (True, False):
            made = self.owner.create_grant(**self.asked)
            self.records.take()
            by_id = {"KeyId": self.key, "GrantId": made["GrantId"]}
            self.owner.retire_grant(**({"GrantToken": made["GrantToken"]} if by_token else by_id))
            detail = self.one()
            self.assertEqual((detail["eventName"], detail["requestParameters"]), ("RetireGrant", None))
            self.assertEqual(detail["responseElements"], {"keyId": self.key})
            self.assertEqual(detail["additionalEventData"], {"grantId": made["GrantId"]})
            self.assertNotIn(made["GrantToken"], json.dumps(detail))

    def test_a_call_from_another_account_is_recorded_in_both(self):
        theirs, stranger = Records(self, OTHER, HOME), self.actor(OTHER, "kms:CreateGrant")[1]
        stranger.create_grant(**{**self.asked, "KeyId": self.key})
        mine = self.one()
        ((_, other),) = theirs.take()
        self.assertEqual((mine["recipientAccountId"], other["recipientAccountId"]), (MEMBER, OTHER))
        self.assertEqual([one["accountId"] for one in mine["resources"]], [MEMBER])
        self.assertEqual(mine["sharedEventID"], other["sharedEventID"])
        self.assertNotEqual(mine["eventID"], other["eventID"])
        self.assertEqual((mine["userIdentity"]["type"], "arn" in mine["userIdentity"]), ("AWSAccount", False))
        self.assertIn("arn", other["userIdentity"])
        self.refused("AccessDeniedException", stranger.revoke_grant, KeyId=self.key, GrantId="0" * 64)
        self.assertEqual(self.records.take(), [])
        ((_, refused),) = theirs.take()
        self.assertEqual((refused["eventName"], refused["errorCode"]), ("RevokeGrant", "AccessDeniedException"))

    def test_a_call_that_a_service_makes_for_the_caller_names_the_service(self):
        service = "ec2.amazonaws.com"
        kms = deploy.client("kms", MEMBER)
        header = ("x-sandbox-invoked-by", service)
        kms.meta.events.register("before-sign", lambda request, **_: request.headers.add_header(*header))
        kms.create_grant(**self.asked)
        detail = self.one()
        self.assertEqual((detail["userIdentity"]["invokedBy"], detail["userIdentity"]["arn"]), (service, ROOT))
        self.assertEqual((detail["sourceIPAddress"], detail["userAgent"]), (service, service))
        self.owner.create_grant(**self.asked)
        self.assertNotIn("invokedBy", self.one()["userIdentity"])


if __name__ == "__main__":
    unittest.main()
