"""The filters of GetFindings.

https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsSecurityFindingFilters.html
A filter that is not implemented here is an error, so that none matches everything by accident.
Conditions are joined as these pages say:
https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_StringFilter.html
https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_MapFilter.html
"""

from bisect import bisect_left, bisect_right

# These filters match all findings of an account and region, or none of them.
_PLACES = {"AwsAccountId": lambda place: place[0], "Region": lambda place: place[1]}
_STRINGS = {
    "CompanyName": lambda finding: [finding.get("CompanyName", "")],
    "ComplianceStatus": lambda finding: [finding.get("Compliance", {}).get("Status", "")],
    "GeneratorId": lambda finding: [finding["GeneratorId"]],
    "Id": lambda finding: [finding["Id"]],
    "ProductArn": lambda finding: [finding["ProductArn"]],
    "ProductName": lambda finding: [finding.get("ProductName", "")],
    "RecordState": lambda finding: [finding["RecordState"]],
    "ResourceId": lambda finding: [resource["Id"] for resource in finding["Resources"]],
    "ResourceType": lambda finding: [resource["Type"] for resource in finding["Resources"]],
    "SeverityLabel": lambda finding: [finding.get("Severity", {}).get("Label", "")],
    "Title": lambda finding: [finding["Title"]],
    "Type": lambda finding: finding.get("Types", []),
    "WorkflowStatus": lambda finding: [finding["Workflow"]["Status"]],
}
_MAPS = {"ProductFields": lambda finding: finding.get("ProductFields", {})}
_OF_STRINGS = ("EQUALS", "PREFIX", "NOT_EQUALS", "PREFIX_NOT_EQUALS")
_OF_MAPS = ("EQUALS", "NOT_EQUALS")
_LAST = chr(0x10FFFF)


class Query:
    """The filters of a GetFindings call.

    Raises ValueError for filters that the API refuses or that are not implemented here.
    """

    def __init__(self, filters):
        if len(filters) > 10 or any(len(conditions) > 20 for conditions in filters.values()):
            raise ValueError("a filter has at most 10 attributes with 20 values each")
        self._places, self._tests, self._ids = [], [], None
        for name, conditions in filters.items():
            self._add(name, conditions)

    def _add(self, name, conditions):
        if name in _MAPS:
            self._tests.append(_test_of_map(_MAPS[name], conditions))
            return
        field = _Field(conditions, _OF_STRINGS)
        if name in _PLACES:
            self._places.append(lambda place: field.holds([_PLACES[name](place)]))
        elif name in _STRINGS:
            self._tests.append(lambda finding: field.holds(_STRINGS[name](finding)))
            self._ids = field if name == "Id" and (field.equal or field.prefixes) else self._ids
        else:
            raise ValueError(f"the stand-in has no filter {name}")

    def may_be_in(self, account, region):
        return all(test((account, region)) for test in self._places)

    def matches(self, finding):
        return all(test(finding) for test in self._tests)

    def candidates(self, ids):
        """Returns the ranges of a sorted list of Ids that may match, ordered and disjoint."""
        if self._ids is None:
            return [(0, len(ids))]
        ranges = [(bisect_left(ids, text), bisect_right(ids, text)) for text in self._ids.equal]
        ranges += [(bisect_left(ids, text), bisect_left(ids, text + _LAST)) for text in self._ids.prefixes]
        apart, end = [], 0
        for low, high in sorted(ranges):
            apart.append((max(low, end), high))
            end = max(end, high)
        return apart


class _Field:
    """The conditions on one field, all case-sensitive.

    EQUALS and PREFIX are joined by OR, the negative comparisons by AND.
    """

    def __init__(self, conditions, comparisons):
        texts = {comparison: [] for comparison in comparisons}
        for condition in conditions:
            if condition.get("Comparison") not in texts or not isinstance(condition.get("Value"), str):
                raise ValueError(f"a condition has a Value and one of the comparisons {', '.join(comparisons)}")
            texts[condition["Comparison"]].append(condition["Value"])
        self.equal, self.unequal = frozenset(texts["EQUALS"]), frozenset(texts["NOT_EQUALS"])
        self.prefixes, self.not_prefixes = tuple(texts.get("PREFIX", ())), tuple(texts.get("PREFIX_NOT_EQUALS", ()))
        # "You can't provide both an EQUALS filter and a NOT_EQUALS or PREFIX_NOT_EQUALS filter on
        # the same field."
        if self.equal and (self.unequal or self.not_prefixes):
            raise ValueError("EQUALS does not go together with NOT_EQUALS or PREFIX_NOT_EQUALS of the same field")

    def holds(self, values):
        some = not (self.equal or self.prefixes)
        some = some or any(value in self.equal or value.startswith(self.prefixes) for value in values)
        return some and not any(value in self.unequal or value.startswith(self.not_prefixes) for value in values)


def _test_of_map(fields_of, conditions):
    """Returns the test of a map, in which each key is a field of its own."""
    by_key = {}
    for condition in conditions:
        by_key.setdefault(condition.get("Key"), []).append(condition)
    wanted = [(key, _Field(of_key, _OF_MAPS)) for key, of_key in by_key.items()]

    def test(finding):
        fields = fields_of(finding)
        return all(field.holds([fields[key]] if key in fields else []) for key, field in wanted)

    return test
