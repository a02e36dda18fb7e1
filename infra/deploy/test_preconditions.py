"""Tests the checks before a build, with different answers of AWS."""

import contextlib
import json
import unittest
import urllib.parse
from unittest import mock

import boto3
from botocore.stub import Stubber

from infra.deploy import preconditions, stacks
from infra.deploy.asked import Refused

HUB, MANAGEMENT, HOME = "111122223333", "999988887777", "eu-west-1"
ASKED = {"ARTIFACTS": "acme", "ORGANIZATION_ID": "o-exampleorg1", "TARGETS": "ou-abcd-security", "REGION": HOME,
         "REGIONS": "eu-west-1,us-east-1", "ARCH": "arm64"}  # fmt: skip
MEMBERS = {"BUS_ARN": f"arn:aws:events:{HOME}:{HUB}:event-bus/cmkwatch", "ORGANIZATION_ID": "o-exampleorg1",
           "HOME_REGION": HOME, "REGIONS": "us-east-1,eu-west-1"}  # fmt: skip


ROLE = f"arn:aws:iam::{HUB}:role/deploy"
TRAIL = {"TrailARN": "trail", "IsOrganizationTrail": True, "IsMultiRegionTrail": True, "HomeRegion": HOME}
SLACK = {"PARAMETERS": "SlackWorkspaceId=T0 SlackChannelId=C0"}


