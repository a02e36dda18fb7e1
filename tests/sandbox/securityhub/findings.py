"""The findings, and what an import or an edit does to them, and when that shows.

An import takes effect at once, and its event is sent at once; GetFindings shows it after a lag, and the home region
after another. An edit takes effect after a lag of its own. Which lags there are, `lag.py` says.
"""

import copy
import heapq
import itertools
import threading
import time
from bisect import bisect_left, bisect_right, insort

from .. import accounts, events, lag, organization
from . import asff, filters

_ENABLED = {}
_FINDINGS = {}

# "BatchImportFindings cannot be used to update" these of a finding that exists:
# https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html
_CUSTOMERS_OWN = ("Note", "UserDefinedFields", "VerificationState", "Workflow")
# These the customer may overwrite, and then the provider's values go to FindingProviderFields alone (same page).
_CUSTOMERS_IF_EDITED = ("Confidence", "Criticality", "RelatedFindings", "Severity", "Types")
_EDITABLE = (*_CUSTOMERS_OWN, *_CUSTOMERS_IF_EDITED)
_NORMALIZED = {"INFORMATIONAL": 0, "LOW": 1, "MEDIUM": 40, "HIGH": 70, "CRITICAL": 90}


def reset():
    """Forgets everything."""
    _ENABLED.clear()
    _FINDINGS.clear()


class _View:
    """The findings of one account and region in the order of their Ids, as GetFindings shows them."""

    def __init__(self):
        self.by_id, self.ids = {}, []
        # What shows later, as (moment, number, finding), the earliest first; and the last moment of each Id.
        self.coming, self.last, self.number = [], {}, itertools.count()

    def put(self, finding, after):
        """Shows a finding `after` so many seconds, and not before what was put for its Id earlier."""
        moment = max(time.monotonic() + after, self.last.get(finding["Id"], 0))
        self.last[finding["Id"]] = moment
        heapq.heappush(self.coming, (moment, next(self.number), finding))
        self._catch_up()

    def drop(self, finding_id):
        """Shows a finding no more."""
        self._catch_up()
        if self.by_id.pop(finding_id, None):
            self.ids.remove(finding_id)

    def _catch_up(self):
        while self.coming and self.coming[0][0] <= time.monotonic():
            _, _, finding = heapq.heappop(self.coming)
            if finding["Id"] not in self.by_id:
                insort(self.ids, finding["Id"])
            self.by_id[finding["Id"]] = finding

    def find(self, query, start_in):
        """Those that match, from where `start_in` says that the list of Ids goes on."""
        self._catch_up()
        start = start_in(self.ids)
        for low, high in query.candidates(self.ids):
            for position in range(max(low, start), high):
                finding = self.by_id[self.ids[position]]
                if query.matches(finding):
                    yield finding


class _Shelf:
    """The findings of one account and region: as they are, and as their own region and the home region show them."""

    def __init__(self):
        self.by_id, self.own, self.home = {}, _View(), _View()

    def import_(self, finding):
        self.by_id[finding["Id"]] = finding
        self.own.put(finding, lag.of("get_findings"))
        self.home.put(finding, lag.of("home_region"))

    def edit(self, finding, waited):
        """Shows an edit that took effect `waited` seconds after it was asked for."""
        self.own.put(finding, max(0, lag.of("get_findings") - waited))
        self.home.put(finding, max(0, lag.of("home_region") - waited))


def delete(asked):
    """A finding is lost, from wherever it is: some imports succeed and never show, users say.

    https://github.com/aws/aws-sdk-net/issues/1703
    """
    for shelf in _FINDINGS.values():
        shelf.by_id.pop(asked["id"], None)
        shelf.own.drop(asked["id"])
        shelf.home.drop(asked["id"])


