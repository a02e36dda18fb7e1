"""Checks before anything is built: a deployment that fails halfway has to be rolled back."""

import functools

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from . import asked as words
from .asked import Refused
from .stacks import HUB, standing_parameters

# The checks that UNCHECKED can skip.
OPTIONAL = {"trail", "concurrency", "slack"}
# The maximum number of concurrent runs of alert and sweep-planner, as in infra/template.yaml.
ALERTS_AND_PLANNER = 3


def check_hub(asked):
    """Raises Refused if the hub's stack could not be deployed or would not work.

    The checks cover the parameters, the account of the credentials, the services that must be
    enabled there, and the bucket.
    """
    if not (region := asked.get("REGION")):
        raise Refused("REGION is missing: set it to the home region, such as us-east-1")
    standing = _ask("cloudformation:DescribeStacks", lambda: standing_parameters(HUB, region))
    given = words.hub_parameters(asked, standing)
    unchecked = _unchecked(asked)
    _check_organization(asked["ORGANIZATION_ID"], region, wants_management=False)
    _check_targets(asked["TARGETS"], region)
    _check_regions(words.regions(asked), region)
    _check_services(region)
    _check_aggregation(words.regions(asked), region)
    _check_bucket(asked["ARTIFACTS"], region)
    _check_role(asked.get("ROLE_ARN"), region)
    if "trail" not in unchecked:
        _check_trail(region)
    if "concurrency" not in unchecked:
        _check_concurrency(region, given, standing)
    if "slack" not in unchecked:
        _check_slack(words.value_of("SlackWorkspaceId", given, standing), region)


def check_management(asked):
    """Raises Refused if infra/member.yaml could not be deployed in the management account."""
    _, regions = words.member_parameters(asked)
    _check_organization(asked["ORGANIZATION_ID"], regions[0], wants_management=True)
    _check_regions(regions, regions[0])
    _check_role(asked.get("ROLE_ARN"), regions[0])


def _unchecked(asked):
    """Returns the checks that UNCHECKED skips."""
    left_out = set(filter(None, asked.get("UNCHECKED", "").split(",")))
    if unknown := sorted(left_out - OPTIONAL):
        raise Refused(f"UNCHECKED contains {', '.join(unknown)}, expected only {', '.join(sorted(OPTIONAL))}")
    return left_out


def _check_role(role_arn, region):
    """Checks the service role.

    If CloudFormation cannot assume the role, the deployment fails at its first step.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
    """
    if not role_arn:
        return
    account, name = _account(region), role_arn.rpartition("/")[2]
    if role_arn.split(":")[4:5] != [account]:
        raise Refused(f"ROLE_ARN is `{role_arn}`, expected a role of this account, {account}")
    role = _ask("iam:GetRole", lambda: boto3.client("iam", region_name=region).get_role(RoleName=name))["Role"]
    if role["Arn"] != role_arn:
        raise Refused(f"ROLE_ARN is `{role_arn}`, expected the ARN of the role with that name, {role['Arn']}")
    if not _trusts(role["AssumeRolePolicyDocument"], "cloudformation.amazonaws.com"):
        raise Refused(f"the role {role_arn} of ROLE_ARN does not trust cloudformation.amazonaws.com: "
                      "add that service to the trust policy of the role")  # fmt: skip


def _trusts(document, service):
    statements = document["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal")
        services = principal.get("Service", []) if isinstance(principal, dict) else []
        if statement["Effect"] == "Allow" and service in ([services] if isinstance(services, str) else services):
            return True
    return False


def _check_trail(region):
    """Checks the trail: without one there are no events, and cmkwatch is as slow as its sweep.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event-cloudtrail.html
    """
    trails = boto3.client("cloudtrail", region_name=region)
    listed = _ask("cloudtrail:DescribeTrails", trails.describe_trails)["trailList"]
    of_all = [one for one in listed if one.get("IsOrganizationTrail") and one.get("IsMultiRegionTrail")]
    faults = [f"{one['TrailARN']} {fault}" for one in of_all if (fault := _fault_of(one))]
    if len(faults) == len(of_all):
        why = "; ".join(faults) if faults else "there is no trail of the organization for all regions"
        raise Refused(f"EventBridge does not report the changes of buckets and keys in all accounts and regions: {why}. "
                      "Correct the trail. If each account has a trail of its own, set UNCHECKED=trail")  # fmt: skip


