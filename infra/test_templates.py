"""Tests the event patterns, with MiniStack's matcher, and rules that AWS does not check."""

import json
import pathlib
import re
import unittest

from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from cfnlint.decode import cfn_yaml
from ministack.services import eventbridge

from infra.deploy import preconditions

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = sorted((ROOT / "functions" / "on-change" / "tests" / "records").glob("*.json"))
DEAD = {"Fn::GetAtt": ["ForwardDead", "Arn"]}
MEMBER_RULES = ("BucketsRule", "KeysRule", "GrantsRule", "AccountsRule")


def template(name):
    return yaml_parse((ROOT / "infra" / name).read_text())


def rule(of, name):
    """The event pattern of a rule of a template."""
    return template(of)["Resources"][name]["Properties"]["EventPattern"]


def matches(pattern, event):
    """Returns true if a pattern matches an event, as TestEventPattern does.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_TestEventPattern.html
    """
    text = re.sub(r'{"Fn::Sub": ("[^"]*")}', r"\1", json.dumps(pattern)).replace("${AWS::Partition}", "aws")
    status, _, body = eventbridge._test_event_pattern({"Event": json.dumps(event), "EventPattern": text})
    if status != 200:
        raise ValueError(body)
    return json.loads(body)["Result"]


def event_names(pattern):
    """The event names that a pattern lists, in the alternatives of `$or` too."""
    detail = pattern["detail"]
    alternatives = [detail, *detail.get("$or", [])]
    return {name for one in alternatives for name in one.get("eventName", [])}


class Patterns(unittest.TestCase):
    def setUp(self):
        self.members = {name: rule("member.yaml", name) for name in MEMBER_RULES}
        self.hub = rule("template.yaml", "ChangesRule")

    def of(self, event):
        """The member rules that forward an event."""
        return [name for name, pattern in self.members.items() if matches(pattern, event)]

    def test_records_about_a_bucket_key_or_account_are_forwarded_once_and_match_the_queue_rule(self):
        for path in RECORDS:
            case = json.loads(path.read_text())
            if case["expected"].keys() & {"bucket", "key", "account", "error"}:
                with self.subTest(path.stem):
                    self.assertEqual(len(self.of(case["event"])), 1)
                    self.assertTrue(matches(self.hub, case["event"]))

    def test_every_event_name_of_a_rule_has_a_record_that_matches(self):
        seen = {}
        for path in RECORDS:
            event = json.loads(path.read_text())["event"]
            for name in self.of(event):
                seen.setdefault(name, set()).add(event["detail"]["eventName"])
        listened = {name: event_names(pattern) for name, pattern in self.members.items()}
        self.assertEqual(seen, listened)

    def test_failed_and_unrelated_calls_are_not_forwarded(self):
        for name in ("put-bucket-encryption-refused", "put-bucket-encryption-directory-bucket", "tag-resource-of-kms"):
            (path,) = [path for path in RECORDS if path.stem == name]
            with self.subTest(name):
                self.assertEqual(self.of(json.loads(path.read_text())["event"]), [])

    def grant(self, name, **changes):
        """The rules that forward a record of a grant with other fields."""
        (path,) = [path for path in RECORDS if path.stem == name]
        event = json.loads(path.read_text())["event"]
        for field, value in changes.items():
            event["detail"][field] = (event["detail"][field] or {}) | value
        return self.of(event)

    def test_grants_to_services_are_not_forwarded(self):
        account = "111122223333"
        for grantee, forwarded in (
            (f"arn:aws:iam::{account}:role/app", True),
            (f"arn:aws:iam::{account}:root", True),
            (f"arn:aws:sts::{account}:assumed-role/app/me", True),
            ("AIDAEXAMPLEEXAMPLE", True),
            # Customers choose the names of users and roles.
            (f"arn:aws:iam::{account}:user/rds.amazonaws.com", True),
            (f"arn:aws:iam::{account}:role/a:assumed-role/aws:b/c", True),
            ("rds.amazonaws.com", False),
            ("ec2.amazonaws.com.cn", False),
            (f"{account}:aws:ec2-infrastructure:i-81e2f56c", False),
            (f"arn:aws:sts::{account}:assumed-role/aws:ec2-infrastructure/i-81e2f56c", False),
        ):
            with self.subTest(grantee):
                rules = self.grant("create-grant", requestParameters={"granteePrincipal": grantee})
                self.assertEqual(rules, ["GrantsRule"] if forwarded else [])

    def test_ends_of_grants_by_services_are_not_forwarded(self):
        role = "arn:aws:sts::111122223333:assumed-role"
        for name in ("revoke-grant", "retire-grant"):
            for identity, forwarded in (
                ({"arn": f"{role}/app/me"}, True),
                ({"invokedBy": "ec2.amazonaws.com"}, False),
                ({"arn": f"{role}/aws:ec2-infrastructure/i-81e2f56c"}, False),
            ):
                with self.subTest(name, identity=identity):
                    self.assertEqual(self.grant(name, userIdentity=identity), ["GrantsRule"] if forwarded else [])


