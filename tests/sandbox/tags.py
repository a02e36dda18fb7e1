"""The operation GetResources of the Resource Groups Tagging API.

https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
"""

import base64
import binascii
import heapq

from ministack.core.responses import get_account_id, get_region
from ministack.services import s3, tagging

_NOT_WITH_ARNS = ("PaginationToken", "ResourceTypeFilters", "ResourcesPerPage", "TagFilters", "TagsPerPage")


def install():
    tagging._COLLECTORS["s3"] = _buckets
    tagging._HANDLERS["GetResources"] = _get_resources


def _buckets():
    """Yields the buckets of this account and region that have or had tags."""
    account, region = get_account_id(), get_region()
    for (owner, name), tags in list(s3._bucket_tags._data.items()):
        if owner == account and s3.bucket_region(name) == region:
            yield f"arn:aws:s3:::{name}", tags


def _of_bucket(arn):
    """Returns the tags of a bucket of this region, or `None`, without reading other buckets."""
    name = arn.removeprefix("arn:aws:s3:::")
    return s3._bucket_tags.get(name) if s3.bucket_region(name) == get_region() else None


def _get_resources(request):
    try:
        return tagging._json(_answer(request))
    except ValueError as error:
        return tagging._invalid_parameter(str(error))


def _answer(request):
    arns = request.get("ResourceARNList")
    if arns is None:
        return _page(request)
    if any(name in request for name in _NOT_WITH_ARNS):
        raise ValueError("ResourceARNList is not for use with filters or pagination")
    if not 1 <= len(arns) <= 100:
        raise ValueError("ResourceARNList has 1 to 100 ARNs")
    for arn in arns:
        if not arn.startswith("arn:") or arn.count(":") < 5:
            raise ValueError(f"{arn} is not a valid AmazonResourceName (ARN)")
    # "If a resource specified by this parameter doesn't exist, it doesn't generate an error."
    found = {arn: tags for arn in arns if (tags := _of_bucket(arn)) is not None}
    found |= dict(_resources({arn.split(":")[2] for arn in arns} - {"s3"}))
    return {"ResourceTagMappingList": [_mapping(arn, found[arn]) for arn in arns if arn in found], "PaginationToken": ""}


def _page(request):
    types, filters = request.get("ResourceTypeFilters", []), request.get("TagFilters", [])
    size = request.get("ResourcesPerPage", 50)
    if not 1 <= size <= 100:
        raise ValueError("ResourcesPerPage is 1 to 100")
    if len(filters) > 50:
        raise ValueError("there are at most 50 TagFilters")
    after = _last_of(request.get("PaginationToken", ""))
    services = {kind.split(":")[0] for kind in types} or set(tagging._COLLECTORS)
    matching = (
        (arn, tags)
        for arn, tags in _resources(services)
        if arn > after
        and tagging._matches_type_filters(arn, types)
        and (not filters or tagging._matches_tag_filters(_listed(tags), filters))
    )
    rest = heapq.nsmallest(size + 1, matching, key=lambda one: one[0])
    token = base64.urlsafe_b64encode(rest[size - 1][0].encode()).decode() if len(rest) > size else ""
    return {"ResourceTagMappingList": [_mapping(*one) for one in rest[:size]], "PaginationToken": token}


def _last_of(token):
    """Returns the last ARN of the page that returned the token."""
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError("PaginationToken is not one of ours") from None


def _resources(services):
    """Returns all tagged resources of MiniStack's services, as (ARN, tags)."""
    collectors = dict.fromkeys(collect for name, collect in tagging._COLLECTORS.items() if name in services)
    return ((arn, tags) for collect in collectors for arn, tags in collect())


def _mapping(arn, tags):
    return {"ResourceARN": arn, "Tags": _listed(tags)}


def _listed(tags):
    return tagging._normalise_flat(tags) if isinstance(tags, dict) else tags
