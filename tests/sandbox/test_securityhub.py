"""The rules of the Security Hub stand-in, each with its test: what the end-to-end tests believe, something must doubt."""

import copy
import pathlib
import tempfile
import unittest
from unittest import mock

from sandbox import organization, server

server.prepare(0, pathlib.Path(tempfile.mkdtemp(prefix="sandbox-")))

from sandbox.securityhub import filters, findings, service  # noqa: E402 - MiniStack reads the environment when it is imported

MEMBER, OTHER = organization.MEMBERS
HOME, LINKED = organization.REGIONS
PRODUCT = f"arn:aws:securityhub:{HOME}:{MEMBER}:product/{MEMBER}/default"


def finding(**changes):
    """A finding that is as it should be, but for the changes."""
    return {
        "SchemaVersion": "2018-10-08",
        "Id": "cmkwatch/one",
        "ProductArn": PRODUCT,
        "GeneratorId": "cmkwatch/control",
        "AwsAccountId": MEMBER,
        "CreatedAt": "2026-11-01T00:00:00Z",
        "UpdatedAt": "2026-11-01T00:00:00Z",
        "Title": "title",
        "Description": "description",
        "Resources": [{"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::acme"}],
        "FindingProviderFields": {
            "Severity": {"Label": "HIGH"},
            "Types": ["Software and Configuration Checks/AWS Security Best Practices"],
        },
        "Compliance": {"Status": "FAILED"},
    } | changes


class StandIn(unittest.TestCase):
    def setUp(self):
        findings.reset()
        patched = mock.patch("sandbox.events.put")
        self.events = patched.start()
        self.addCleanup(patched.stop)
        self.hub = findings.Hub(MEMBER, HOME)
        self.hub.enable()

    def imported(self, **changes):
        """The finding as it stands after an import that is taken."""
        self.assertIsNone(self.hub.put(finding(**changes)))
        return self.standing()

    def standing(self):
        (standing,) = self.hub.visible()
        return standing

    def edit(self, **changes):
        return self.hub.edit({"Id": "cmkwatch/one", "ProductArn": PRODUCT}, changes)


class Import(StandIn):
    def test_only_for_the_callers_own_account_and_product_and_only_where_enabled(self):
        foreign = PRODUCT.replace(MEMBER, OTHER)
        for hub, changes in [
            (self.hub, {"AwsAccountId": OTHER}),
            (self.hub, {"ProductArn": foreign}),
            (self.hub, {"ProductArn": PRODUCT.replace(HOME, LINKED)}),
            (findings.Hub(MEMBER, LINKED), {"ProductArn": PRODUCT.replace(HOME, LINKED)}),
        ]:
            with self.subTest(changes):
                self.assertEqual(hub.put(finding(**changes))[0], "InvalidAccess")

    def test_what_breaks_a_limit_is_refused(self):
        for changes in [
            {"Title": "x" * 257},
            {"Title": " "},
            {"Description": "x" * 1025},
            {"Id": "x" * 513},
            {"AwsAccountId": "1234"},
            {"SchemaVersion": "2020-01-01"},
            {"UpdatedAt": "yesterday"},
            {"CreatedAt": "2026-10-01T00:00:00Z"},
            {"Resources": []},
            {"Resources": finding()["Resources"] * 33},
            {"ProductFields": {"key": "x" * 2049}},
            {"ProductFields": {f"key{number}": "" for number in range(51)}},
            {"ProductFields": {"aws/own": ""}},
            {"Compliance": {"Status": "FAILED", "RelatedRequirements": ["x"] * 33}},
            {"Remediation": {"Recommendation": {"Text": "x" * 513}}},
            {"FindingProviderFields": {"Severity": {"Label": "AWFUL"}, "Types": ["TTPs"]}},
            {"FindingProviderFields": {"Severity": {"Label": "LOW"}, "Types": ["Our Own/Type"]}},
            {"FindingProviderFields": {"Severity": {"Label": "LOW"}}},
            {"Surprise": 1},
        ]:
            with self.subTest(changes):
                self.assertEqual(self.hub.put(finding(**changes))[0], "InvalidInput")
        self.assertEqual(self.hub.visible(), [])

    def test_only_what_is_newer_changes_what_stands(self):
        self.imported()
        for moment in ["2026-10-31T23:59:59Z", "2026-11-01T00:00:00Z", "2026-11-01T00:00:00.000Z"]:
            self.assertEqual(self.imported(UpdatedAt=moment, Title="late")["Title"], "title")
        self.assertEqual(self.imported(UpdatedAt="2026-11-01T00:00:00.000000001Z", Title="new")["Title"], "new")

    def test_security_hub_adds_fields_of_its_own(self):
        self.assertIn("aws/securityhub/FindingId", self.imported()["ProductFields"])

    def test_every_import_is_an_event_for_the_account_and_its_administrator(self):
        self.imported()
        places = [call.args[:2] for call in self.events.call_args_list]
        self.assertEqual(places, [(organization.HUB, HOME), (MEMBER, HOME)])
        self.assertEqual(len(self.events.call_args.args[4]["findings"]), 1)


