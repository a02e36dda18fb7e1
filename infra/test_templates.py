"""What the templates say: the event patterns, matched by moto's EventPattern, and what AWS does not check for us."""

import json
import pathlib
import unittest

from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from moto.events.models import EventPattern

from infra.deploy import preconditions

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = sorted((ROOT / "functions" / "on-change" / "tests" / "records").glob("*.json"))
DEAD = {"Fn::GetAtt": ["ForwardDead", "Arn"]}
MEMBER_RULES = ("BucketsRule", "KeysRule", "AccountsRule")


def template(name):
    return yaml_parse((ROOT / "infra" / name).read_text())


def rule(of, name):
    """The pattern of a rule of a template."""
    return template(of)["Resources"][name]["Properties"]["EventPattern"]


def matches(pattern, event):
    return EventPattern.load(json.dumps(pattern)).matches_event(event)


class Patterns(unittest.TestCase):
    def setUp(self):
        self.members = {name: rule("member.yaml", name) for name in MEMBER_RULES}
        self.hub = rule("template.yaml", "ChangesRule")

    def of(self, event):
        """The rules of the members that forward an event."""
        return [name for name, pattern in self.members.items() if matches(pattern, event)]

    def test_what_leads_to_a_bucket_a_key_or_an_account_is_forwarded_once_and_comes_to_the_queue(self):
        for path in RECORDS:
            case = json.loads(path.read_text())
            if case["expected"].keys() & {"bucket", "key", "account", "error"}:
                with self.subTest(path.stem):
                    self.assertEqual(len(self.of(case["event"])), 1)
                    self.assertTrue(matches(self.hub, case["event"]))

    def test_every_call_that_is_listened_to_has_an_event_that_matches(self):
        seen = {}
        for path in RECORDS:
            event = json.loads(path.read_text())["event"]
            for name in self.of(event):
                seen.setdefault(name, set()).add(event["detail"]["eventName"])
        listened = {name: set(pattern["detail"]["eventName"]) for name, pattern in self.members.items()}
        self.assertEqual(seen, listened)

    def test_calls_that_failed_and_calls_of_others_are_not_forwarded(self):
        for name in ("put-bucket-encryption-refused", "put-bucket-encryption-directory-bucket", "tag-resource-of-kms"):
            (path,) = [path for path in RECORDS if path.stem == name]
            with self.subTest(name):
                self.assertEqual(self.of(json.loads(path.read_text())["event"]), [])


class Statements(unittest.TestCase):
    """Statements that work in one partition, or in the sandbox, and not in another."""

    def setUp(self):
        self.hub, self.members = template("template.yaml"), template("member.yaml")
        policy = self.hub["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"]
        self.of_key = {statement["Sid"]: statement for statement in policy}

    def test_the_principal_of_cloudwatch_logs_has_the_suffix_of_its_partition(self):
        """In China it is logs.REGION.amazonaws.com.cn."""
        service = self.of_key["Logs"]["Principal"]["Service"]
        self.assertEqual(service, {"Fn::Sub": "logs.${AWS::Region}.${AWS::URLSuffix}"})

    def test_no_service_must_tell_kms_for_what_it_acts(self):
        """Nobody has shown that CloudWatch and EventBridge do."""
        for name in ("Alarms", "Rules"):
            self.assertNotIn("Condition", self.of_key[name])

    def test_the_topic_takes_only_what_our_own_alarms_tell(self):
        topic = self.hub["Resources"]["TopicPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        (alarms,) = [statement for statement in topic if statement["Sid"] == "Alarms"]
        self.assertIn("aws:SourceArn", alarms["Condition"]["ArnLike"])

    def test_each_rule_of_the_members_has_a_dead_letter_queue(self):
        rules = {
            name: made["Properties"]["Targets"]
            for name, made in self.members["Resources"].items()
            if made["Type"] == "AWS::Events::Rule"
        }
        self.assertEqual(sorted(rules), sorted(MEMBER_RULES))
        for name, targets in rules.items():
            with self.subTest(name):
                self.assertEqual([target["DeadLetterConfig"]["Arn"] for target in targets], [DEAD] * len(targets))

    def test_what_runs_at_once_by_default_fits_into_a_new_account(self):
        """Lambda runs 10 functions at once in some of them."""
        parameters = self.hub["Parameters"]
        asked = parameters["ChangesConcurrency"]["Default"] + parameters["SweepConcurrency"]["Default"]
        alerts = self.hub["Resources"]["Alert"]["Properties"]["Events"]["Alerts"]["Properties"]["ScalingConfig"]
        self.assertEqual(alerts["MaximumConcurrency"] + 1, preconditions.ALERTS_AND_PLANNER)
        self.assertLessEqual(asked + preconditions.ALERTS_AND_PLANNER, 10)


if __name__ == "__main__":
    unittest.main()