class Statements(unittest.TestCase):
    """Statements that work in one partition, or in the sandbox, and not in another."""

    def setUp(self):
        self.hub, self.members = template("template.yaml"), template("member.yaml")
        policy = self.hub["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"]
        self.of_key = {statement["Sid"]: statement for statement in policy}

    def test_the_principal_of_cloudwatch_logs_has_the_suffix_of_its_partition(self):
        """The principal is logs.REGION.amazonaws.com.cn in China."""
        service = self.of_key["Logs"]["Principal"]["Service"]
        self.assertEqual(service, {"Fn::Sub": "logs.${AWS::Region}.${AWS::URLSuffix}"})

    def test_the_key_policy_requires_no_source_of_services(self):
        """Nobody has shown that CloudWatch and EventBridge pass their source to KMS."""
        for name in ("Alarms", "Rules"):
            self.assertNotIn("Condition", self.of_key[name])

    def test_the_topic_accepts_only_alarms_of_cmkwatch(self):
        topic = self.hub["Resources"]["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        (alarms,) = [statement for statement in topic if statement["Sid"] == "Alarms"]
        self.assertIn("aws:SourceArn", alarms["Condition"]["ArnLike"])

    def test_each_member_rule_has_a_dead_letter_queue(self):
        rules = {
            name: made["Properties"]["Targets"]
            for name, made in self.members["Resources"].items()
            if made["Type"] == "AWS::Events::Rule"
        }
        self.assertEqual(sorted(rules), sorted(MEMBER_RULES))
        for name, targets in rules.items():
            with self.subTest(name):
                self.assertEqual([target["DeadLetterConfig"]["Arn"] for target in targets], [DEAD] * len(targets))

    def test_the_default_concurrency_fits_into_a_new_account(self):
        """Lambda runs 10 functions at once in some new accounts."""
        parameters = self.hub["Parameters"]
        asked = parameters["ChangesConcurrency"]["Default"] + parameters["SweepConcurrency"]["Default"]
        alerts = self.hub["Resources"]["Alert"]["Properties"]["Events"]["Alerts"]["Properties"]["ScalingConfig"]
        self.assertEqual(alerts["MaximumConcurrency"] + 1, preconditions.ALERTS_AND_PLANNER)
        self.assertLessEqual(asked + preconditions.ALERTS_AND_PLANNER, 10)


class Contents(unittest.TestCase):
    def test_no_name_is_repeated(self):
        """The parser of the AWS CLI would drop the first one of two."""
        for name in ("template.yaml", "monitoring.yaml", "member.yaml"):
            with self.subTest(name):
                cfn_yaml.load(str(ROOT / "infra" / name))

    def test_the_table_of_contents_lists_every_section_with_its_resources(self):
        for name in ("template.yaml", "monitoring.yaml", "member.yaml"):
            head, _, rest = (ROOT / "infra" / name).read_text().partition("\nResources:\n")
            listed = re.findall(r"^# - (.+) \((.+)\)$", head.replace("\n#   ", " "), re.MULTILINE)
            before, *parts = re.split(r"^  # ---- (.+) ----$", rest.partition("\nOutputs:\n")[0], flags=re.MULTILINE)
            made = [", ".join(re.findall(r"^  (\w+):$", part, re.MULTILINE)) for part in parts[1::2]]
            with self.subTest(name):
                self.assertEqual(before, "")
                self.assertEqual(listed, list(zip(parts[::2], made, strict=True)))


if __name__ == "__main__":
    unittest.main()