def _fault_of(trail):
    """Returns why a trail does not report the management events that write, including those of KMS.

    Returns `None` if the trail reports them.
    """
    trails, arn = boto3.client("cloudtrail", region_name=trail["HomeRegion"]), trail["TrailARN"]
    if not _ask("cloudtrail:GetTrailStatus", lambda: trails.get_trail_status(Name=arn))["IsLogging"]:
        return "is not logging"
    found = _ask("cloudtrail:GetEventSelectors", lambda: trails.get_event_selectors(TrailName=arn))
    basic, advanced = found.get("EventSelectors") or [], found.get("AdvancedEventSelectors") or []
    logging = [one for one in basic if one.get("IncludeManagementEvents") and one.get("ReadWriteType") != "ReadOnly"]
    excluded = [set(one.get("ExcludeManagementEventSources", [])) for one in logging]
    for selector in advanced:
        fields = {field["Field"]: field for field in selector["FieldSelectors"]}
        is_of_management = fields.get("eventCategory", {}).get("Equals") == ["Management"]
        if is_of_management and fields.get("readOnly", {}).get("Equals") != ["true"]:
            excluded.append(set(fields.get("eventSource", {}).get("NotEquals", [])))
    if not excluded:
        return "does not log management events that write"
    if all("kms.amazonaws.com" in sources for sources in excluded):
        return "excludes the events of KMS"
    return None


def _check_concurrency(region, given, standing):
    """Checks the quota of concurrent runs, which all functions of the account share.

    Lambda runs 10 or 50 functions at once in a new account.
    https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """
    settings = boto3.client("lambda", region_name=region).get_account_settings
    limit = _ask("lambda:GetAccountSettings", settings)["AccountLimit"]["UnreservedConcurrentExecutions"]
    names = ("ChangesConcurrency", "SweepConcurrency")
    needed = sum(int(words.value_of(name, given, standing)) for name in names) + ALERTS_AND_PLANNER
    if needed > limit:
        raise Refused(f"Lambda runs at most {limit} functions at once in this account and region, and cmkwatch may need "
                      f"{needed}. Raise the quota, or lower {' and '.join(names)} in PARAMETERS")  # fmt: skip


def _check_slack(workspace, region):
    """Checks the Slack workspace, which a person authorises once, by hand.

    Without that, the stack fails at one of its last resources.
    https://docs.aws.amazon.com/chatbot/latest/adminguide/slack-setup.html
    """
    if not workspace:
        return
    pages = boto3.client("chatbot", region_name="us-east-2").get_paginator("describe_slack_workspaces").paginate()
    known = _ask(
        "chatbot:DescribeSlackWorkspaces",
        lambda: [one["SlackTeamId"] for page in pages for one in page["SlackWorkspaces"]],
    )
    if workspace not in known:
        raise Refused(f"SlackWorkspaceId is `{workspace}`, which is not authorised in this account: add it once, in the "
                      "console of Amazon Q Developer in chat applications")  # fmt: skip


def _check_organization(organization_id, region, wants_management):
    """Checks the organization: a wrong id would deploy, but admit no account's events."""
    found = _ask("organizations:DescribeOrganization", boto3.client("organizations").describe_organization)[
        "Organization"
    ]
    if found["Id"] != organization_id:
        raise Refused(
            f"ORGANIZATION_ID is `{organization_id}`, expected {found['Id']}, the organization of these credentials"
        )
    account = _account(region)
    is_management = account == found["MasterAccountId"]
    if is_management and not wants_management:
        raise Refused(f"these credentials belong to the management account, {account}, expected the hub account, "
                      "which deploys StackSets as delegated administrator")  # fmt: skip
    if wants_management and not is_management:
        raise Refused(f"these credentials belong to account {account}, expected the management account, "
                      f"{found['MasterAccountId']}. make deploy reaches all other accounts")  # fmt: skip


