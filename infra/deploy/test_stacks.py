"""What can be deployed into the local AWS is, by the commands that `make` runs."""

import os
import subprocess
import sys
import unittest
from unittest import mock

from sandbox import deploy, organization
from sandbox.testing import HOME, HUB, LINKED, THIRD, setUpModule

from infra.deploy import stacks

__all__ = ["setUpModule"]

ASKED = {
    "BUS_ARN": f"arn:aws:events:{HOME}:{HUB}:event-bus/cmkwatch",
    "ORGANIZATION_ID": organization.ID,
    "HOME_REGION": HOME,
    "REGIONS": f"{LINKED},{HOME}",
}


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

    def test_what_cannot_be_done_is_said_and_not_a_traceback(self):
        for action, asked, words in [
            ("deploy-management", {**ASKED, "BUS_ARN": ""}, "BUS_ARN is missing"),
            ("undeploy-management", {"REGIONS": ""}, "REGIONS is missing"),
            ("undeploy", {"REGION": ""}, "REGION is missing"),
        ]:
            refused = self.run_as(THIRD, action, **asked)
            self.assertEqual(refused.returncode, 1)
            self.assertIn(words, refused.stderr)
            self.assertNotIn("Traceback", refused.stderr)

    def test_the_members_template_is_uploaded_by_what_is_in_it(self):
        with mock.patch.dict(os.environ, credentials(HUB)):
            deploy.client("s3", HUB).create_bucket(Bucket="uploads")
            first, second = stacks.upload_member("uploads", HOME), stacks.upload_member("uploads", HOME)
        self.assertEqual(first, second)
        key = first.split("/uploads/", 1)[1]
        found = deploy.client("s3", HUB).get_object(Bucket="uploads", Key=key)["Body"].read()
        self.assertEqual(found, (stacks.INFRA / "member.yaml").read_bytes())


if __name__ == "__main__":
    unittest.main()
