"""CloudTrail: a record of each management call to S3 and KMS that writes, on the default bus of the owner's account.

What a record holds: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html;
for S3, requestParameters are the request's XML as JSON, with bucketName, Host and the sub-resource:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-understanding-s3-entries.html.
"""

import contextvars
import datetime
import json
import uuid
from urllib.parse import parse_qs, quote, unquote

import xmltodict
from ministack import app as ministack
from ministack.core import iam_evaluator, responses, router
from ministack.core.sigv4 import decode_header_value
from ministack.services import kms

from . import buckets, disorder, lag

_S3_CALLS = {
    ("PUT", ""): "CreateBucket",
    ("DELETE", ""): "DeleteBucket",
    ("PUT", "encryption"): "PutBucketEncryption",
    ("DELETE", "encryption"): "DeleteBucketEncryption",
    ("PUT", "policy"): "PutBucketPolicy",
    ("DELETE", "policy"): "DeleteBucketPolicy",
    ("PUT", "tagging"): "PutBucketTagging",
    ("DELETE", "tagging"): "DeleteBucketTagging",
}
_KMS_CALLS = {
    "CancelKeyDeletion", "CreateAlias", "CreateKey", "DeleteAlias", "DeleteImportedKeyMaterial", "DisableKey",
    "DisableKeyRotation", "EnableKey", "EnableKeyRotation", "ImportKeyMaterial", "PutKeyPolicy", "ReplicateKey",
    "ScheduleKeyDeletion", "UpdateAlias",
}  # fmt: skip
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_TagResource.html
_CONTROL, _TAGS = "/v20180820/", "/v20180820/tags/"
_CONTROL_CALLS = {"POST": "TagResource", "DELETE": "UntagResource"}
# The key material and its token are in no record.
# https://docs.aws.amazon.com/kms/latest/developerguide/ct-importkeymaterial.html
_KMS_SECRETS = {"encryptedKeyMaterial", "importToken"}


