"""The store of findings, the effects of imports and edits, and when GetFindings shows them.

An import takes effect at once, and its event is sent at once. GetFindings shows it after a lag, and
the home region after another. An edit takes effect after its own lag. `lag.py` lists the lags.
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

# "BatchImportFindings cannot be used to update" these fields of an existing finding:
# https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html
_CUSTOMERS_OWN = ("Note", "UserDefinedFields", "VerificationState", "Workflow")
# The customer may overwrite these fields. The provider's values are then stored in
# FindingProviderFields only (same page).
_CUSTOMERS_IF_EDITED = ("Confidence", "Criticality", "RelatedFindings", "Severity", "Types")
_EDITABLE = (*_CUSTOMERS_OWN, *_CUSTOMERS_IF_EDITED)
_NORMALIZED = {"INFORMATIONAL": 0, "LOW": 1, "MEDIUM": 40, "HIGH": 70, "CRITICAL": 90}


def reset():
    """Forgets all findings, and where Security Hub is enabled."""
    _ENABLED.clear()
    _FINDINGS.clear()


class _View:
    """The findings of one account and region, ordered by Id, as GetFindings shows them."""

    def __init__(self):
        self.by_id, self.ids = {}, []
        # The versions to show later, as (moment, number, finding), the earliest first. `last` is
        # the last moment of each Id.
        self.coming, self.last, self.number = [], {}, itertools.count()

    def put(self, finding, after):
        """Shows a finding after `after` seconds, and after earlier versions with its Id."""
        moment = max(time.monotonic() + after, self.last.get(finding["Id"], 0))
        self.last[finding["Id"]] = moment
        heapq.heappush(self.coming, (moment, next(self.number), finding))
        self._catch_up()

    def drop(self, finding_id):
        """Stops showing a finding."""
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
        """Yields the findings that match. `start_in` returns the first index into the Ids."""
        self._catch_up()
        start = start_in(self.ids)
        for low, high in query.candidates(self.ids):
            for position in range(max(low, start), high):
                finding = self.by_id[self.ids[position]]
                if query.matches(finding):
                    yield finding


class _Shelf:
    """The findings of one account and region, and what their own and the home region show."""

    def __init__(self):
        self.by_id, self.own, self.home = {}, _View(), _View()

    def import_(self, finding):
        self.by_id[finding["Id"]] = finding
        self.own.put(finding, lag.of("get_findings"))
        self.home.put(finding, lag.of("home_region"))

    def edit(self, finding, waited):
        """Shows an edit that took effect `waited` seconds after the request."""
        self.own.put(finding, max(0, lag.of("get_findings") - waited))
        self.home.put(finding, max(0, lag.of("home_region") - waited))


def delete(asked):
    """Loses a finding everywhere. Users report imports that succeed and never appear.

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
        """Disables Security Hub, and deletes its findings."""
        _ENABLED.pop((self.account, self.region), None)
        _FINDINGS.pop((self.account, self.region), None)

    def is_enabled(self):
        return self.subscribed_at() is not None

    def subscribed_at(self):
        """Returns when Security Hub was enabled here, or `None` if it is not enabled."""
        return _ENABLED.get((self.account, self.region))

    def find(self, wanted=None, after=None):
        """Returns the findings that this account sees here and that match, as (position, finding).

        An account sees its own findings. The administrator sees those of its members too, and the
        home region those of all linked regions. A position is an Id, account and region, so no
        update changes the order. The result begins behind the position `after`.
        https://docs.aws.amazon.com/securityhub/latest/userguide/finding-aggregation.html
        """
        query = filters.Query(wanted or {})
        accounts = organization.states() if self.account == organization.HUB else (self.account,)
        regions = organization.REGIONS if self.region == organization.HOME else (self.region,)
        places = [(account, region) for account in accounts for region in regions if query.may_be_in(account, region)]
        return heapq.merge(*(_find_in(place, query, after, place[1] == self.region) for place in places))

    def visible(self):
        return [finding for _, finding in self.find()]

    def put(self, finding):
        """Imports a finding. Returns (code, message) if it is refused, or `None`."""
        # "If Security Hub is not enabled or the integration is not, the finding is returned in
        # FailedFindings with InvalidAccess."
        # https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html
        if not self.is_enabled():
            return "InvalidAccess", f"Security Hub is not enabled in account {self.account}, region {self.region}"
        if problem := asff.problem(finding):
            return "InvalidInput", problem
        # "The account that is associated with a finding" is the caller's. The product is its
        # default one:
        # https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-custom-providers.html
        product = f"arn:aws:securityhub:{self.region}:{self.account}:product/{self.account}/default"
        if finding["AwsAccountId"] != self.account or finding["ProductArn"] != product:
            return "InvalidAccess", f"account {self.account} may import with its own id and {product} only"
        mine = _FINDINGS.setdefault((self.account, self.region), _Shelf())
        before = mine.by_id.get(finding["Id"])
        if before is None:
            return self._create(mine, finding)
        # "the update is ignored" unless UpdatedAt is more recent. The page does not say if an
        # ignored update counts as success. Here it does.
        # https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html
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
        """Adds Security Hub's own fields: region, account name, fields no provider may set.

        https://docs.aws.amazon.com/securityhub/latest/userguide/asff-top-level-attributes.html
        """
        finding["Region"], finding["AwsAccountName"] = self.region, accounts.name(self.account)
        fields = finding.setdefault("ProductFields", {})
        fields["aws/securityhub/FindingId"] = f"{finding['ProductArn']}/{finding['Id']}"
        fields["aws/securityhub/ProductName"] = finding.setdefault("ProductName", "Default")
        fields["aws/securityhub/CompanyName"] = finding.setdefault("CompanyName", "Personal")

    def edit(self, identifier, request):
        """Makes a customer's edit after a lag. Returns false if the finding is not found.

        "Updates from BatchUpdateFindings don't affect the value of UpdatedAt", and can take several
        minutes:
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
        """Applies an edit, and sets the time of its note.

        https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Note.html
        """
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
        """Sends an event with one finding for an import or an edit.

        The event appears in the finding's account, and in the administrator's account, there also
        in the home region.
        https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-integration-types.html
        """
        public = _public(finding)
        places = {(self.account, self.region), (organization.HUB, self.region), (organization.HUB, organization.HOME)}
        for account, region in sorted(places):
            resource = f"{finding['ProductArn']}/{finding['Id']}"
            detail = {"findings": [public]}
            events.put(account, region, "aws.securityhub", "Security Hub Findings - Imported", detail, [resource])


def _find_in(place, query, after, is_own_region):
    """Yields the findings of one account and region, as `Hub.find` does."""
    if place not in _FINDINGS:
        return
    shelf = _FINDINGS[place]
    view = shelf.own if is_own_region else shelf.home

    def start_in(ids):
        if after is None:
            return 0
        # Findings with the same Id are ordered by place, so those of earlier places were returned
        # before.
        return (bisect_left if place > tuple(after[1:]) else bisect_right)(ids, after[0])

    for finding in view.find(query, start_in):
        yield (finding["Id"], *place), _public(finding)


def _public(finding):
    return {name: value for name, value in finding.items() if name != "_edited"}


def _from_provider(finding, sent):
    """Copies the provider's values to the top level, unless the customer edited them."""
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
    """Returns true if an import resets the workflow status to NEW.

    https://docs.aws.amazon.com/securityhub/latest/userguide/findings-workflow-status.html
    """
    if before["Workflow"]["Status"] not in ("NOTIFIED", "RESOLVED"):
        return False
    returns = before["RecordState"] == "ARCHIVED" and after["RecordState"] == "ACTIVE"
    was, now = (finding.get("Compliance", {}).get("Status") for finding in (before, after))
    return returns or (was == "PASSED" and now in ("FAILED", "WARNING", "NOT_AVAILABLE"))
