"""Tests of the `make` commands, for all that can be deployed into the local AWS."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from sandbox import deploy, organization
from sandbox.testing import HOME, HUB, LINKED, THIRD, setUpModule

from infra.deploy import preview, stacks
from infra.deploy.asked import Refused

__all__ = ["setUpModule"]

ASKED = {
    "BUS_ARN": f"arn:aws:events:{HOME}:{HUB}:event-bus/cmkwatch",
    "ORGANIZATION_ID": organization.ID,
    "HOME_REGION": HOME,
    "REGIONS": f"{LINKED},{HOME}",
}


REFUSED = """
Parameters: {Size: {Type: String}}
Rules:
  Size:
    Assertions: [{Assert: {"Fn::Equals": [{Ref: Size}, small]}, AssertDescription: Size must be small}]
Resources: {Topic: {Type: AWS::SNS::Topic}}
"""


def credentials(account):
    return {"AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": "x", "AWS_PAGER": ""}


class Stacks(unittest.TestCase):
    def run_as(self, account, action, **asked):
        environment = {**os.environ, **credentials(account), **asked}
        command = [sys.executable, "-m", "infra.deploy", action]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    def roles(self):
        listed = deploy.client("iam", THIRD).list_roles()["Roles"]
        return sorted(role["RoleName"] for role in listed if role["RoleName"].startswith("cmkwatch-"))

    def test_the_members_template_is_deployed_updated_and_removed(self):
        for _ in range(2):
            made = self.run_as(THIRD, "deploy-management", **ASKED)
            self.assertEqual(made.returncode, 0, made.stderr)
            self.assertEqual(self.roles(), [f"cmkwatch-forward-{LINKED}", f"cmkwatch-forward-{HOME}", "cmkwatch-member"])
        for words in ("Removing the stack cmkwatch-member in", "There is no stack cmkwatch-member in"):
            gone = self.run_as(THIRD, "undeploy-management", **ASKED)
            self.assertEqual((gone.returncode, gone.stdout.count(words)), (0, 2), gone)
            self.assertEqual(self.roles(), [])

    def test_a_deployment_is_previewed_and_nothing_is_made(self):
        deploy.client("s3", HUB).create_bucket(Bucket="previews")
        with mock.patch.dict(os.environ, credentials(HUB)), tempfile.TemporaryDirectory() as folder:
            packaged = preview.package_without_code(pathlib.Path(folder), "previews", HOME)
            # The sandbox cannot make a StackSet.
            packaged.write_text(json.dumps(deploy.leave_out(yaml_parse(packaged.read_text()))))
            parameters = {"OrganizationId": organization.ID, "Architecture": "arm64"}
            changes = preview.preview_stack(HOME, packaged, "cmkwatch", parameters, "previews")
        for line in ("Add State (AWS::DynamoDB::Table)", "Add OnChange (AWS::Lambda::Function)"):
            self.assertIn(line, changes)
        stacks = [one["StackName"] for one in deploy.client("cloudformation", HUB).describe_stacks()["Stacks"]]
        self.assertNotIn("cmkwatch", stacks)

    def test_a_refusal_by_cloudformation_is_reported_before_the_build(self):
        template = pathlib.Path(tempfile.mkdtemp()) / "template.yaml"
        template.write_text(REFUSED)
        deploy.client("s3", HUB).create_bucket(Bucket="refusals")
        with mock.patch.dict(os.environ, credentials(HUB)), self.assertRaises(Refused) as refused:
            preview.preview_stack(HOME, template, "refused", {"Size": "big"}, "refusals")
        self.assertIn("Size must be small", str(refused.exception))

    def test_impossible_requests_print_a_reason_and_no_traceback(self):
        for action, asked, words in [
            ("deploy-management", {**ASKED, "BUS_ARN": ""}, "BUS_ARN is missing"),
            ("undeploy-management", {"REGIONS": ""}, "REGIONS is missing"),
            ("undeploy", {"REGION": ""}, "REGION is missing"),
        ]:
            refused = self.run_as(THIRD, action, **asked)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(words, refused.stderr)
            self.assertNotIn("Traceback", refused.stderr)

    def test_the_members_template_is_uploaded_under_a_name_made_from_its_content(self):
        with mock.patch.dict(os.environ, credentials(HUB)):
            deploy.client("s3", HUB).create_bucket(Bucket="uploads")
            first, second = stacks.upload_member("uploads", HOME), stacks.upload_member("uploads", HOME)
        self.assertEqual(first, second)
        key = first.split("/uploads/", 1)[1]
        found = deploy.client("s3", HUB).get_object(Bucket="uploads", Key=key)["Body"].read()
        self.assertEqual(found, (stacks.INFRA / "member.yaml").read_bytes())


if __name__ == "__main__":
    unittest.main()