def role(arn, trusted):
    """A role as IAM describes it."""
    statement = {"Effect": "Allow", "Principal": {"Service": trusted}, "Action": "sts:AssumeRole"}
    document = urllib.parse.quote(json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    name = arn.rpartition("/")[2]
    return {"Path": "/", "RoleName": name, "RoleId": "AROAEXAMPLEEXAMPLE", "Arn": arn, "CreateDate": 0,
            "AssumeRolePolicyDocument": document}  # fmt: skip


def workspace(team):
    """A workspace as Amazon Q Developer in chat applications lists it."""
    return {"SlackTeamId": team, "SlackTeamName": "acme"}


def advanced(*fields):
    """Advanced event selectors of one selector."""
    selectors = [{"Field": name, operator: values} for name, operator, values in fields]
    return {"AdvancedEventSelectors": [{"FieldSelectors": selectors}]}


def answers(account=HUB, **other):
    """The answers of AWS, by service, if all is in order. `other` replaces some of them."""
    known = {
        "organization": {"Id": "o-exampleorg1", "MasterAccountId": MANAGEMENT},
        "parents": [("ou-abcd-security", "ORGANIZATIONAL_UNIT"), ("r-abcd", "ROOT")],
        "regions": ["eu-west-1", "us-east-1"],
        "access": "ENABLED",
        "parameters": {},
        "bucket_region": HOME,
        "status": "UPDATE_COMPLETE",
        "linked": ("ALL_REGIONS", []),
        "trails": [TRAIL],
        "logging": True,
        "selectors": {"EventSelectors": [{"ReadWriteType": "All", "IncludeManagementEvents": True}]},
        "concurrency": 10,
        "workspaces": ["T0"],
        "role": (ROLE, "cloudformation.amazonaws.com"),
    } | other
    stack = [{"ParameterKey": name, "ParameterValue": value} for name, value in known["parameters"].items()]
    made = {"StackName": "cmkwatch", "CreationTime": 0, "StackStatus": known["status"], "Parameters": stack}
    mode, named = known["linked"]
    aggregator = {"FindingAggregatorArn": "arn", "FindingAggregationRegion": HOME, "RegionLinkingMode": mode}
    headers = {"HTTPHeaders": {"x-amz-bucket-region": known["bucket_region"]}}
    return {
        "sts": [("get_caller_identity", {"Account": account})] * 3,
        "organizations": [("describe_organization", {"Organization": known["organization"]})]
        + [("list_parents", {"Parents": [{"Id": name, "Type": kind}]}) for name, kind in known["parents"]],
        "account": [("list_regions", {"Regions": [{"RegionName": region} for region in known["regions"]]})],
        "cloudformation": [
            ("describe_stacks", {"Stacks": [made]}),
            ("describe_stacks", {"Stacks": [made]}),
            ("describe_organizations_access", {"Status": known["access"]}),
        ],
        "securityhub": [
            ("describe_hub", known.get("hub", {})),
            ("list_finding_aggregators", {"FindingAggregators": [{"FindingAggregatorArn": "arn"}]}),
            ("get_finding_aggregator", {**aggregator, "Regions": named}),
        ],
        "s3": [("head_bucket", {"ResponseMetadata": headers})],
        "iam": [("get_role", {"Role": role(*known["role"])})],
        "cloudtrail": [
            ("describe_trails", {"trailList": known["trails"]}),
            ("get_trail_status", {"IsLogging": known["logging"]}),
            ("get_event_selectors", known["selectors"]),
        ],
        "lambda": [("get_account_settings", {"AccountLimit": {"UnreservedConcurrentExecutions": known["concurrency"]}})],
        "chatbot": [("describe_slack_workspaces", {"SlackWorkspaces": [workspace(one) for one in known["workspaces"]]})],
    }


@contextlib.contextmanager
def aws(responses):
    """Replaces boto3's clients by stubs that give these answers, one for each call.

    Every client of a service takes its answers from one list.
    """
    clients = {}
    for service, calls in responses.items():
        credentials = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        clients[service] = boto3.client(service, region_name=HOME, **credentials)
        stub = Stubber(clients[service])
        for method, answer in calls:
            if isinstance(answer, str):
                stub.add_client_error(method, answer)
            else:
                stub.add_response(method, answer)
        stub.activate()
    with mock.patch.object(boto3, "client", lambda service, region_name=None: clients[service]):
        yield


class Preconditions(unittest.TestCase):
    def refused(self, words, check, asked, responses):
        with aws(responses), self.assertRaises(Refused) as refused:
            check(asked)
        self.assertIn(words, str(refused.exception))

    def test_nothing_is_refused_if_every_precondition_holds(self):
        for asked in ({}, SLACK, {"ROLE_ARN": ROLE}):
            with aws(answers()):
                preconditions.check_hub({**ASKED, **asked})
        category = ("eventCategory", "Equals", ["Management"])
        for selectors in (
            advanced(category),
            advanced(category, ("eventSource", "NotEquals", ["rdsdata.amazonaws.com"])),
            {"EventSelectors": [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True}]},
        ):
            with aws(answers(selectors=selectors)):
                preconditions.check_hub(ASKED)
        with aws(answers(MANAGEMENT)):
            preconditions.check_management(MEMBERS)

    def test_deployments_that_would_fail_or_watch_nothing_are_refused(self):
        cases = [
            (answers(organization={"Id": "o-other00000", "MasterAccountId": MANAGEMENT}),
             "expected o-other00000, the organization of these credentials"),
            (answers(MANAGEMENT), "these credentials belong to the management account, 999988887777"),
            (answers(parents=[("ou-abcd-elsewhere", "ORGANIZATIONAL_UNIT"), ("r-abcd", "ROOT")]),
             "does not contain the hub account 111122223333: add its parent, ou-abcd-elsewhere"),
            (answers(regions=["eu-west-1"]), "REGIONS contains us-east-1, expected regions that are enabled"),
            (answers(access="DISABLED"), "trusted access of StackSets to the organization is DISABLED"),
            (answers(hub="InvalidAccessException"), "securityhub:DescribeHub failed in eu-west-1, so Security"),
            (answers(bucket_region="us-east-1"), "is in us-east-1, expected one in REGION, eu-west-1"),
            (answers(parameters={"Regions": "eu-west-1,us-west-2"}), "REGIONS leaves out us-west-2"),
            ({**answers(), "organizations": [("describe_organization", "AccessDeniedException")]},
             "organizations:DescribeOrganization failed"),
            (answers(status="ROLLBACK_COMPLETE"), "is ROLLBACK_COMPLETE: its creation failed, so delete the stack first"),
            (answers(status="UPDATE_IN_PROGRESS"), "is UPDATE_IN_PROGRESS: wait until this operation ends"),
            (answers(linked=("SPECIFIED_REGIONS", ["eu-west-3"])), "does not aggregate the findings of us-east-1"),
            (answers(linked=("ALL_REGIONS_EXCEPT_SPECIFIED", ["us-east-1"])), "does not aggregate the findings of us"),
            (answers(linked=("NO_REGIONS", [])), "does not aggregate the findings of us-east-1"),
            (answers(trails=[]), "there is no trail of the organization for all regions"),
            (answers(trails=[TRAIL | {"IsOrganizationTrail": False}]), "there is no trail of the organization"),
            (answers(trails=[TRAIL | {"IsMultiRegionTrail": False}]), "there is no trail of the organization"),
            (answers(logging=False), "trail is not logging"),
            (answers(selectors={"EventSelectors": [{"ReadWriteType": "ReadOnly", "IncludeManagementEvents": True}]}),
             "does not log management events that write"),
            (answers(selectors={"EventSelectors": [{"ReadWriteType": "All", "IncludeManagementEvents": True,
                                                    "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]}),
             "excludes the events of KMS"),
            (answers(selectors=advanced(("eventCategory", "Equals", ["Management"]),
                                        ("eventSource", "NotEquals", ["kms.amazonaws.com"]))),
             "excludes the events of KMS"),
            (answers(selectors=advanced(("eventCategory", "Equals", ["Data"]))), "does not log management events"),
            (answers(concurrency=9), "at most 9 functions at once in this account and region, and cmkwatch may need 10"),
        ]  # fmt: skip
        for responses, words in cases:
            with self.subTest(words):
                self.refused(words, preconditions.check_hub, ASKED, responses)

    def test_a_role_that_cloudformation_cannot_use_is_refused(self):
        for given, found, words in [
            (ROLE.replace(HUB, MANAGEMENT), ROLE, "expected a role of this account"),
            (ROLE, ROLE.replace("role/", "role/path/"), "expected the ARN of the role with that name"),
        ]:
            responses = answers(role=(found, "cloudformation.amazonaws.com"))
            self.refused(words, preconditions.check_hub, {**ASKED, "ROLE_ARN": given}, responses)
        responses = answers(role=(ROLE, "lambda.amazonaws.com"))
        self.refused("does not trust", preconditions.check_hub, {**ASKED, "ROLE_ARN": ROLE}, responses)

    def test_a_workspace_that_is_not_authorised_is_refused(self):
        responses = answers(workspaces=["T1"])
        self.refused(
            "SlackWorkspaceId is `T0`, which is not auth", preconditions.check_hub, {**ASKED, **SLACK}, responses
        )

    def test_skipped_checks_are_not_made(self):
        with aws(answers(trails=[], concurrency=2, workspaces=[])):
            preconditions.check_hub({**ASKED, **SLACK, "UNCHECKED": "trail,concurrency,slack"})
        self.refused("UNCHECKED contains hub", preconditions.check_hub, {**ASKED, "UNCHECKED": "hub"}, answers())

    def test_credentials_of_another_account_are_refused_for_the_management_account(self):
        self.refused(
            "these credentials belong to account 111122223333", preconditions.check_management, MEMBERS, answers()
        )

    def test_omitted_parameters_are_checked_with_the_values_of_the_stack(self):
        for parameters, standing in [
            ("SlackChannelId=C1", {"SlackWorkspaceId": "T0", "SlackChannelId": "C0"}),
            ("TimeoutSeconds=400", {"RetryAfterSeconds": "2400", "AlertRetryAfterSeconds": "2400"}),
        ]:
            with aws(answers(parameters=standing)):
                preconditions.check_hub({**ASKED, "PARAMETERS": parameters})

    def test_a_target_further_up_reaches_the_hub(self):
        with aws(answers()):
            preconditions.check_hub({**ASKED, "TARGETS": "r-abcd"})


class NotCurrent(unittest.TestCase):
    def test_accounts_and_regions_without_a_current_stack_are_listed(self):
        instance = {"Account": "222233334444", "Region": "us-east-1", "Status": "OUTDATED", "StatusReason": "an SCP"}
        current = {"Account": HUB, "Region": HOME, "Status": "CURRENT"}
        listed = {"cloudformation": [("list_stack_instances", {"Summaries": [current, instance]})] * 2}
        with aws(listed):
            self.assertEqual(stacks.not_current(HOME), ["222233334444 us-east-1 OUTDATED an SCP"])
            self.assertEqual(len(stacks.not_current(HOME, every=True)), 2)
        with aws({"cloudformation": [("list_stack_instances", "StackSetNotFoundException")]}):
            self.assertEqual(stacks.not_current(HOME), [])
        with aws({"cloudformation": [("list_stack_instances", "AccessDenied")]}):
            (line,) = stacks.not_current(HOME)
            self.assertIn("ListStackInstances failed: An error occurred (AccessDenied)", line)


if __name__ == "__main__":
    unittest.main()