class Workflow(StandIn):
    def status_after(self, before, workflow, **changes):
        findings.reset()
        self.hub.enable()
        self.imported(**before)
        self.edit(Workflow={"Status": workflow})
        return self.imported(UpdatedAt="2026-11-02T00:00:00Z", **changes)["Workflow"]["Status"]

    def test_a_new_finding_may_bring_its_status_and_an_update_may_not(self):
        self.assertEqual(self.imported(Workflow={"Status": "RESOLVED"})["Workflow"]["Status"], "RESOLVED")
        updated = self.imported(Workflow={"Status": "NOTIFIED"}, UpdatedAt="2026-11-02T00:00:00Z")
        self.assertEqual(updated["Workflow"]["Status"], "RESOLVED")

    def test_what_becomes_new_again(self):
        passed, failed = {"Compliance": {"Status": "PASSED"}}, {"Compliance": {"Status": "FAILED"}}
        warning, archived = {"Compliance": {"Status": "WARNING"}}, {"RecordState": "ARCHIVED"}
        for before, workflow, after, expected in [
            (passed, "RESOLVED", failed, "NEW"),
            (passed, "NOTIFIED", warning, "NEW"),
            (passed, "SUPPRESSED", failed, "SUPPRESSED"),
            (archived, "RESOLVED", {"RecordState": "ACTIVE"}, "NEW"),
            (archived, "SUPPRESSED", {"RecordState": "ACTIVE"}, "SUPPRESSED"),
            (failed, "RESOLVED", failed, "RESOLVED"),
            (warning, "RESOLVED", failed, "RESOLVED"),
            (failed, "NOTIFIED", passed, "NOTIFIED"),
        ]:
            with self.subTest(before=before, workflow=workflow, after=after):
                self.assertEqual(self.status_after(before, workflow, **after), expected)


class Edit(StandIn):
    def test_a_customers_severity_survives_and_the_providers_is_kept_beside_it(self):
        self.imported()
        self.assertTrue(self.edit(Severity={"Label": "LOW"}, Note={"Text": "ours", "UpdatedBy": "me"}))
        after = self.imported(UpdatedAt="2026-11-02T00:00:00Z")
        self.assertEqual(after["Severity"]["Label"], "LOW")
        self.assertEqual(after["FindingProviderFields"]["Severity"]["Label"], "HIGH")
        self.assertEqual(after["Note"]["Text"], "ours")

    def test_an_edit_leaves_the_moment_alone_and_is_for_those_who_may(self):
        self.imported()
        self.edit(Workflow={"Status": "NOTIFIED"})
        self.assertEqual(self.standing()["UpdatedAt"], "2026-11-01T00:00:00Z")
        identifier, change = {"Id": "cmkwatch/one", "ProductArn": PRODUCT}, {"Workflow": {"Status": "NEW"}}
        self.assertFalse(findings.Hub(OTHER, HOME).edit(identifier, change))
        self.assertTrue(findings.Hub(organization.HUB, HOME).edit(identifier, change))
        self.assertFalse(self.hub.edit({**identifier, "Id": "another"}, change))


class Get(StandIn):
    def test_members_see_their_own_and_the_administrator_all(self):
        self.imported()
        self.assertEqual(findings.Hub(OTHER, HOME).visible(), [])
        self.assertEqual(len(findings.Hub(organization.HUB, HOME).visible()), 1)
        self.assertEqual(len(findings.Hub(organization.HUB, LINKED).visible()), 0)

    def test_filters(self):
        self.imported(ProductFields={"cmkwatch/class": "public"})
        condition = lambda comparison, value: {"Comparison": comparison, "Value": value}  # noqa: E731
        field = lambda comparison, value: {"Key": "cmkwatch/class", **condition(comparison, value)}  # noqa: E731
        for matches, wanted in [
            (True, {}),
            (True, {"Id": [condition("PREFIX", "cmkwatch/")]}),
            (False, {"Id": [condition("PREFIX", "CMKWATCH/")]}),
            (True, {"Id": [condition("EQUALS", "x"), condition("PREFIX", "cmk")]}),
            (False, {"Id": [condition("NOT_EQUALS", "x"), condition("PREFIX_NOT_EQUALS", "cmk")]}),
            (False, {"Id": [condition("PREFIX", "cmk")], "RecordState": [condition("EQUALS", "ARCHIVED")]}),
            (True, {"ResourceId": [condition("EQUALS", "arn:aws:s3:::acme")]}),
            (True, {"ProductFields": [field("EQUALS", "public")]}),
            (False, {"ProductFields": [field("NOT_EQUALS", "public")]}),
        ]:
            with self.subTest(wanted):
                self.assertEqual(bool(filters.select(self.hub.visible(), copy.deepcopy(wanted))), matches)

    def test_pages(self):
        for number in range(3):
            self.hub.put(finding(Id=f"cmkwatch/{number}"))
        first = service._get(self.hub, {"MaxResults": 2})
        second = service._get(self.hub, {"MaxResults": 2, "NextToken": first["NextToken"]})
        self.assertEqual(
            [f["Id"] for page in (first, second) for f in page["Findings"]], [f"cmkwatch/{n}" for n in range(3)]
        )
        self.assertNotIn("NextToken", second)

    def test_a_filter_that_is_not_there_is_an_error(self):
        self.imported()
        for wanted in [{"Confidence": []}, {"Id": [{"Comparison": "CONTAINS", "Value": "x"}]}, {"Id": [{}] * 21}]:
            with self.subTest(wanted), self.assertRaises(ValueError):
                filters.select(self.hub.visible(), wanted)


if __name__ == "__main__":
    unittest.main()
