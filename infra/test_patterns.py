"""The event patterns of the templates, matched by moto's EventPattern, which nobody wrote for them."""

import json
import pathlib
import unittest

from awscli.customizations.cloudformation.yamlhelper import yaml_parse
from moto.events.models import EventPattern

ROOT = pathlib.Path(__file__).resolve().parents[1]
RECORDS = sorted((ROOT / "functions" / "on-change" / "tests" / "records").glob("*.json"))
MEMBER_RULES = ("BucketsRule", "KeysRule", "AccountsRule")


def rule(template, name):
    """The pattern of a rule of a template."""
    return yaml_parse((ROOT / "infra" / template).read_text())["Resources"][name]["Properties"]["EventPattern"]


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


if __name__ == "__main__":
    unittest.main()
