"""What must be so before anything is built or made, for a deployment that fails halfway has to be taken back."""

import functools

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from . import asked as words
from .asked import Refused
from .stacks import HUB, standing_parameters


def check_hub(asked):
    """Refused where the stack of the hub could not be deployed, or would not do its work: for its parameters, the account
    that the credentials are of, what is not enabled there, or the bucket."""
    if not (region := asked.get("REGION")):
        raise Refused("REGION is missing")
    words.hub_parameters(asked, _ask("cloudformation:DescribeStacks", lambda: standing_parameters(HUB, region)))
    _check_organization(asked["ORGANIZATION_ID"], region, wants_management=False)
    _check_targets(asked["TARGETS"], region)
    _check_regions(words.regions(asked), region)
    _check_services(region)
    _check_aggregation(words.regions(asked), region)
    _check_bucket(asked["ARTIFACTS"], region)


def check_management(asked):
    """Refused where infra/member.yaml could not be deployed in the management account."""
    _, regions = words.member_parameters(asked)
    _check_organization(asked["ORGANIZATION_ID"], regions[0], wants_management=True)
    _check_regions(regions, regions[0])


def _check_organization(organization_id, region, wants_management):
    """A wrong id would deploy, and let no account's event in."""
    found = _ask("organizations:DescribeOrganization", boto3.client("organizations").describe_organization)[
        "Organization"
    ]
    if found["Id"] != organization_id:
        raise Refused(
            f"ORGANIZATION_ID is `{organization_id}`, but the organization of these credentials is {found['Id']}"
        )
    account = _account(region)
    is_management = account == found["MasterAccountId"]
    if is_management and not wants_management:
        raise Refused(f"these credentials are of the management account, {account}, which StackSets cannot be deployed "
                      "from as delegated administrator: wanted are those of the hub account")  # fmt: skip
    if wants_management and not is_management:
        raise Refused(f"these credentials are of account {account}, but the management account is "
                      f"{found['MasterAccountId']}; make deploy reaches all others")  # fmt: skip


def _check_targets(targets, region):
    """cmkwatch reads its own account's Security Hub, too, with the role that the StackSet makes there."""
    organizations, account = boto3.client("organizations"), _account(region)
    parent, above = {"Id": account, "Type": "ACCOUNT"}, []
    while parent["Type"] != "ROOT":
        list_parents = functools.partial(organizations.list_parents, ChildId=parent["Id"])
        (parent,) = _ask("organizations:ListParents", list_parents)["Parents"]
        above.append(parent["Id"])
    if not set(above) & set(targets.split(",")):
        raise Refused(f"TARGETS is `{targets}`, but must reach the hub account {account} itself, which is in {above[0]}")


def _check_regions(regions, home):
    """Those that are enabled in this account; another one has what is enabled there."""
    pages = boto3.client("account", region_name=home).get_paginator("list_regions")
    enabled = pages.paginate(RegionOptStatusContains=["ENABLED", "ENABLED_BY_DEFAULT"])
    known = _ask("account:ListRegions", lambda: [one["RegionName"] for page in enabled for one in page["Regions"]])
    if wrong := [region for region in regions if region not in known]:
        raise Refused(f"REGIONS holds {', '.join(wrong)}, which is no region that is enabled in this account")


def _check_services(region):
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stacksets-orgs-delegated-admin.html"""
    access = boto3.client("cloudformation", region_name=region).describe_organizations_access
    status = _ask("cloudformation:DescribeOrganizationsAccess", lambda: access(CallAs="DELEGATED_ADMIN"))["Status"]
    if status != "ENABLED":
        raise Refused(f"trusted access of StackSets to the organization is {status}: aws cloudformation "
                      "activate-organizations-access, in the management account")  # fmt: skip
    try:
        boto3.client("securityhub", region_name=region).describe_hub()
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"Security Hub CSPM is not enabled here in {region}, or cannot be asked: {error}") from error


def _check_aggregation(regions, home):
    """Alerts, and which buckets use a key, are told of findings that come together in the home region.

    https://docs.aws.amazon.com/securityhub/latest/userguide/finding-aggregation.html
    """
    hub, linked = boto3.client("securityhub", region_name=home), {home}
    found = _ask("securityhub:ListFindingAggregators", hub.list_finding_aggregators)["FindingAggregators"]
    for one in found:
        ask = functools.partial(hub.get_finding_aggregator, FindingAggregatorArn=one["FindingAggregatorArn"])
        told = _ask("securityhub:GetFindingAggregator", ask)
        named, mode = set(told.get("Regions", [])), told["RegionLinkingMode"]
        if told["FindingAggregationRegion"] == home and mode != "NO_REGIONS":
            linked |= {region for region in regions if (region in named) == (mode == "SPECIFIED_REGIONS")}
    if apart := sorted(set(regions) - linked):
        raise Refused(f"Security Hub does not aggregate the findings of {', '.join(apart)} in REGION, {home}: "
                      "see create-finding-aggregator in README.md")  # fmt: skip


def _check_bucket(bucket, region):
    try:
        found = boto3.client("s3", region_name=region).head_bucket(Bucket=bucket)
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"the bucket `{bucket}` of ARTIFACTS cannot be used with these credentials: {error}") from error
    # Lambda takes code from a bucket of its own region only.
    there = found["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", region)
    if there != region:
        raise Refused(f"the bucket `{bucket}` of ARTIFACTS is in {there}, but wanted is one in REGION, {region}")


def _account(region):
    return _ask("sts:GetCallerIdentity", boto3.client("sts", region_name=region).get_caller_identity)["Account"]


def _ask(permission, call):
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise Refused(f"it cannot be told whether cmkwatch can be deployed, as {permission} failed: {error}") from error
