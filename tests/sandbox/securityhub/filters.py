"""The filters of GetFindings: https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFindingFilters.html.

A filter that the stand-in does not have is an error, so that none matches everything by accident.
"""

_STRINGS = {
    "AwsAccountId": lambda finding: [finding["AwsAccountId"]],
    "CompanyName": lambda finding: [finding.get("CompanyName", "")],
    "ComplianceStatus": lambda finding: [finding.get("Compliance", {}).get("Status", "")],
    "GeneratorId": lambda finding: [finding["GeneratorId"]],
    "Id": lambda finding: [finding["Id"]],
    "ProductArn": lambda finding: [finding["ProductArn"]],
    "ProductName": lambda finding: [finding.get("ProductName", "")],
    "RecordState": lambda finding: [finding["RecordState"]],
    "Region": lambda finding: [finding["Region"]],
    "ResourceId": lambda finding: [resource["Id"] for resource in finding["Resources"]],
    "ResourceType": lambda finding: [resource["Type"] for resource in finding["Resources"]],
    "SeverityLabel": lambda finding: [finding.get("Severity", {}).get("Label", "")],
    "Title": lambda finding: [finding["Title"]],
    "Type": lambda finding: finding.get("Types", []),
    "WorkflowStatus": lambda finding: [finding["Workflow"]["Status"]],
}
_MAPS = {"ProductFields": lambda finding: finding.get("ProductFields", {})}
_POSITIVE = {"EQUALS": str.__eq__, "PREFIX": str.startswith}
_NEGATIVE = {"NOT_EQUALS": str.__eq__, "PREFIX_NOT_EQUALS": str.startswith}


def select(findings, filters):
    """The findings that match; ValueError for filters that the API refuses or the stand-in does not have."""
    if len(filters) > 10 or any(len(conditions) > 20 for conditions in filters.values()):
        raise ValueError("a filter has at most 10 attributes with 20 values each")
    for name in filters:
        if name not in _STRINGS and name not in _MAPS:
            raise ValueError(f"the stand-in has no filter {name}")
    return [finding for finding in findings if all(_matches(finding, *item) for item in filters.items())]


def _matches(finding, name, conditions):
    if name in _STRINGS:
        return _any_and_none(_STRINGS[name](finding), [(c["Comparison"], c["Value"]) for c in conditions])
    fields = _MAPS[name](finding)
    by_key = {}
    for condition in conditions:
        by_key.setdefault(condition["Key"], []).append((condition["Comparison"], condition["Value"]))
    return all(_any_and_none([fields[key]] if key in fields else [], wanted) for key, wanted in by_key.items())


def _any_and_none(values, conditions):
    """EQUALS and PREFIX of one field are joined by OR, the negative comparisons by AND; all are case-sensitive."""
    wanted = [(comparison, text) for comparison, text in conditions if comparison in _POSITIVE]
    unwanted = [(comparison, text) for comparison, text in conditions if comparison in _NEGATIVE]
    if len(wanted) + len(unwanted) < len(conditions):
        raise ValueError("the comparisons are EQUALS, PREFIX, NOT_EQUALS and PREFIX_NOT_EQUALS")
    some = not wanted or any(_POSITIVE[c](value, text) for c, text in wanted for value in values)
    return some and not any(_NEGATIVE[c](value, text) for c, text in unwanted for value in values)
