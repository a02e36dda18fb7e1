"""The format of a finding.

https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFinding.html
Types and required fields are read from the API's own model, which botocore contains. The limits
that the model does not state are listed here.
"""

import datetime
import json
import re

import botocore.session
from botocore.validate import ParamValidator

_SHAPE = botocore.session.get_session().get_service_model("securityhub").shape_for("AwsSecurityFinding")
_VALIDATOR = ParamValidator()
_PARTITIONS = _SHAPE.members["Resources"].member.members["Partition"].enum

# https://docs.aws.amazon.com/securityhub/latest/userguide/asff-required-attributes.html
_ALSO_REQUIRED = ("Severity", "Types")
_LONGEST = {"Id": 512, "GeneratorId": 512, "Title": 256, "Description": 1024, "ProductArn": 2048,
            "CompanyName": 128, "ProductName": 128}  # fmt: skip
_NAMESPACES = (
    "Software and Configuration Checks", "TTPs", "Effects", "Unusual Behaviors", "Sensitive Data Identifications",
)  # fmt: skip
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)")


def now():
    """Returns the current moment as AWS writes it."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(text):
    """Returns a timestamp as a value that compares to the nanosecond."""
    whole, fraction, _ = re.fullmatch(r"([^.Z+]+)(?:\.(\d+))?(Z|[+-].*)", text).groups()
    zone = text[len(whole) + (len(fraction) + 1 if fraction else 0) :]
    seconds = datetime.datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).timestamp()
    return int(seconds), int((fraction or "").ljust(9, "0") or 0)


def problem(finding):
    """Returns why a finding is invalid, or `None` if it is valid."""
    report = _VALIDATOR.validate(finding, _SHAPE)
    if report.has_errors():
        return report.generate_report()
    return next(_problems(finding), None)


def _problems(finding):
    provider = finding.get("FindingProviderFields", {})
    for name in _ALSO_REQUIRED:
        if not finding.get(name) and not provider.get(name):
            yield f"{name} is missing"
    for name, longest in _LONGEST.items():
        if name in finding and not (1 <= len(finding[name]) <= longest and finding[name].strip()):
            yield f"{name} has 1 to {longest} characters"
    # "Security Hub populates this attribute automatically". AWS does not say that it refuses one.
    if "Region" in finding:
        yield "Region is not for a provider to set"
    if finding["SchemaVersion"] != "2018-10-08":
        yield "SchemaVersion is 2018-10-08"
    if not re.fullmatch(r"\d{12}", finding["AwsAccountId"]):
        yield "AwsAccountId has 12 digits"
    for name in ("CreatedAt", "UpdatedAt", "FirstObservedAt", "LastObservedAt"):
        if name in finding and not _MOMENT.fullmatch(finding[name]):
            yield f"{name} is no timestamp"
    for kind in provider.get("Types", finding.get("Types", [])):
        if kind.split("/")[0] not in _NAMESPACES:
            yield f"{kind} is no type of the taxonomy"
    yield from _problems_of_parts(finding)
    if len(json.dumps(finding)) > 240 * 1024:
        yield "a finding has at most 240 KB"


def _problems_of_parts(finding):
    if any(resource.get("Partition", "aws") not in _PARTITIONS for resource in finding["Resources"]):
        yield f"Partition is one of {', '.join(_PARTITIONS)}"
    if not 1 <= len(finding["Resources"]) <= 32:
        yield "there are 1 to 32 Resources"
    fields = finding.get("ProductFields", {})
    # The pattern of "NonEmptyString" requires a character that is not blank.
    if any(not text.strip() for pair in fields.items() for text in pair):
        yield "ProductFields has no blank keys and values"
    if len(fields) > 50 or any(len(key) > 128 or len(value) > 2048 for key, value in fields.items()):
        yield "ProductFields has at most 50 pairs, of 128 and 2048 characters"
    if any(key.startswith("aws/") for key in fields):
        yield "ProductFields may not use the prefix aws/"
    if len(finding.get("Remediation", {}).get("Recommendation", {}).get("Text", "")) > 512:
        yield "Recommendation.Text has at most 512 characters"
    compliance = finding.get("Compliance", {})
    if len(compliance.get("RelatedRequirements", [])) > 32:
        yield "there are at most 32 RelatedRequirements"
    if any(not reason.get("ReasonCode", "").strip() for reason in compliance.get("StatusReasons", [])):
        yield "each of StatusReasons has a ReasonCode"
    label = finding.get("FindingProviderFields", {}).get("Severity", finding.get("Severity", {})).get("Label")
    if label not in ("INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"):
        yield "Severity.Label is not one of the five"
