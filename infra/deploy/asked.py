"""The requested parameters of the templates.

Only the templates define which values a parameter accepts. This module applies those rules before
the build, which takes minutes, and not after it.
"""

import functools
import re
import shlex

from awscli.customizations.cloudformation.yamlhelper import yaml_parse

from . import hub
from .hub import INFRA

# The parameters that have a variable of `make`. All others are given in PARAMETERS.
OWN = {"OrganizationId": "ORGANIZATION_ID", "Targets": "TARGETS", "Regions": "REGIONS", "Architecture": "ARCH"}
MEMBERS_OWN = {"HubBusArn": "BUS_ARN", "OrganizationId": "ORGANIZATION_ID", "HomeRegion": "HOME_REGION"}
# A message must not return while it is handled, or while others are gathered with it. Lambda
# refuses some of these values, but only after half of the stack is made.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
NOT_BEFORE = {
    "RetryAfterSeconds": ("TimeoutSeconds",),
    "AlertRetryAfterSeconds": ("AlertWindowSeconds", "TimeoutSeconds"),
    "SweepRetryAfterSeconds": ("SweepTimeoutSeconds",),
}


class Refused(Exception):
    """A request that is wrong or impossible. The message says what is expected."""


def hub_parameters(asked, standing=None):
    """Returns the parameters of the hub's template, and checks them.

    An omitted parameter is checked with the value that the stack has, from `standing`. Raises
    Refused, which names every wrong parameter.
    """
    given = {name: asked.get(variable, "") for name, variable in OWN.items()}
    faults, region = [], asked.get("REGION")
    if not asked.get("ARTIFACTS"):
        faults.append("ARTIFACTS is missing: set it to the name of an S3 bucket in REGION")
    if not region:
        faults.append("REGION is missing: set it to the home region, such as us-east-1")
    if not given["Targets"]:
        faults.append(
            "TARGETS is missing: set it to the organizational units (ou-...) or the root (r-...) that are watched"
        )
    if not given["Regions"]:
        faults.append("REGIONS is missing: set it to all watched regions, REGION included, with commas between them")
    try:
        words = shlex.split(asked.get("PARAMETERS", ""))
    except ValueError as error:
        words, faults = [], [*faults, f"PARAMETERS cannot be parsed: {error}; quote values as in a shell"]
    for word in words:
        name, is_set, value = word.partition("=")
        if not is_set:
            faults.append(f"PARAMETERS contains `{word}`, expected Name=value")
        elif name in OWN:
            faults.append(f"PARAMETERS contains {name}: set {OWN[name]} instead")
        elif name == "MemberTemplateUrl":
            faults.append(
                "PARAMETERS contains MemberTemplateUrl, which make deploy sets to the URL of its upload: leave it out"
            )
        elif name == "Generation":
            faults.append(
                "PARAMETERS contains Generation, which make deploy sets to the time of the deployment: leave it out"
            )
        else:
            given[name] = value
    faults += _faults(_of_hub(), given, OWN, "the template of the hub")
    faults += _too_early({**(standing or {}), **given})
    if given["Regions"] and region not in given["Regions"].split(","):
        faults.append(f"REGIONS is `{given['Regions']}`, but must contain REGION, `{region}`")
    topic = given.get("AlarmTopicArn", "").split(":")
    if len(topic) == 6 and topic[3] != region:
        faults.append(
            f"AlarmTopicArn is a topic in `{topic[3]}`, expected one in REGION, `{region}`, where the alarms are"
        )
    slack = [given.get(name, (standing or {}).get(name)) for name in ("SlackWorkspaceId", "SlackChannelId")]
    if bool(slack[0]) != bool(slack[1]):
        faults.append("SlackWorkspaceId and SlackChannelId must both be set, or both be empty")
    faults += _taken_away(asked, given, standing or {})
    return _unless(faults, given)