class Hub:
    """The Security Hub of one account and region."""

    def __init__(self, account, region):
        self.account, self.region = account, region

    def enable(self):
        _ENABLED.setdefault((self.account, self.region), asff.now())

    def disable(self):
        """Turning it off takes the findings along."""
        _ENABLED.pop((self.account, self.region), None)
        _FINDINGS.pop((self.account, self.region), None)

    def is_enabled(self):
        return self.subscribed_at() is not None

    def subscribed_at(self):
        """When Security Hub was enabled here."""
        return _ENABLED.get((self.account, self.region))

    def find(self, wanted=None, after=None):
        """The findings that this account sees here and that a filter lets through, as (place, finding), in an order that
        no update changes; after a place, from there on. Its own; as administrator its members' too; and in the home
        region those of all linked regions. https://docs.aws.amazon.com/securityhub/latest/userguide/finding-aggregation.html"""
        query = filters.Query(wanted or {})
        accounts = organization.states() if self.account == organization.HUB else (self.account,)
        regions = organization.REGIONS if self.region == organization.HOME else (self.region,)
        places = [(account, region) for account in accounts for region in regions if query.may_be_in(account, region)]
        return heapq.merge(*(_find_in(place, query, after, place[1] == self.region) for place in places))

    def visible(self):
        return [finding for _, finding in self.find()]

    def put(self, finding):
        """Imports a finding; (code, message) where it is refused."""
        # "If Security Hub is not enabled or the integration is not, the finding is returned in FailedFindings with
        # InvalidAccess." https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html
        if not self.is_enabled():
            return "InvalidAccess", f"Security Hub is not enabled in account {self.account}, region {self.region}"
        if problem := asff.problem(finding):
            return "InvalidInput", problem
        # "The account that is associated with a finding" is the caller's, the product its default one:
        # https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-custom-providers.html
        product = f"arn:aws:securityhub:{self.region}:{self.account}:product/{self.account}/default"
        if finding["AwsAccountId"] != self.account or finding["ProductArn"] != product:
            return "InvalidAccess", f"account {self.account} may import with its own id and {product} only"
        mine = _FINDINGS.setdefault((self.account, self.region), _Shelf())
        before = mine.by_id.get(finding["Id"])
        if before is None:
            return self._create(mine, finding)
        # "the update is ignored" unless UpdatedAt is more recent; that it still counts as success is an assumption, the
        # page does not say. https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html
        if asff.moment(finding["UpdatedAt"]) > asff.moment(before["UpdatedAt"]):
            self._update(mine, before, finding)
        return None

    def _create(self, mine, finding):
        # "When you create a finding, CreatedAt and UpdatedAt must be the same":
        # https://docs.aws.amazon.com/securityhub/latest/userguide/asff-required-attributes.html
        if asff.moment(finding["CreatedAt"]) != asff.moment(finding["UpdatedAt"]):
            return "InvalidInput", "a new finding has CreatedAt equal to UpdatedAt"
        new = {"RecordState": "ACTIVE", "Workflow": {"Status": "NEW"}, **copy.deepcopy(finding)}
        new["_edited"] = []
        self._add_own_fields(new)
        _from_provider(new, finding)
        mine.import_(new)
        self._imported(new)
        return None

    def _update(self, mine, before, finding):
        after = copy.deepcopy(finding)
        after.setdefault("RecordState", "ACTIVE")
        after["_edited"] = before["_edited"]
        self._add_own_fields(after)
        for name in _CUSTOMERS_OWN:
            after.pop(name, None)
            if name in before:
                after[name] = before[name]
        for name in before["_edited"]:
            after[name] = before[name]
        _from_provider(after, finding)
        if _returns_to_new(before, after):
            after["Workflow"] = {"Status": "NEW"}
        mine.import_(after)
        self._imported(after)

    def _add_own_fields(self, finding):
        """What Security Hub adds: the region, the name of the account, and fields that nobody may send back.

        https://docs.aws.amazon.com/securityhub/latest/userguide/asff-top-level-attributes.html
        """
        finding["Region"], finding["AwsAccountName"] = self.region, accounts.name(self.account)
        fields = finding.setdefault("ProductFields", {})
        fields["aws/securityhub/FindingId"] = f"{finding['ProductArn']}/{finding['Id']}"
        fields["aws/securityhub/ProductName"] = finding.setdefault("ProductName", "Default")
        fields["aws/securityhub/CompanyName"] = finding.setdefault("CompanyName", "Personal")

    def edit(self, identifier, request):
        """A customer's own change, which takes effect after a lag; false where there is no such finding.

        "Updates from BatchUpdateFindings don't affect the value of UpdatedAt", and can take several minutes:
        https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_BatchUpdateFindings.html
        """
        for place, held in _FINDINGS.items():
            finding = held.by_id.get(identifier.get("Id"))
            if finding and finding["ProductArn"] == identifier.get("ProductArn") and self._may_edit(place):
                waits, change = lag.of("batch_update_findings"), copy.deepcopy(request)
                if waits:
                    timer = threading.Timer(waits, Hub(*place)._edited, [held, finding["Id"], change, waits])
                    timer.daemon = True
                    timer.start()
                else:
                    Hub(*place)._edited(held, finding["Id"], change, 0)
                return True
        return False

    def _edited(self, held, identifier, change, waited):
        """Makes an edit, and tells when a note was written: https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Note.html"""
        finding = copy.deepcopy(held.by_id[identifier])
        for name in _EDITABLE:
            if name in change:
                finding[name] = change[name]
                if name == "Note":
                    finding[name]["UpdatedAt"] = asff.now()
                finding["_edited"] = sorted({*finding["_edited"], name} & set(_CUSTOMERS_IF_EDITED))
        held.by_id[identifier] = finding
        held.edit(finding, waited)
        if _FINDINGS.get((self.account, self.region)) is held:
            self._imported(finding)

    def _may_edit(self, place):
        return place[0] == self.account or self.account == organization.HUB

    def _imported(self, finding):
        """Every import and every edit is an event, of one finding, in the account and its administrator's, there also in
        the home region. https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-integration-types.html"""
        public = _public(finding)
        places = {(self.account, self.region), (organization.HUB, self.region), (organization.HUB, organization.HOME)}
        for account, region in sorted(places):
            resource = f"{finding['ProductArn']}/{finding['Id']}"
            detail = {"findings": [public]}
            events.put(account, region, "aws.securityhub", "Security Hub Findings - Imported", detail, [resource])