def _check_targets(targets, region):
    """Checks that the targets reach the hub account.

    cmkwatch also reads the hub's own Security Hub with the role that the StackSet makes there.
    """
    organizations, account = boto3.client("organizations"), _account(region)
    parent, above = {"Id": account, "Type": "ACCOUNT"}, []
    while parent["Type"] != "ROOT":
        list_parents = functools.partial(organizations.list_parents, ChildId=parent["Id"])
        (parent,) = _ask("organizations:ListParents", list_parents)["Parents"]
        above.append(parent["Id"])
    if not set(above) & set(targets.split(",")):
        raise Refused(
            f"TARGETS is `{targets}`, which does not contain the hub account {account}: add its parent, {above[0]}"
        )


def _check_regions(regions, home):
    """Checks that the regions are enabled in this account. Other accounts may differ."""
    pages = boto3.client("account", region_name=home).get_paginator("list_regions")
    enabled = pages.paginate(RegionOptStatusContains=["ENABLED", "ENABLED_BY_DEFAULT"])
    known = _ask("account:ListRegions", lambda: [one["RegionName"] for page in enabled for one in page["Regions"]])
    if wrong := [region for region in regions if region not in known]:
        raise Refused(f"REGIONS contains {', '.join(wrong)}, expected regions that are enabled in this account")


def _check_services(region):
    """Checks the trusted access of StackSets, and Security Hub.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-orgs-delegated-admin.html
    """
    access = boto3.client("cloudformation", region_name=region).describe_organizations_access
    status = _ask("cloudformation:DescribeOrganizationsAccess", lambda: access(CallAs="DELEGATED_ADMIN"))["Status"]
    if status != "ENABLED":
        raise Refused(f"trusted access of StackSets to the organization is {status}, expected ENABLED: run "
                      "aws cloudformation activate-organizations-access in the management account")  # fmt: skip
    try:
        boto3.client("securityhub", region_name=region).describe_hub()
    except (BotoCoreError, ClientError) as error:
        raise Refused(
            f"securityhub:DescribeHub failed in {region}, so Security Hub CSPM may not be enabled there: {error}"
        ) from error


def _check_aggregation(regions, home):
    """Checks that the home region aggregates the findings of all regions.

    Alerts are sent from the home region, for findings of all regions.

    https://docs.aws.amazon.com/securityhub/latest/userguide/finding-aggregation.html
    """
    hub, linked = boto3.client("securityhub", region_name=home), {home}
    found = _ask("securityhub:ListFindingAggregators", hub.list_finding_aggregators)["FindingAggregators"]
    for one in found:
        ask = functools.partial(hub.get_finding_aggregator, FindingAggregatorArn=one["FindingAggregatorArn"])
        aggregator = _ask("securityhub:GetFindingAggregator", ask)
        named, mode = set(aggregator.get("Regions", [])), aggregator["RegionLinkingMode"]
        if aggregator["FindingAggregationRegion"] == home and mode != "NO_REGIONS":
            linked |= {region for region in regions if (region in named) == (mode == "SPECIFIED_REGIONS")}
    if apart := sorted(set(regions) - linked):
        raise Refused(f"Security Hub does not aggregate the findings of {', '.join(apart)} in REGION, {home}: "
                      "run create-finding-aggregator, as in docs/operations.md")  # fmt: skip


def _check_bucket(bucket, region):
    try:
        found = boto3.client("s3", region_name=region).head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"the bucket `{bucket}` of ARTIFACTS cannot be used with these credentials: {error}") from error
    # Lambda reads code only from a bucket of its own region.
    there = found["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
    if there != region:
        raise Refused(f"the bucket `{bucket}` of ARTIFACTS is in {there}, expected one in REGION, {region}")


def _account(region):
    return _ask("sts:GetCallerIdentity", boto3.client("sts", region_name=region).get_caller_identity)["Account"]


def _ask(permission, call):
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"{permission} failed, so the deployment could not be checked: {error}") from error