class CloudTrail:
    """Around the whole of MiniStack, where alone every request can be seen, virtual-hosted ones too."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"].startswith("/_ministack"):
            return await self.app(scope, receive, send)
        call = Call(scope)
        lag.begin(call)

        async def receive_and_keep():
            message = await receive()
            call.request += message.get("body", b"")
            if message["type"] == "http.request" and not message.get("more_body"):
                call.look_before()
                lag.note_write(call)
            return message

        async def keep_and_send(message):
            if message["type"] == "http.response.start":
                call.status = message["status"]
            else:
                call.response += message.get("body", b"")
            await send(message)

        await self.app(scope, receive_and_keep, keep_and_send)
        call.record()


class Call:
    """One request, with what is needed to tell of it."""

    def __init__(self, scope):
        self.headers = {name.decode("latin-1").lower(): decode_header_value(value) for name, value in scope["headers"]}
        self.query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        self.method, self.path = scope["method"], scope["path"]
        self.request, self.response, self.status = b"", b"", 500
        self.host = self.headers.get("host", "")
        self.access_key = router.extract_access_key_id(self.headers, self.query)
        self.region = router.extract_region(self.headers, self.query)
        self.account = self._account()
        self.kms_call = self.headers.get("x-amz-target", "").removeprefix("TrentService.")
        self.bucket, self.key = self._bucket()
        self.bucket_before = self.key_before = None

    def _account(self):
        def resolve():
            responses.set_request_account_id(ministack._request_account_scope(self.access_key))
            return responses.get_account_id()

        return contextvars.copy_context().run(resolve) if self.access_key else None

    def _bucket(self):
        """The bucket that an S3 request is about, and the key of the object where it is about one."""
        if self.path.startswith(_CONTROL):
            return None, ""
        # What nobody has signed may be an anonymous call.
        signed = self.headers.get("authorization")
        if signed is not None and "/s3/aws4_request" not in signed:
            return None, ""
        hosted = ministack._extract_s3_vhost_bucket(self.host)
        bucket, _, key = (f"{hosted}{self.path}" if hosted else self.path.lstrip("/")).partition("/")
        if signed is None and buckets.owner_and_region(bucket) == (None, None):
            return None, ""
        return bucket or None, key

    def principal(self):
        """Who calls, if MiniStack knows."""
        return iam_evaluator.resolve_principal(self.access_key, self.account) if self.access_key else None

    def look_before(self):
        """Notes what the call, which is complete and not yet answered, may take away."""
        if self.bucket:
            self.bucket_before = buckets.owner_and_region(self.bucket)
        if self.kms_call == "DeleteAlias":
            alias = self._arn(_json(self.request).get("AliasName", ""))
            self.key_before = kms._aliases.get_scoped(self.account, self.region, alias)

    def record(self):
        """Puts the record on the bus, if there is to be one."""
        if self.kms_call in _KMS_CALLS:
            self._record_kms()
        elif self.path.startswith(_TAGS) and self.method in _CONTROL_CALLS:
            self._record_s3_control(_CONTROL_CALLS[self.method])
        elif self.bucket and not self.key:
            sub_resource = next(iter(self.query), "")
            if name := _S3_CALLS.get((self.method, sub_resource if sub_resource != "x-id" else "")):
                self._record_s3(name, sub_resource)

    def _record_s3(self, name, sub_resource):
        owner, region = buckets.owner_and_region(self.bucket)
        if owner is None:
            owner, region = self.bucket_before or (None, None)
        parameters = {**_xml(self.request), "bucketName": self.bucket, "Host": self.host}
        if name == "PutBucketPolicy":
            parameters = {"bucketPolicy": _json(self.request), "bucketName": self.bucket, "Host": self.host}
        if sub_resource:
            parameters[sub_resource] = ""
        detail = self._common(name, "s3.amazonaws.com", owner or self.account, region or self.region)
        detail["requestParameters"] = parameters
        if name != "CreateBucket":
            arn = f"arn:aws:s3:::{self.bucket}"
            detail["resources"] = [{"accountId": owner, "type": "AWS::S3::Bucket", "ARN": arn}]
        error = _xml(self.response).get("Error", {}).get("Code")
        if self.account in (None, owner or self.account):
            return self._put("aws.s3", detail, error)
        # A call from another account has a record in each: the owner's has no ARN of the caller. AWS says so of calls on
        # objects, and nothing of calls on buckets.
        # https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
        shared = {"sharedEventID": str(uuid.uuid4())}
        self._put("aws.s3", {**detail, **shared, "userIdentity": self._foreign_identity()}, error)
        mine = {"recipientAccountId": self.account, "eventID": str(uuid.uuid4())}
        self._put("aws.s3", {**detail, **shared, **mine}, error)

    def _record_s3_control(self, name):
        """What a record of these looks like is shown nowhere: so it is as hard to read as that of any service.

        Connect and MSK write the ARN as it stands in the path of the request, percent-encoded, and name no resource.
        """
        arn = unquote(self.path.removeprefix(_TAGS))
        owner, region = buckets.owner_and_region(arn.rpartition(":")[2])
        detail = self._common(name, "s3.amazonaws.com", owner or self.account, region or self.region)
        encoded = quote(arn, safe="")
        detail["requestParameters"] = {"resourceArn": encoded, "Host": self.host}
        self._put("aws.s3", detail, _xml(self.response).get("Error", {}).get("Code"))

    def _record_kms(self):
        answer, request = _json(self.response), _lowered(_json(self.request))
        detail = self._common(self.kms_call, "kms.amazonaws.com", self.account, self.region)
        detail["requestParameters"] = {name: value for name, value in request.items() if name not in _KMS_SECRETS}
        key = request.get("keyId") or request.get("targetKeyId") or self.key_before
        key = self._arn(key) if key else answer.get("KeyMetadata", {}).get("Arn")
        resources = [self._arn(request["aliasName"])] if "aliasName" in request else []
        # CreateAlias names the key first: https://docs.aws.amazon.com/kms/latest/developerguide/ct-createalias.html,
        # UpdateAlias the alias: https://docs.aws.amazon.com/kms/latest/developerguide/ct-updatealias.html
        resources.insert(0 if self.kms_call == "CreateAlias" else len(resources), key)
        detail["resources"] = [_key_resource(self.account, arn) for arn in resources if arn]
        # "Recorded on or after December 2022", entries have the key's ARN even where the call returns nothing.
        if self.status < 300:
            detail["responseElements"] = _lowered(answer) | ({} if "KeyMetadata" in answer else {"keyId": key})
        self._put("aws.kms", detail, answer.get("__type"))
        if self.kms_call == "ReplicateKey" and self.status < 300:
            self._record_replica(answer["ReplicaKeyMetadata"], detail)

    def _record_replica(self, metadata, detail):
        """In the region of the replica it is a key that is created.

        https://docs.aws.amazon.com/kms/latest/developerguide/ct-replicate-key.html
        """
        created = {
            "eventName": "CreateKey",
            "eventID": str(uuid.uuid4()),
            "awsRegion": metadata["Arn"].split(":")[3],
            "responseElements": {"keyMetadata": _lowered(metadata)},
            "resources": [_key_resource(self.account, metadata["Arn"])],
        }
        self._put("aws.kms", {**detail, **created}, None)

    def _arn(self, name):
        if name.startswith("arn:"):
            return name
        kind = "" if name.startswith("alias/") else "key/"
        return f"arn:aws:kms:{self.region}:{self.account}:{kind}{name}"

    def _common(self, name, source, account, region):
        return _record(name, source, account, region) | {
            "userIdentity": self._identity(),
            "sourceIPAddress": "127.0.0.1",
            "userAgent": self.headers.get("user-agent", ""),
            "requestID": uuid.uuid4().hex[:16].upper(),
            "eventType": "AwsApiCall",
        }

    def _identity(self):
        """https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html"""
        principal = self.principal()
        if not self.access_key:
            return {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}
        if not isinstance(principal, iam_evaluator.PrincipalInfo):
            return {"type": "Unknown"}
        kind = {"User": "IAMUser"}.get(principal.type, principal.type)
        return {"type": kind, "arn": principal.arn, "accountId": principal.account, "accessKeyId": self.access_key}

    def _foreign_identity(self):
        """The caller as the account that is called sees it."""
        principal = self.principal()
        session = principal.arn.rpartition("/")[2] if isinstance(principal, iam_evaluator.PrincipalInfo) else "caller"
        return {"type": "AWSAccount", "principalId": f"AROASANDBOX:{session}", "accountId": self.account}

    def _put(self, source, detail, error):
        if detail["recipientAccountId"] is None:
            return  # an anonymous call about a bucket that is not there is nobody's
        if self.status >= 300:
            detail |= {"errorCode": error or "AccessDenied", "errorMessage": error or "Access Denied"}
        disorder.put(detail["recipientAccountId"], detail["awsRegion"], source, "AWS API Call via CloudTrail", detail)


def delete_key(arn):
    """Deletes a key at once, as if its waiting period had passed, and records it as KMS does, which nobody called.

    https://docs.aws.amazon.com/kms/latest/developerguide/ct-delete-key.html
    """
    _, _, _, region, account, resource = arn.split(":", 5)
    with responses.request_scope(account, region):
        identifier = resource.removeprefix("key/")
        del kms._keys[identifier]
        # "When you delete a KMS key, all aliases associated with it are deleted."
        # https://docs.aws.amazon.com/kms/latest/developerguide/alias-delete.html
        for alias in [alias for alias, target in kms._aliases.items() if target == identifier]:
            del kms._aliases[alias]
    detail = _record("DeleteKey", "kms.amazonaws.com", account, region) | {
        "userIdentity": {"accountId": account, "invokedBy": "AWS Internal"},
        "sourceIPAddress": "AWS Internal",
        "userAgent": "AWS Internal",
        "requestParameters": None,
        "responseElements": {"keyId": arn},
        "resources": [_key_resource(account, arn)],
        "eventType": "AwsServiceEvent",
    }
    disorder.put(account, region, "aws.kms", "AWS Service Event via CloudTrail", detail)
    return {}


def _record(name, source, account, region):
    """What all records have."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "eventVersion": "1.11",
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "eventSource": source,
        "eventName": name,
        "awsRegion": region,
        "responseElements": None,
        "eventID": str(uuid.uuid4()),
        "readOnly": False,
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
    }


def _key_resource(account, arn):
    """Of an alias, too, the type is said to be a key."""
    return {"accountId": account, "type": "AWS::KMS::Key", "ARN": arn}


def _lowered(fields):
    """As CloudTrail writes the names of fields."""
    if not isinstance(fields, dict):
        return fields
    return {name[:1].lower() + name[1:]: _lowered(value) for name, value in fields.items()}


def _xml(body):
    try:
        return xmltodict.parse(body, attr_prefix="") or {}
    except Exception:  # not XML: a call without a body, or with one of another kind
        return {}


def _json(body):
    try:
        return json.loads(body)
    except ValueError:
        return {}