def _find_in(place, query, after, is_own_region):
    """As `Hub.find`, of one account and region."""
    if place not in _FINDINGS:
        return
    shelf = _FINDINGS[place]
    view = shelf.own if is_own_region else shelf.home

    def start_in(ids):
        if after is None:
            return 0
        # Of findings with one Id, those of earlier places came before.
        return (bisect_left if place > tuple(after[1:]) else bisect_right)(ids, after[0])

    for finding in view.find(query, start_in):
        yield (finding["Id"], *place), _public(finding)


def _public(finding):
    return {name: value for name, value in finding.items() if name != "_edited"}


def _from_provider(finding, sent):
    """What the provider says stands at the top too, unless the customer said otherwise."""
    provider = dict(finding.get("FindingProviderFields") or {})
    for name in ("Severity", "Types"):
        if name in sent and name not in provider:
            provider[name] = sent[name]
        if name in provider and name not in finding["_edited"]:
            finding[name] = copy.deepcopy(provider[name])
    label = finding.get("Severity", {}).get("Label")
    if label:
        finding["Severity"]["Normalized"] = _NORMALIZED[label]
    finding["FindingProviderFields"] = provider


def _returns_to_new(before, after):
    """https://docs.aws.amazon.com/securityhub/latest/userguide/findings-workflow-status.html"""
    if before["Workflow"]["Status"] not in ("NOTIFIED", "RESOLVED"):
        return False
    returns = before["RecordState"] == "ARCHIVED" and after["RecordState"] == "ACTIVE"
    was, now = (finding.get("Compliance", {}).get("Status") for finding in (before, after))
    return returns or (was == "PASSED" and now in ("FAILED", "WARNING", "NOT_AVAILABLE"))
