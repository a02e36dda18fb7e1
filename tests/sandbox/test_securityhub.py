"""Tests the rules of the sandbox's Security Hub, because the end-to-end tests rely on them."""

import asyncio
import json
import pathlib
import tempfile
import time
import unittest
from unittest import mock

from sandbox import organization, server

server.prepare(0, pathlib.Path(tempfile.mkdtemp(prefix="sandbox-")))

from ministack.core.responses import request_scope  # noqa: E402

from sandbox.securityhub import findings, service  # noqa: E402 - MiniStack reads the environment when it is imported

MEMBER, OTHER, _ = organization.MEMBERS
HOME, LINKED = organization.REGIONS
PRODUCT = f"arn:aws:securityhub:{HOME}:{MEMBER}:product/{MEMBER}/default"


def finding(**changes):
    """Returns a valid finding with the changes applied."""
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
        """Imports a finding, which must be accepted, and returns it as it is stored."""
        self.assertIsNone(self.hub.put(finding(**changes)))
        return self.standing()

    def standing(self):
        (standing,) = self.hub.visible()
        return standing

    def edit(self, **changes):
        return self.hub.edit({"Id": "cmkwatch/one", "ProductArn": PRODUCT}, changes)


class Import(StandIn):
    def test_an_import_needs_the_own_account_and_product_and_an_enabled_hub(self):
        foreign = PRODUCT.replace(MEMBER, OTHER)
        for hub, changes in [
            (self.hub, {"AwsAccountId": OTHER}),
            (self.hub, {"ProductArn": foreign}),
            (self.hub, {"ProductArn": PRODUCT.replace(HOME, LINKED)}),
            (findings.Hub(MEMBER, LINKED), {"ProductArn": PRODUCT.replace(HOME, LINKED)}),
        ]:
            with self.subTest(changes):
                self.assertEqual(hub.put(finding(**changes))[0], "InvalidAccess")

    def test_a_finding_that_breaks_a_limit_is_refused(self):
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
            {"ProductFields": {f"key{number}": "x" for number in range(51)}},
            {"ProductFields": {"aws/own": "x"}},
            {"ProductFields": {"changed-by": ""}},
            {"ProductFields": {" ": "x"}},
            {"Region": "us-east-1"},
            {"Resources": [{**finding()["Resources"][0], "Partition": "aws-eusc"}]},
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

    def test_only_a_newer_import_changes_a_finding(self):
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

    def test_only_a_new_finding_may_set_its_workflow_status(self):
        self.assertEqual(self.imported(Workflow={"Status": "RESOLVED"})["Workflow"]["Status"], "RESOLVED")
        updated = self.imported(Workflow={"Status": "NOTIFIED"}, UpdatedAt="2026-11-02T00:00:00Z")
        self.assertEqual(updated["Workflow"]["Status"], "RESOLVED")

    def test_the_workflow_returns_to_new_as_aws_documents(self):
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
    def test_a_severity_set_by_the_customer_survives_and_the_one_of_the_provider_is_kept(self):
        self.imported()
        self.assertTrue(self.edit(Severity={"Label": "LOW"}, Note={"Text": "ours", "UpdatedBy": "me"}))
        after = self.imported(UpdatedAt="2026-11-02T00:00:00Z")
        self.assertEqual(after["Severity"]["Label"], "LOW")
        self.assertEqual(after["FindingProviderFields"]["Severity"]["Label"], "HIGH")
        self.assertEqual(after["Note"]["Text"], "ours")
        self.assertRegex(after["Note"]["UpdatedAt"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")

    def test_an_edit_keeps_updated_at_and_needs_permission(self):
        self.imported()
        self.edit(Workflow={"Status": "NOTIFIED"})
        self.assertEqual(self.standing()["UpdatedAt"], "2026-11-01T00:00:00Z")
        identifier, change = {"Id": "cmkwatch/one", "ProductArn": PRODUCT}, {"Workflow": {"Status": "NEW"}}
        self.assertFalse(findings.Hub(OTHER, HOME).edit(identifier, change))
        self.assertTrue(findings.Hub(organization.HUB, HOME).edit(identifier, change))
        self.assertFalse(self.hub.edit({**identifier, "Id": "another"}, change))


class Get(StandIn):
    def test_members_see_their_own_findings_and_the_administrator_sees_all(self):
        self.imported()
        self.assertEqual(findings.Hub(OTHER, HOME).visible(), [])
        self.assertEqual(len(findings.Hub(organization.HUB, HOME).visible()), 1)
        self.assertEqual(len(findings.Hub(organization.HUB, LINKED).visible()), 0)

    def matching(self, wanted):
        return [found["Id"] for _, found in self.hub.find(wanted)]

    def test_filters_match_as_aws_documents(self):
        self.imported(ProductFields={"cmkwatch/class": "public", "cmkwatch/size": "small"})
        for matches, wanted in [
            (True, {}),
            (True, {"Id": [condition("PREFIX", "cmkwatch/")]}),
            (False, {"Id": [condition("PREFIX", "CMKWATCH/")]}),
            (True, {"Id": [condition("EQUALS", "x"), condition("PREFIX", "cmk")]}),
            (True, {"Id": [condition("PREFIX", "x"), condition("PREFIX", "cmk")]}),
            (True, {"Id": [condition("PREFIX", "cmk"), condition("PREFIX_NOT_EQUALS", "x")]}),
            (False, {"Id": [condition("PREFIX", "cmk"), condition("PREFIX_NOT_EQUALS", "cmkwatch/")]}),
            (False, {"Id": [condition("PREFIX", "cmk"), condition("NOT_EQUALS", "cmkwatch/one")]}),
            (False, {"Id": [condition("NOT_EQUALS", "x"), condition("PREFIX_NOT_EQUALS", "cmk")]}),
            (False, {"Id": [condition("PREFIX", "cmk")], "RecordState": [condition("EQUALS", "ARCHIVED")]}),
            (True, {"ResourceId": [condition("EQUALS", "arn:aws:s3:::acme")]}),
            (True, {"Region": [condition("NOT_EQUALS", LINKED)], "AwsAccountId": [condition("EQUALS", MEMBER)]}),
            (False, {"Region": [condition("NOT_EQUALS", HOME)]}),
            (False, {"AwsAccountId": [condition("PREFIX_NOT_EQUALS", MEMBER[:3])]}),
            (True, {"ProductFields": [field("EQUALS", "class", "public")]}),
            (True, {"ProductFields": [field("EQUALS", "class", "public"), field("EQUALS", "class", "secret")]}),
            (True, {"ProductFields": [field("EQUALS", "class", "public"), field("EQUALS", "size", "small")]}),
            (False, {"ProductFields": [field("EQUALS", "class", "public"), field("EQUALS", "size", "large")]}),
            (False, {"ProductFields": [field("NOT_EQUALS", "class", "public")]}),
        ]:
            with self.subTest(wanted):
                self.assertEqual(bool(self.matching(wanted)), matches)

    def test_prefixes_that_overlap_find_each_finding_once(self):
        names = [f"cmkwatch/{name}" for name in ("a", "ab", "abc", "b", "c")]
        for name in names:
            self.hub.put(finding(Id=name))
        prefixes = [condition("PREFIX", f"cmkwatch/{name}") for name in ("c", "ab", "a")]
        self.assertEqual(self.matching({"Id": [*prefixes, condition("EQUALS", "cmkwatch/abc")]}), [*names[:3], names[4]])

    def test_an_invalid_filter_is_an_error(self):
        for wanted in [
            {"Confidence": []},
            {"Id": [condition("CONTAINS", "x")]},
            {"Id": [condition("EQUALS", "x")] * 21},
            {"Id": [{}]},
            {"Id": [condition("EQUALS", "x"), condition("NOT_EQUALS", "y")]},
            {"Id": [condition("EQUALS", "x"), condition("PREFIX_NOT_EQUALS", "y")]},
            {"ProductFields": [field("EQUALS", "class", "x"), field("NOT_EQUALS", "class", "y")]},
            {"ProductFields": [field("PREFIX", "class", "x")]},
        ]:
            with self.subTest(wanted), self.assertRaises(service.Refused) as caught:
                service._get(self.hub, {"Filters": wanted})
            self.assertEqual(caught.exception.args[0], "InvalidInputException")

    def page(self, token=None, hub=None):
        answer = service._get(hub or self.hub, {"MaxResults": 2} | ({"NextToken": token} if token else {}))
        return [found["Id"] for found in answer["Findings"]], answer.get("NextToken")

    def test_pages_miss_nothing_while_findings_are_added_and_changed(self):
        for number in (1, 2, 3, 5):
            self.hub.put(finding(Id=f"cmkwatch/{number}"))
        first, token = self.page()
        self.assertEqual(first, ["cmkwatch/1", "cmkwatch/2"])
        for changed in ("cmkwatch/1", "cmkwatch/3"):
            self.assertIsNone(self.hub.put(finding(Id=changed, UpdatedAt="2026-11-02T00:00:00Z")))
        for new in ("cmkwatch/0", "cmkwatch/4"):
            self.hub.put(finding(Id=new))
        second, token = self.page(token)
        self.assertEqual((second, *self.page(token)), (["cmkwatch/3", "cmkwatch/4"], ["cmkwatch/5"], None))
        with self.assertRaises(service.Refused):
            self.page("nonsense")

    def test_pages_include_findings_with_the_same_id(self):
        for account in organization.MEMBERS:
            hub, product = findings.Hub(account, HOME), PRODUCT.replace(MEMBER, account)
            hub.enable()
            self.assertIsNone(hub.put(finding(AwsAccountId=account, ProductArn=product)))
        administrator = findings.Hub(organization.HUB, HOME)
        administrator.enable()
        first, token = self.page(hub=administrator)
        self.assertEqual((first, *self.page(token, administrator)), (["cmkwatch/one"] * 2, ["cmkwatch/one"], None))

    def test_a_page_of_many_findings_takes_milliseconds(self):
        with mock.patch("sandbox.securityhub.asff.problem", return_value=None):
            for number in range(20_000):
                self.hub.put(finding(Id=f"cmkwatch/{number:05}"))
        self.hub.put(finding(Id="cmkwatch/19999/x", Title="other"))
        last = {"Id": [condition("PREFIX", "cmkwatch/19999"), condition("PREFIX", "cmkwatch/00000")]}
        started = time.perf_counter()
        for wanted in ({}, last, {"RecordState": [condition("EQUALS", "ACTIVE")]}):
            service._get(self.hub, {"Filters": wanted})
        self.assertLess(time.perf_counter() - started, 0.05)


class Disabled(StandIn):
    def test_disabling_security_hub_deletes_the_findings_and_refuses_calls(self):
        self.imported()
        self.assertEqual(self.call("DELETE", "/accounts"), (200, {}))
        status, answer = self.call("POST", "/findings")
        self.assertEqual((status, answer["__type"]), (401, "InvalidAccessException"))
        _, answer = self.call("POST", "/findings/import", Findings=[finding()])
        self.assertEqual((answer["SuccessCount"], answer["FailedFindings"][0]["ErrorCode"]), (0, "InvalidAccess"))
        self.call("POST", "/accounts")
        self.assertEqual(self.call("POST", "/findings"), (200, {"Findings": []}))

    def call(self, method, path, **request):
        with request_scope(MEMBER, HOME):
            answering = service.handle(method, path, {}, json.dumps(request).encode(), {})
            status, _, body = asyncio.run(answering)
        return status, json.loads(body)


def condition(comparison, value):
    return {"Comparison": comparison, "Value": value}


def field(comparison, key, value):
    return {"Key": f"cmkwatch/{key}", **condition(comparison, value)}


if __name__ == "__main__":
    unittest.main()
