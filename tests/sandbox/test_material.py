"""Tests the material of keys: imports, expiry, rotations, and what replicas share.

The rules are those of material.py, rotation.py and replicas.py.
"""

import time
import unittest
import uuid

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from sandbox import deploy
from sandbox.testing import HOME, LINKED, MEMBER, OTHER, Keys, Records, ask, policy, setUpModule, statement

__all__ = ["setUpModule"]

ROOT, STRANGERS = f"arn:aws:iam::{MEMBER}:root", f"arn:aws:iam::{OTHER}:root"
YEAR = 365 * 86400


class Material(Keys):
    def setUp(self):
        super().setUp()
        self.external, self.importer = self.make(Origin="EXTERNAL"), self.actor(MEMBER, "kms:*")[1]

    def import_material(self, secret, key=None, kms=None, **more):
        asked, kms = {"KeyId": key or self.external}, kms or self.importer
        how = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
        given = kms.get_parameters_for_import(**asked, **how)
        oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
        wrapped = serialization.load_der_public_key(given["PublicKey"]).encrypt(secret, oaep)
        more = more if "ValidTo" in more else {"ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE", **more}
        sent = {"ImportToken": given["ImportToken"], "EncryptedKeyMaterial": wrapped, **more}
        return kms.import_key_material(**asked, **sent)["KeyMaterialId"]

    def materials(self, key=None, kms=None, **more):
        asked = {"KeyId": key or self.external, "IncludeKeyMaterial": "ALL_KEY_MATERIAL", **more}
        return (kms or self.owner).list_key_rotations(**asked)["Rotations"]

    def states(self, key=None, kms=None):
        return [(one["KeyMaterialState"], one["ImportState"]) for one in self.materials(key, kms)]


