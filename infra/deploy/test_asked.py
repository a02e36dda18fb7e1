"""Tests which requests are refused before the build, and with which message."""

import unittest

from infra.deploy import asked as deploy

BUS = "arn:aws:events:eu-west-1:111122223333:event-bus/cmkwatch"


def hub(standing=None, **asked):
    usual = {"ARTIFACTS": "acme", "ORGANIZATION_ID": "o-exampleorg1", "TARGETS": "r-abcd", "REGION": "eu-west-1"}
    return deploy.hub_parameters({**usual, "REGIONS": "eu-west-1,us-east-1", "ARCH": "arm64", **asked}, standing)


def members(**asked):
    usual = {"ORGANIZATION_ID": "o-exampleorg1", "BUS_ARN": BUS, "HOME_REGION": "eu-west-1"}
    return deploy.member_parameters({**usual, "REGIONS": "us-east-1,eu-west-1", **asked})


class Deploy(unittest.TestCase):
    def test_valid_parameters_are_passed_on_unchanged(self):
        self.assertEqual(
            hub(PARAMETERS="SweepSchedule='cron(0 3 * * ? *)' SlackWorkspaceId=T0 SlackChannelId=C0 TimeoutSeconds=90"),
            {
                "OrganizationId": "o-exampleorg1",
                "Targets": "r-abcd",
                "Regions": "eu-west-1,us-east-1",
                "Architecture": "arm64",
                "SweepSchedule": "cron(0 3 * * ? *)",
                "SlackWorkspaceId": "T0",
                "SlackChannelId": "C0",
                "TimeoutSeconds": "90",
            },
        )
        self.assertEqual(members()[1], ["eu-west-1", "us-east-1"])

    def test_wrong_or_missing_parameters_of_the_hub_are_refused(self):
        cases = [
            ({"ARTIFACTS": ""}, "ARTIFACTS is missing"),
            ({"ORGANIZATION_ID": ""}, "ORGANIZATION_ID is missing: The id of the AWS Organization"),
            ({"ORGANIZATION_ID": "acme"}, "ORGANIZATION_ID is `acme`, expected an organization id"),
            ({"TARGETS": ""}, "TARGETS is missing: set it to the organizational units"),
            ({"TARGETS": "r-abcd,111122223333"}, "TARGETS is `r-abcd,111122223333`, expected ids of"),
            ({"TARGETS": "r-abcd,"}, "TARGETS is `r-abcd,`"),
            ({"ARCH": "arm"}, "ARCH is `arm`, expected arm64 or x86_64"),
            ({"REGIONS": "us-east-1"}, "must contain REGION, `eu-west-1`"),
            ({"REGIONS": "eu-west-1, us-east-1"}, "expected region codes"),
            ({"REGIONS": ""}, "REGIONS is missing: set it to all watched regions"),
            ({"REGIONS": "eu-west-1,eu-west-1"}, "expected each of them once"),
            ({"TARGETS": "r-abcd,r-abcd"}, "expected each of them once"),
            ({"PARAMETERS": "SweepSchedule='rate(1 day)"}, "PARAMETERS cannot be parsed: No closing quotation"),
            ({"PARAMETERS": "Timeout=10"}, "the template of the hub has no parameter Timeout"),
            ({"PARAMETERS": "TimeoutSeconds"}, "PARAMETERS contains `TimeoutSeconds`, expected Name=value"),
            ({"PARAMETERS": "TimeoutSeconds=901"}, "TimeoutSeconds is `901`, expected 5 to 900 seconds"),
            ({"PARAMETERS": "SecondLookSeconds=901"}, "SecondLookSeconds is `901`, expected 1 to 900 seconds"),
            ({"PARAMETERS": "Generation=7"}, "PARAMETERS contains Generation, which make deploy sets to the time of"),
            ({"PARAMETERS": "TimeoutSeconds=ten"}, "TimeoutSeconds is `ten`"),
            ({"PARAMETERS": "LogRetentionDays=2"}, "LogRetentionDays is `2`, expected 1, 7"),
            ({"PARAMETERS": "TimeoutSeconds="}, "TimeoutSeconds is ``, expected 5 to 900 seconds"),
            ({"PARAMETERS": "SweepSchedule="}, "SweepSchedule is ``, expected a schedule"),
            ({"PARAMETERS": "AlarmTopicArn=arn:aws:sns:us-east-1:111122223333:x"}, "is a topic in `us-east-1`"),
            ({"PARAMETERS": "SweepSchedule=daily"}, "SweepSchedule is `daily`, expected a schedule"),
            ({"PARAMETERS": "Architecture=arm64"}, "PARAMETERS contains Architecture: set ARCH instead"),
            ({"PARAMETERS": "MemberTemplateUrl=https://x"}, "PARAMETERS contains MemberTemplateUrl, which make deploy"),
            ({"PARAMETERS": "SlackWorkspaceId=T0"}, "SlackWorkspaceId and SlackChannelId must both be set, or"),
            ({"PARAMETERS": "TimeoutSeconds=400"}, "RetryAfterSeconds is `360`, expected at least TimeoutSeconds (400)"),
            (
                {"PARAMETERS": "SweepRetryAfterSeconds=60"},
                "SweepRetryAfterSeconds is `60`, expected at least SweepTimeoutSeconds (900)",
            ),
            (
                {"PARAMETERS": "AlertWindowSeconds=300 TimeoutSeconds=300"},
                "is `420`, expected at least the sum of AlertWindowSeconds (300) and TimeoutSeconds (300)",
            ),
            ({"PARAMETERS": "AlarmTopicArn=security"}, "AlarmTopicArn is `security`, expected the ARN of a standard SNS"),
        ]
        for asked, words in cases:
            with self.subTest(asked), self.assertRaises(deploy.Refused) as refused:
                hub(**asked)
            self.assertIn(words, str(refused.exception))

    def test_omitted_parameters_are_checked_with_the_values_of_the_stack(self):
        longer = {"RetryAfterSeconds": "2400", "AlertRetryAfterSeconds": "2400"}
        hub(longer, PARAMETERS="TimeoutSeconds=400")
        with self.assertRaises(deploy.Refused) as refused:
            hub({"TimeoutSeconds": "400"}, PARAMETERS="RetryAfterSeconds=60")
        self.assertIn("RetryAfterSeconds is `60`, expected at least TimeoutSeconds (400)", str(refused.exception))
        slack = {"SlackWorkspaceId": "T0", "SlackChannelId": "C0"}
        hub(slack, PARAMETERS="SlackChannelId=C1")
        hub(slack, PARAMETERS="SlackWorkspaceId= SlackChannelId=")

    def test_watched_regions_are_not_dropped_without_remove(self):
        watched = {"Regions": "eu-west-1,eu-north-1,us-east-1", "Targets": "r-abcd"}
        with self.assertRaises(deploy.Refused) as refused:
            hub(watched)
        self.assertIn(
            "REGIONS leaves out eu-north-1, which the stack watches now: add it, or set REMOVE=yes",
            str(refused.exception),
        )
        hub(watched, REMOVE="yes")
        hub(watched, REGIONS="eu-west-1,eu-north-1,us-east-1,eu-west-3")

    def test_wrong_or_missing_parameters_of_the_management_account_are_refused(self):
        cases = [
            ({"BUS_ARN": ""}, "BUS_ARN is missing: The ARN of the event bus"),
            ({"BUS_ARN": "cmkwatch"}, "BUS_ARN is `cmkwatch`, expected the ARN of the event bus"),
            ({"HOME_REGION": "us-east-1"}, "HOME_REGION is `us-east-1`, but the bus of BUS_ARN is in `eu-west-1`"),
            ({"REGIONS": "us-east-1"}, "must contain HOME_REGION, `eu-west-1`"),
            ({"REGIONS": "eu-west-1"}, "must contain us-east-1, where AWS reports accounts that join and leave"),
            ({"REGIONS": "eu-west-1 us-east-1"}, "REGIONS contains `eu-west-1 us-east-1`, expected region codes"),
        ]
        for asked, words in cases:
            with self.subTest(asked), self.assertRaises(deploy.Refused) as refused:
                members(**asked)
            self.assertIn(words, str(refused.exception))


if __name__ == "__main__":
    unittest.main()