def member_parameters(asked):
    """Returns the parameters of infra/member.yaml, and the regions with the home region first.

    Raises Refused, which names every wrong parameter.
    """
    given = {name: asked.get(variable, "") for name, variable in MEMBERS_OWN.items()}
    given["IsManagementAccount"] = "yes"
    faults = list(_faults(_of_members(), given, MEMBERS_OWN, "infra/member.yaml"))
    home, all_regions = given["HomeRegion"], regions(asked)
    if home and (reported := account_events(home)) not in all_regions:
        faults.append(f"REGIONS is `{','.join(all_regions)}`, but must contain {reported}, where AWS reports accounts "
                      "that join and leave")  # fmt: skip
    if not faults and given["HubBusArn"].split(":")[3] != home:
        faults.append(f"HOME_REGION is `{home}`, but the bus of BUS_ARN is in `{given['HubBusArn'].split(':')[3]}`")
    if home and home not in all_regions:
        faults.append(f"REGIONS is `{','.join(all_regions)}`, but must contain HOME_REGION, `{home}`")
    return _unless(faults, (given, sorted(set(all_regions), key=lambda region: (region != home, region))))


def account_events(region):
    """Returns the region of a partition in which Organizations reports joins and departures.

    https://docs.aws.amazon.com/organizations/latest/userguide/orgs_cloudtrail-integration.html
    """
    by_prefix = {"cn-": "cn-northwest-1", "us-gov-": "us-gov-west-1"}
    return next((found for prefix, found in by_prefix.items() if region.startswith(prefix)), "us-east-1")


def value_of(name, given, standing):
    """Returns the value that a parameter of the hub's template will have."""
    return given.get(name) or standing.get(name) or str(_of_hub()[name].get("Default", ""))


def regions(asked):
    """Returns the regions of REGIONS. Raises Refused if one is no region code."""
    found = [region for region in asked.get("REGIONS", "").split(",") if region]
    wrong = [region for region in found if not re.fullmatch(r"[a-z]{2,4}(-[a-z]+){1,2}-[0-9]{1,2}", region)]
    return _unless([f"REGIONS contains `{region}`, expected region codes, such as us-east-1" for region in wrong], found)


def _faults(declared, given, variables, template):
    for name, value in given.items():
        called = variables.get(name, name)
        if name not in declared:
            yield f"{template} has no parameter {name}"
        elif not value and "Default" not in declared[name]:
            yield f"{called} is missing: {declared[name]['Description']}"
        elif (value or name not in variables) and not _fits(value, declared[name]):
            yield f"{called} is `{value}`, expected {declared[name]['ConstraintDescription']}"
        elif declared[name]["Type"] == "CommaDelimitedList" and len(set(value.split(","))) < len(value.split(",")):
            yield f"{called} is `{value}`, expected each of them once"


def _too_early(known):
    declared = _of_hub()
    for name, others in NOT_BEFORE.items():
        values = [known.get(each) or str(declared[each]["Default"]) for each in (name, *others)]
        if all(map(str.isdecimal, values)) and int(values[0]) < sum(map(int, values[1:])):
            minimum = " and ".join(f"{other} ({value})" for other, value in zip(others, values[1:], strict=True))
            yield f"{name} is `{values[0]}`, expected at least {'the sum of ' if len(others) > 1 else ''}{minimum}"


def _taken_away(asked, given, standing):
    """Reports targets and regions that would no longer be watched.

    Such a mistake is hardly noticed, because the sweep goes on.
    """
    for name in ("Targets", "Regions"):
        lost = sorted(set(filter(None, standing.get(name, "").split(","))) - set(given[name].split(",")))
        if lost and given[name] and asked.get("REMOVE") != "yes":
            what = f"{OWN[name]} leaves out {', '.join(lost)}, which the stack watches now: add it, or set REMOVE=yes"
            yield f"{what}. REMOVE=yes removes cmkwatch from accounts and regions that no other entry covers"


def _of_hub():
    return hub.template()["Parameters"]


@functools.cache
def _of_members():
    return yaml_parse((INFRA / "member.yaml").read_text())["Parameters"]


def _fits(value, declared):
    """Returns true if the template accepts the value.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
    """
    if declared["Type"] == "Number":
        if not re.fullmatch(r"[0-9]{1,9}", value):
            return False
        if not declared.get("MinValue", 0) <= int(value) <= declared.get("MaxValue", int(value)):
            return False
    if "AllowedValues" in declared and value not in map(str, declared["AllowedValues"]):
        return False
    is_list = declared["Type"] == "CommaDelimitedList"
    each, pattern = value.split(",") if is_list else [value], declared.get("AllowedPattern", ".*")
    return all((one or not is_list) and re.fullmatch(pattern, one) for one in each)


def _unless(faults, result):
    if faults:
        raise Refused("\n".join(faults))
    return result