class Imports(Material):
    def test_a_role_imports_material_and_the_key_shows_its_end(self):
        self.assertEqual(self.state(self.external), "PendingImport")
        end = int(time.time()) + 3600
        first = self.import_material(b"a" * 32, ValidTo=end)
        shown = self.metadata(self.external)
        self.assertEqual((shown["Origin"], shown["KeyState"], shown["Enabled"]), ("EXTERNAL", "Enabled", True))
        self.assertEqual((shown["ExpirationModel"], shown["ValidTo"].timestamp()), ("KEY_MATERIAL_EXPIRES", end))
        self.assertEqual(shown["CurrentKeyMaterialId"], first)
        self.import_material(b"a" * 32, KeyMaterialId=first)
        shown = self.metadata(self.external)
        self.assertEqual(shown["ExpirationModel"], "KEY_MATERIAL_DOES_NOT_EXPIRE")
        self.assertNotIn("ValidTo", shown)

    def test_the_end_must_be_in_the_future_and_within_a_year(self):
        now = int(time.time())
        for wrong in (
            {"ValidTo": now - 1},
            {"ValidTo": now + YEAR + 60},
            {"ValidTo": now + 60, "ExpirationModel": "KEY_MATERIAL_DOES_NOT_EXPIRE"},
        ):
            self.refused("ValidationException", self.import_material, secret=b"a" * 32, **wrong)
        self.import_material(b"a" * 32, ValidTo=now + YEAR)

    def test_material_is_imported_as_new_or_as_existing(self):
        first = self.import_material(b"a" * 32)
        new = {"ImportType": "NEW_KEY_MATERIAL"}
        wrong = "IncorrectKeyMaterialException"
        self.refused(wrong, self.import_material, secret=b"b" * 32)
        self.refused(wrong, self.import_material, secret=b"a" * 32, KeyMaterialId="0" * 64)
        self.refused(wrong, self.import_material, secret=b"a" * 32, **new)
        self.refused("ValidationException", self.import_material, secret=b"b" * 32, KeyMaterialId=first, **new)
        second = self.import_material(b"b" * 32, **new, KeyMaterialDescription="second")
        self.assertEqual(self.states(), [("CURRENT", "IMPORTED"), ("PENDING_ROTATION", "IMPORTED")])
        self.assertEqual([one.get("KeyMaterialDescription") for one in self.materials()], [None, "second"])
        self.assertEqual(self.metadata(self.external)["CurrentKeyMaterialId"], first)
        self.refused("KMSInvalidStateException", self.import_material, secret=b"c" * 32, **new)
        self.owner.delete_imported_key_material(KeyId=self.external, KeyMaterialId=second)
        self.assertEqual((self.states(), self.state(self.external)), ([("CURRENT", "IMPORTED")], "Enabled"))

    def test_a_key_needs_all_its_materials(self):
        first = self.import_material(b"a" * 32)
        sealed = self.owner.encrypt(KeyId=self.external, Plaintext=b"x")["CiphertextBlob"]
        second = self.import_material(b"b" * 32, ImportType="NEW_KEY_MATERIAL")
        self.owner.rotate_key_on_demand(KeyId=self.external)
        self.owner.delete_imported_key_material(KeyId=self.external, KeyMaterialId=first)
        self.assertEqual(self.states(), [("NON_CURRENT", "PENDING_IMPORT"), ("CURRENT", "IMPORTED")])
        self.assertEqual(self.state(self.external), "PendingImport")
        gone = self.owner.delete_imported_key_material(KeyId=self.external)["KeyMaterialId"]
        self.assertEqual(gone, second)
        self.import_material(b"a" * 32)
        self.assertEqual(self.state(self.external), "PendingImport")
        self.refused("KMSInvalidStateException", self.owner.enable_key, KeyId=self.external)
        self.refused("KMSInvalidStateException", self.owner.disable_key, KeyId=self.external)
        self.import_material(b"b" * 32)
        self.assertEqual(self.state(self.external), "Enabled")
        self.assertEqual(self.owner.decrypt(CiphertextBlob=sealed)["Plaintext"], b"x")

    def test_expired_material_is_deleted_and_recorded(self):
        records = Records(self, MEMBER, HOME)
        first = self.import_material(b"a" * 32, ValidTo=int(time.time()) + 2)
        records.take()
        self.wait(lambda: self.state(self.external) == "PendingImport")
        self.assertEqual(self.states(), [("CURRENT", "PENDING_IMPORT")])
        ((kind, detail),) = records.take()
        self.assertEqual((kind, detail["eventName"]), ("AWS Service Event via CloudTrail", "DeleteExpiredKeyMaterial"))
        self.assertEqual(detail["userIdentity"], {"accountId": MEMBER, "invokedBy": "AWS Internal"})
        self.assertEqual((detail["requestParameters"], detail["responseElements"]), (None, None))
        self.assertEqual([one["ARN"] for one in detail["resources"]], [self.external])
        named = {"keyId": self.external.rpartition("/")[2], "keyMaterialId": first}
        self.assertEqual(detail["serviceEventDetails"], named)

    def test_dates_can_be_set_as_if_time_had_passed(self):
        records = Records(self, MEMBER, HOME)
        self.import_material(b"a" * 32)
        records.take()
        now = int(time.time())
        ask("PUT", "key-dates", {"key": self.external, "created": now - 2 * YEAR, "valid_to": now + 60})
        shown = self.metadata(self.external)
        self.assertEqual(shown["CreationDate"].timestamp(), now - 2 * YEAR)
        self.assertEqual((shown["ExpirationModel"], shown["ValidTo"].timestamp()), ("KEY_MATERIAL_EXPIRES", now + 60))
        ask("PUT", "key-dates", {"key": self.external, "valid_to": None})
        self.assertEqual(self.metadata(self.external)["ExpirationModel"], "KEY_MATERIAL_DOES_NOT_EXPIRE")
        ask("PUT", "key-dates", {"key": self.external, "valid_to": now - 60})
        self.assertEqual(self.state(self.external), "PendingImport")
        self.assertEqual([detail["eventName"] for _, detail in records.take()], ["DeleteExpiredKeyMaterial"])
        symmetric, asymmetric = self.make(), self.make(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        for wrong in (
            {"key": self.external, "valid_to": now + 60},
            {"key": symmetric, "valid_to": now + 60},
            {"key": symmetric, "rotations": [[now, "OTHER"]]},
            {"key": asymmetric, "rotations": [[now, "AUTOMATIC"]]},
            {"key": symmetric, "deleted": now},
            {"key": f"{symmetric}0"},
        ):
            with self.assertRaises(OSError):
                ask("PUT", "key-dates", wrong)


class Rotations(Material):
    def rotated(self, key, kms=None, **more):
        return (kms or self.owner).list_key_rotations(KeyId=key, **more)

    def test_a_rotation_on_demand_is_listed_with_its_material(self):
        key = self.make()
        self.assertEqual(self.rotated(key)["Rotations"], [])
        first = self.metadata(key)["CurrentKeyMaterialId"]
        sealed = self.owner.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"]
        self.assertEqual(self.owner.rotate_key_on_demand(KeyId=key)["KeyId"], key.rpartition("/")[2])
        (one,) = self.rotated(key)["Rotations"]
        self.assertEqual((one["RotationType"], one["KeyMaterialState"]), ("ON_DEMAND", "CURRENT"))
        self.assertAlmostEqual(one["RotationDate"].timestamp(), time.time(), delta=5)
        self.assertEqual(one["KeyMaterialId"], self.metadata(key)["CurrentKeyMaterialId"])
        self.assertNotIn("ImportState", one)
        before, now = self.materials(key)
        self.assertEqual((before["KeyMaterialId"], before["KeyMaterialState"]), (first, "NON_CURRENT"))
        self.assertNotIn("RotationDate", before)
        self.assertEqual(now, one)
        self.assertEqual(self.owner.decrypt(CiphertextBlob=sealed)["Plaintext"], b"x")

    def test_rotations_are_listed_in_pages(self):
        key, now = self.make(), int(time.time())
        dates = [[now - YEAR + second, "AUTOMATIC"] for second in range(101)]
        ask("PUT", "key-dates", {"key": key, "rotations": dates})
        pages = list(self.owner.get_paginator("list_key_rotations").paginate(KeyId=key))
        self.assertEqual([len(page["Rotations"]) for page in pages], [100, 1])
        shown = [[one["RotationDate"].timestamp(), one["RotationType"]] for page in pages for one in page["Rotations"]]
        self.assertEqual(shown, dates)
        first = self.rotated(key, Limit=7)
        self.assertEqual((len(first["Rotations"]), first["Truncated"]), (7, True))
        last = self.rotated(key, Limit=1000, Marker=first["NextMarker"])
        self.assertEqual((len(last["Rotations"]), last["Truncated"], "NextMarker" in last), (94, False, False))
        reader = self.importer
        for wrong in ({"Limit": 0}, {"Limit": 1001}, {"IncludeKeyMaterial": "OTHER"}):
            self.refused("ValidationException", reader.list_key_rotations, KeyId=key, **wrong)
        self.refused("InvalidMarkerException", reader.list_key_rotations, KeyId=key, Marker="x")

    def test_only_symmetric_keys_of_the_own_account_rotate(self):
        signing = self.make(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        hmac = self.make(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
        for call in (self.owner.list_key_rotations, self.owner.rotate_key_on_demand):
            for key in (signing, hmac):
                self.refused("UnsupportedOperationException", call, KeyId=key)
            self.refuses_alias(call, self.make())
            self.refused("NotFoundException", call, KeyId=str(uuid.uuid4()))
        managed = self.owner.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyId"]
        self.refused("UnsupportedOperationException", self.owner.rotate_key_on_demand, KeyId=managed)
        self.rotated(managed)
        open_to_all = self.make(statement({"AWS": "*"}, "kms:*"))
        stranger = self.actor(OTHER, "kms:*")[1]
        for call in (stranger.list_key_rotations, stranger.rotate_key_on_demand):
            self.refused("AccessDeniedException", call, KeyId=open_to_all)

    def test_a_key_rotates_on_demand_25_times_while_it_is_enabled(self):
        key, now = self.make(), int(time.time())
        self.owner.disable_key(KeyId=key)
        self.refused("DisabledException", self.owner.rotate_key_on_demand, KeyId=key)
        self.owner.enable_key(KeyId=key)
        rotations = [[now - 3600, "ON_DEMAND"]] * 24 + [[now, "AUTOMATIC"]] * 3
        ask("PUT", "key-dates", {"key": key, "rotations": rotations})
        self.owner.rotate_key_on_demand(KeyId=key)
        self.refused("LimitExceededException", self.owner.rotate_key_on_demand, KeyId=key)
        self.owner.schedule_key_deletion(KeyId=key)
        self.refused("KMSInvalidStateException", self.owner.rotate_key_on_demand, KeyId=key)
        self.assertEqual(len(self.rotated(key)["Rotations"]), 28)

    def test_imported_material_rotates_if_new_material_waits(self):
        invalid = "KMSInvalidStateException"
        self.refused(invalid, self.owner.rotate_key_on_demand, KeyId=self.external)
        self.import_material(b"a" * 32)
        self.refused(invalid, self.owner.rotate_key_on_demand, KeyId=self.external)
        end = int(time.time()) + 60
        second = self.import_material(b"b" * 32, ImportType="NEW_KEY_MATERIAL", ValidTo=end)
        self.assertNotIn("ValidTo", self.metadata(self.external))
        self.owner.rotate_key_on_demand(KeyId=self.external)
        self.assertEqual(self.states(), [("NON_CURRENT", "IMPORTED"), ("CURRENT", "IMPORTED")])
        (one,) = self.rotated(self.external)["Rotations"]
        self.assertEqual((one["KeyMaterialId"], one["RotationType"]), (second, "ON_DEMAND"))
        self.assertEqual((one["ExpirationModel"], one["ValidTo"].timestamp()), ("KEY_MATERIAL_EXPIRES", end))
        self.assertEqual(self.metadata(self.external)["ValidTo"].timestamp(), end)
        self.assertEqual(self.metadata(self.external)["CurrentKeyMaterialId"], second)
        self.import_material(b"a" * 32, ValidTo=end + 60)
        self.assertEqual(self.metadata(self.external)["ValidTo"].timestamp(), end)

    def test_a_replica_lists_the_rotations_of_its_primary_and_rotates_with_it(self):
        primary = self.make(MultiRegion=True)
        self.owner.rotate_key_on_demand(KeyId=primary)
        self.owner.replicate_key(KeyId=primary, ReplicaRegion=LINKED)
        replica = primary.replace(HOME, LINKED)
        self.assertEqual(self.rotated(replica, self.there)["Rotations"], self.rotated(primary)["Rotations"])
        self.refused("UnsupportedOperationException", self.there.rotate_key_on_demand, KeyId=replica)
        self.owner.rotate_key_on_demand(KeyId=primary)
        self.assertEqual(len(self.rotated(primary)["Rotations"]), 2)
        self.assertEqual(self.rotated(replica, self.there)["Rotations"], self.rotated(primary)["Rotations"])
        current = [self.metadata(primary), self.metadata(replica, self.there)]
        self.assertEqual(current[0]["CurrentKeyMaterialId"], current[1]["CurrentKeyMaterialId"])

    def test_a_rotation_on_demand_is_recorded_as_call_and_as_event_of_the_primary_alone(self):
        key = self.make(MultiRegion=True)
        self.owner.replicate_key(KeyId=key, ReplicaRegion=LINKED)
        first, name = self.metadata(key)["CurrentKeyMaterialId"], key.rpartition("/")[2]
        records, elsewhere = Records(self, MEMBER, HOME), Records(self, MEMBER, LINKED)
        self.owner.rotate_key_on_demand(KeyId=name)
        (_, call), (kind, event) = records.take()
        self.assertEqual((call["eventName"], call["requestParameters"]), ("RotateKeyOnDemand", {"keyId": name}))
        self.assertEqual(call["responseElements"], {"keyId": name})
        self.assertEqual([one["ARN"] for one in call["resources"]], [key])
        self.assertEqual((kind, event["eventName"]), ("AWS Service Event via CloudTrail", "RotateKey"))
        self.assertEqual([one["ARN"] for one in event["resources"]], [key])
        expected = {
            "rotationType": "ON_DEMAND",
            "keyOrigin": "AWS_KMS",
            "previousKeyMaterialId": first,
            "currentKeyMaterialId": self.metadata(key)["CurrentKeyMaterialId"],
            "keyId": name,
        }
        self.assertEqual(event["serviceEventDetails"], expected)
        self.assertEqual(elsewhere.take(), [])
        asymmetric = self.make(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        records.take()
        self.refused("UnsupportedOperationException", self.owner.rotate_key_on_demand, KeyId=asymmetric)
        ((_, refused),) = records.take()
        self.assertEqual(refused["errorCode"], "UnsupportedOperationException")


class Replicas(Material):
    def setUp(self):
        super().setUp()
        self.primary = self.make(MultiRegion=True)
        self.replica = self.primary.replace(HOME, LINKED)

    def replicate(self, **more):
        return self.owner.replicate_key(KeyId=self.primary, ReplicaRegion=LINKED, **more)

    def related(self, key, kms=None):
        shown = self.metadata(key, kms)["MultiRegionConfiguration"]
        replicas = [one["Arn"] for one in shown["ReplicaKeys"]]
        return shown["MultiRegionKeyType"], shown["PrimaryKey"]["Arn"], replicas

    def test_related_keys_name_each_other_for_callers_of_every_account(self):
        self.replicate(Policy=policy(statement({"AWS": [ROOT, STRANGERS]}, "kms:*")))
        self.assertEqual(self.related(self.primary), ("PRIMARY", self.primary, [self.replica]))
        stranger = self.role(OTHER, "kms:DescribeKey").client("kms", LINKED)
        for kms in (self.there, stranger):
            self.assertEqual(self.related(self.replica, kms), ("REPLICA", self.primary, [self.replica]))

    def test_a_replica_has_its_own_policy_grants_aliases_tags_and_state(self):
        own, tags = policy(statement({"AWS": ROOT}, "kms:*", Bool={"aws:SecureTransport": "true"})), []
        self.owner.tag_resource(KeyId=self.primary, Tags=[{"TagKey": "a", "TagValue": "b"}])
        self.owner.create_grant(KeyId=self.primary, GranteePrincipal=ROOT, Operations=["Encrypt"])
        self.owner.create_alias(AliasName=(alias := f"alias/{uuid.uuid4()}"), TargetKeyId=self.primary)
        self.replicate(Policy=own)
        self.owner.disable_key(KeyId=self.primary)
        self.assertEqual((self.state(self.primary), self.state(self.replica, self.there)), ("Disabled", "Enabled"))
        self.assertEqual(self.there.get_key_policy(KeyId=self.replica)["Policy"], own)
        self.assertNotEqual(self.owner.get_key_policy(KeyId=self.primary)["Policy"], own)
        self.assertEqual(self.there.list_resource_tags(KeyId=self.replica)["Tags"], tags)
        self.assertEqual(self.there.list_grants(KeyId=self.replica)["Grants"], [])
        self.refused("NotFoundException", self.there.describe_key, KeyId=alias)

    def test_replicating_needs_permission_on_the_primary_and_in_the_replicas_region(self):
        allowed = statement(None, ["kms:ReplicateKey", "kms:CreateKey", "kms:TagResource"])
        del allowed["Principal"]
        asked = {"KeyId": self.primary, "ReplicaRegion": LINKED}
        for action, tags, condition in [
            ("kms:ReplicateKey", [], {}),
            ("kms:CreateKey", [], {}),
            ("kms:CreateKey", [], {"StringEquals": {"aws:RequestedRegion": LINKED}}),
            ("kms:TagResource", [{"TagKey": "a", "TagValue": "b"}], {}),
        ]:
            role = self.role(MEMBER)
            deny = {"Effect": "Deny", "Action": action, "Resource": "*", "Condition": condition}
            document = policy(allowed, deny)
            role.iam.put_role_policy(RoleName=role.name, PolicyName="some", PolicyDocument=document)
            self.refused("AccessDeniedException", role.client("kms").replicate_key, **asked, Tags=tags)
        role.client("kms").replicate_key(**asked)
        self.refused("AlreadyExistsException", role.client("kms").replicate_key, **asked)

    def test_only_an_enabled_primary_of_the_own_account_is_replicated(self):
        self.owner.put_key_policy(KeyId=self.primary, Policy=policy(statement({"AWS": "*"}, "kms:*")))
        asked = {"KeyId": self.primary, "ReplicaRegion": LINKED}
        self.refused("AccessDeniedException", self.actor(OTHER, "kms:*")[1].replicate_key, **asked)
        self.refuses_alias(self.owner.replicate_key, self.primary, ReplicaRegion=LINKED)
        self.owner.disable_key(KeyId=self.primary)
        self.refused("DisabledException", self.replicate)
        self.owner.enable_key(KeyId=self.primary)
        self.replicate()
        self.refused("UnsupportedOperationException", self.there.replicate_key, KeyId=self.replica, ReplicaRegion=HOME)

    def test_a_primary_waits_for_the_deletion_of_its_replicas(self):
        self.replicate()
        self.owner.replicate_key(KeyId=self.primary, ReplicaRegion="eu-west-3")
        answer = self.owner.schedule_key_deletion(KeyId=self.primary, PendingWindowInDays=7)
        self.assertEqual((answer["KeyState"], answer["PendingWindowInDays"]), ("PendingReplicaDeletion", 7))
        self.assertNotIn("DeletionDate", answer)
        shown = self.metadata(self.primary)
        self.assertEqual((shown["PendingDeletionWindowInDays"], "DeletionDate" in shown), (7, False))
        invalid = "KMSInvalidStateException"
        self.refused(invalid, self.owner.encrypt, KeyId=self.primary, Plaintext=b"x")
        self.refused(invalid, self.owner.schedule_key_deletion, KeyId=self.primary)
        with self.assertRaises(OSError):
            ask("PUT", "delete-key", {"key": self.primary})
        self.there.schedule_key_deletion(KeyId=self.replica, PendingWindowInDays=7)
        ask("PUT", "delete-key", {"key": self.primary.replace(HOME, "eu-west-3")})
        self.assertEqual(self.state(self.primary), "PendingReplicaDeletion")
        self.assertEqual(self.related(self.primary)[2], [self.replica])
        ask("PUT", "delete-key", {"key": self.replica})
        shown = self.metadata(self.primary)
        self.assertEqual((shown["KeyState"], "PendingDeletionWindowInDays" in shown), ("PendingDeletion", False))
        self.assertAlmostEqual(shown["DeletionDate"].timestamp(), time.time() + 7 * 86400, delta=60)
        self.assertEqual(self.related(self.primary), ("PRIMARY", self.primary, []))
        self.owner.cancel_key_deletion(KeyId=self.primary)
        self.assertEqual(self.state(self.primary), "Disabled")
        self.refused(invalid, self.owner.cancel_key_deletion, KeyId=self.primary)

    def test_a_deleted_replica_disappears_and_a_cancelled_one_stays(self):
        third = "eu-west-3"
        self.replicate()
        self.owner.replicate_key(KeyId=self.primary, ReplicaRegion=third)
        self.there.schedule_key_deletion(KeyId=self.replica)
        self.there.cancel_key_deletion(KeyId=self.replica)
        other = self.primary.replace(HOME, third)
        self.assertEqual(set(self.related(self.primary)[2]), {self.replica, other})
        ask("PUT", "delete-key", {"key": self.replica})
        for kms, key in ((self.owner, self.primary), (deploy.client("kms", MEMBER, third), other)):
            self.assertEqual(self.related(key, kms)[2], [other])
        self.replicate()

    def test_the_replica_of_an_imported_key_waits_for_the_same_material(self):
        self.external = self.make(Origin="EXTERNAL", MultiRegion=True)
        self.import_material(b"a" * 32, ValidTo=int(time.time()) + 60)
        sealed = self.owner.encrypt(KeyId=self.external, Plaintext=b"x")["CiphertextBlob"]
        made = self.owner.replicate_key(KeyId=self.external, ReplicaRegion=LINKED)["ReplicaKeyMetadata"]
        self.assertEqual((made["KeyState"], made["Enabled"], "ValidTo" in made), ("PendingImport", False, False))
        there = {"key": made["Arn"], "kms": self.there}
        self.assertEqual(self.state(**there), "PendingImport")
        self.assertEqual(self.states(**there), [("CURRENT", "PENDING_IMPORT")])
        self.refused("IncorrectKeyMaterialException", self.import_material, secret=b"b" * 32, **there)
        self.import_material(b"a" * 32, **there)
        self.assertEqual(self.state(**there), "Enabled")
        self.assertEqual(self.there.decrypt(KeyId=made["Arn"], CiphertextBlob=sealed)["Plaintext"], b"x")
        self.assertNotIn("ValidTo", self.metadata(**there))

    def test_new_material_waits_until_every_related_key_has_it(self):
        self.external = self.make(Origin="EXTERNAL", MultiRegion=True)
        self.import_material(b"a" * 32)
        self.owner.replicate_key(KeyId=self.external, ReplicaRegion=LINKED)
        there, new = {"key": self.external.replace(HOME, LINKED), "kms": self.there}, {"ImportType": "NEW_KEY_MATERIAL"}
        self.import_material(b"a" * 32, **there)
        self.refused("UnsupportedOperationException", self.import_material, secret=b"b" * 32, **there, **new)
        self.import_material(b"b" * 32, **new)
        waits = "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
        self.assertEqual(self.states()[1], (waits, "IMPORTED"))
        self.assertEqual(self.states(**there)[1], (waits, "PENDING_IMPORT"))
        self.refused("KMSInvalidStateException", self.owner.rotate_key_on_demand, KeyId=self.external)
        self.import_material(b"b" * 32, **there)
        self.assertEqual(self.states()[1], ("PENDING_ROTATION", "IMPORTED"))
        self.owner.rotate_key_on_demand(KeyId=self.external)
        for where in ({}, there):
            self.assertEqual(self.states(**where), [("NON_CURRENT", "IMPORTED"), ("CURRENT", "IMPORTED")])
        third = self.import_material(b"c" * 32, **new)
        self.owner.delete_imported_key_material(KeyId=self.external, KeyMaterialId=third)
        self.assertEqual((len(self.states()), len(self.states(**there))), (2, 2))


if __name__ == "__main__":
    unittest.main()
