"""Corrects DynamoDB where MiniStack is kinder than AWS: tables with a KMS key, and late indexes."""

import time
from collections import deque

from ministack.core.responses import error_response_json
from ministack.services import dynamodb

from . import authority, encryption, lag

# The actions that the caller needs through DynamoDB, by its own policies and the key's:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html#dynamodb-kms-authz
_USES = (
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:DescribeKey",
)


def install():
    handle = dynamodb.handle_request

    async def handle_request(method, path, headers, body, query_params):
        authority.note_caller(headers, query_params)
        return await handle(method, path, headers, body, query_params)

    dynamodb.handle_request = handle_request
    dynamodb._get_item = _with_key(dynamodb._get_item)
    dynamodb._put_item = _with_key(_noted(dynamodb._put_item))
    dynamodb._delete_item = _with_key(_noted(dynamodb._delete_item))
    dynamodb._query = _with_key(_late(dynamodb._query))


def set_key(name, properties):
    """Stores the key of a table that a template makes.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-dynamodb-table-ssespecification.html
    """
    dynamodb._tables[name]["sandbox_key"] = (properties.get("SSESpecification") or {}).get("KMSMasterKeyId")


def _table(request):
    return dynamodb._tables.get(dynamodb._normalize_table_name(request.get("TableName"))) or {}


def _with_key(operation):
    def guarded(request):
        table, principal = _table(request), authority.caller()
        if table.get("sandbox_key") and principal is not None:
            problem = encryption.refuses(table["sandbox_key"], table["TableArn"], "dynamodb", principal, _USES)
            if problem:
                return error_response_json("AccessDeniedException", f"KMS key access denied error: {problem}", 400)
        return operation(request)

    return guarded


def _noted(write):
    """Keeps the item as it was before a write, for the indexes."""

    def noted(request):
        table = _table(request)
        item = request.get("Item") or request.get("Key") or {}
        partition = dynamodb._extract_key_val(item.get(table.get("pk_name")))
        sort = dynamodb._extract_key_val(item.get(table["sk_name"])) if table.get("sk_name") else "__no_sort__"
        before = table.get("items", {}).get(partition, {}).get(sort)
        answer = write(request)
        if lag.of("index") and answer[0] == 200:
            writes = table.setdefault("sandbox_writes", deque())
            while writes and writes[0][0] < time.monotonic() - 60:
                writes.popleft()
            writes.append((time.monotonic(), partition, sort, before))
        return answer

    return noted


def _late(query):
    """Makes a query of a global index see the table as it was a lag ago.

    Indexes are updated "in an eventually consistent fashion".
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.Writes
    """

    def late(request):
        table, since = _table(request), time.monotonic() - lag.of("index")
        if not request.get("IndexName") or not lag.of("index"):
            return query(request)
        old = {}
        for moment, partition, sort, before in table.get("sandbox_writes", ()):
            if moment > since:
                old.setdefault((partition, sort), before)
        now = {key: table["items"].get(key[0], {}).get(key[1]) for key in old}
        _put_all(table, old)
        try:
            return query(request)
        finally:
            _put_all(table, now)

    return late


def _put_all(table, values):
    for (partition, sort), item in values.items():
        if item is None:
            dynamodb._remove_item(table, partition, sort)
        else:
            dynamodb._set_item(table, partition, sort, item)
