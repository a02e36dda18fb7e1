"""CloudTrail: puts a record of each call that cmkwatch may need onto the owner's default bus.

The calls are management calls to S3 and KMS that write. The content of a record:
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
For S3, requestParameters are the request's XML as JSON, with bucketName, Host and the sub-resource:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/cloudtrail-logging-understanding-s3-entries.html
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

from . import buckets, disorder, grants, lag

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
    "CancelKeyDeletion", "CreateAlias", "CreateGrant", "CreateKey", "DeleteAlias", "DeleteImportedKeyMaterial",
    "DisableKey", "DisableKeyRotation", "EnableKey", "EnableKeyRotation", "ImportKeyMaterial", "PutKeyPolicy",
    "ReplicateKey", "RetireGrant", "RevokeGrant", "RotateKeyOnDemand", "ScheduleKeyDeletion", "UpdateAlias",
}  # fmt: skip
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_TagResource.html
_CONTROL, _TAGS = "/v20180820/", "/v20180820/tags/"
_CONTROL_CALLS = {"POST": "TagResource", "DELETE": "UntagResource"}
# Records contain neither key material nor tokens.
# https://docs.aws.amazon.com/kms/latest/developerguide/ct-importkeymaterial.html
# https://docs.aws.amazon.com/kms/latest/developerguide/ct-creategrant.html
_KMS_SECRETS = {"encryptedKeyMaterial", "grantToken", "grantTokens", "importToken"}
# A request with this header counts as one that a service makes for the caller.
_INVOKED_BY = "x-sandbox-invoked-by"


class CloudTrail:
    """Wraps MiniStack: only there every request is seen, including virtual-hosted ones."""

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
    """One request, with the data for its record."""

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
        self.bucket_before = self.key_before = self.grant_before = None
        # Functions that put the events which follow the record of the call.
        self.followers = []

    def _account(self):
        def resolve():
            responses.set_request_account_id(ministack._request_account_scope(self.access_key))
            return responses.get_account_id()

        return contextvars.copy_context().run(resolve) if self.access_key else None

    def _bucket(self):
        """Returns the bucket of an S3 request, and the key of its object, if any."""
        if self.path.startswith(_CONTROL):
            return None, ""
        # A request without a signature may be an anonymous call.
        signed = self.headers.get("authorization")
        if signed is not None and "/s3/aws4_request" not in signed:
            return None, ""
        hosted = ministack._extract_s3_vhost_bucket(self.host)
        bucket, _, key = (f"{hosted}{self.path}" if hosted else self.path.lstrip("/")).partition("/")
        if signed is None and buckets.owner_and_region(bucket) == (None, None):
            return None, ""
        return bucket or None, key

    def principal(self):
        """Returns the caller, if MiniStack knows it."""
        return iam_evaluator.resolve_principal(self.access_key, self.account) if self.access_key else None

    def look_before(self):
        """Stores what the call may remove. The call is complete and not yet answered."""
        if self.bucket:
            self.bucket_before = buckets.owner_and_region(self.bucket)
        if self.kms_call == "DeleteAlias":
            alias = self._arn(_json(self.request).get("AliasName", ""))
            self.key_before = kms._aliases.get_scoped(self.account, self.region, alias)
        if self.kms_call == "RetireGrant":
            self.grant_before = grants.of_request(self.request, self.region)

    def record(self):
        """Puts the record on the bus, if the call is recorded, and then the events that follow."""
        self._record()
        for put in self.followers:
            put()

    def _record(self):
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
        # A call from another account has a record in both accounts. The owner's record has no ARN
        # of the caller. AWS documents that for calls on objects, and says nothing of calls on
        # buckets.
        # https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
        shared = {"sharedEventID": str(uuid.uuid4())}
        self._put("aws.s3", {**detail, **shared, "userIdentity": self._foreign_identity()}, error)
        mine = {"recipientAccountId": self.account, "eventID": str(uuid.uuid4())}
        self._put("aws.s3", {**detail, **shared, **mine}, error)

    def _record_s3_control(self, name):
        """Records a call of S3 Control, in the form that is hardest to read.

        AWS documents no record of these calls. Connect and MSK write the ARN as in the path of the
        request, percent-encoded, and name no resource.
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
        detail["requestParameters"] = _public(request)
        if self.kms_call == "RetireGrant":
            detail |= self._retirement()
        key = request.get("keyId") or request.get("targetKeyId") or self.key_before
        key = self.grant_before["KeyId"] if self.grant_before else key
        key = self._arn(key) if key else answer.get("KeyMetadata", {}).get("Arn")
        resources = [self._arn(request["aliasName"])] if "aliasName" in request else []
        # - CreateAlias names the key first:
        #   https://docs.aws.amazon.com/kms/latest/developerguide/ct-createalias.html
        # - UpdateAlias names the alias first:
        #   https://docs.aws.amazon.com/kms/latest/developerguide/ct-updatealias.html
        resources.insert(0 if self.kms_call == "CreateAlias" else len(resources), key)
        detail["resources"] = [_key_resource(arn) for arn in resources if arn]
        if self.status >= 300:
            return self._put("aws.kms", detail, answer.get("__type"))
        # Entries "recorded on or after December 2022" have the key's ARN even if the call returns
        # nothing.
        named = {} if "KeyMetadata" in answer else {"keyId": key}
        detail["responseElements"] = named | _public(_lowered(answer))
        if key and (owner := key.split(":")[4]) != self.account:
            detail |= self._put_owners_copy(owner, detail)
        self._put("aws.kms", detail, None)
        if self.kms_call == "ReplicateKey":
            self._record_replica(answer["ReplicaKeyMetadata"], detail)

    def _retirement(self):
        """Returns the fields that are special in a record of RetireGrant.

        https://docs.aws.amazon.com/kms/latest/developerguide/ct-retire-grant.html
        """
        more = {"additionalEventData": {"grantId": self.grant_before["GrantId"]}} if self.grant_before else {}
        return {"requestParameters": None, **more}

    def _put_owners_copy(self, owner, detail):
        """Puts the record of a call for a key of another account into that account.

        Returns the field that both copies share. The owner's copy has no ARN of the caller.
        https://docs.aws.amazon.com/kms/latest/developerguide/logging-using-cloudtrail.html
        """
        shared = {"sharedEventID": str(uuid.uuid4())}
        theirs = {"recipientAccountId": owner, "eventID": str(uuid.uuid4()), "userIdentity": self._foreign_identity()}
        self._put("aws.kms", {**detail, **shared, **theirs}, None)
        return shared

    def _record_replica(self, metadata, detail):
        """Records that a key was created in the region of the replica.

        https://docs.aws.amazon.com/kms/latest/developerguide/ct-replicate-key.html
        """
        created = {
            "eventName": "CreateKey",
            "eventID": str(uuid.uuid4()),
            "awsRegion": metadata["Arn"].split(":")[3],
            "responseElements": {"keyMetadata": _lowered(metadata)},
            "resources": [_key_resource(metadata["Arn"])],
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
            "sourceIPAddress": self.headers.get(_INVOKED_BY, "127.0.0.1"),
            "userAgent": self.headers.get(_INVOKED_BY) or self.headers.get("user-agent", ""),
            "requestID": uuid.uuid4().hex[:16].upper(),
            "eventType": "AwsApiCall",
        }

    def _identity(self):
        """Returns the `userIdentity` of the caller.

        https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
        """
        principal = self.principal()
        if not self.access_key:
            return {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}
        if not isinstance(principal, iam_evaluator.PrincipalInfo):
            return {"type": "Unknown"}
        kind = {"User": "IAMUser"}.get(principal.type, principal.type)
        known = {"type": kind, "arn": principal.arn, "accountId": principal.account, "accessKeyId": self.access_key}
        return known | self._invoked_by()

    def _invoked_by(self):
        """Returns the field for the service that made the call for the caller, if there is one."""
        service = self.headers.get(_INVOKED_BY)
        return {"invokedBy": service} if service else {}

    def _foreign_identity(self):
        """Returns the caller's identity as the account that is called sees it."""
        principal = self.principal()
        session = principal.arn.rpartition("/")[2] if isinstance(principal, iam_evaluator.PrincipalInfo) else "caller"
        known = {"type": "AWSAccount", "principalId": f"AROASANDBOX:{session}", "accountId": self.account}
        return known | self._invoked_by()

    def _put(self, source, detail, error):
        if detail["recipientAccountId"] is None:
            return  # an anonymous call about a missing bucket has no account
        if self.status >= 300:
            detail |= {"errorCode": error or "AccessDenied", "errorMessage": error or "Access Denied"}
        disorder.put(detail["recipientAccountId"], detail["awsRegion"], source, "AWS API Call via CloudTrail", detail)


def delete_key(arn):
    """Deletes a key at once, as if its waiting period had passed, and records that as KMS does.

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
    grants.forget_key(arn)
    put_service_event("DeleteKey", arn, responseElements={"keyId": arn})
    return {}


def put_service_event(name, arn, **fields):
    """Records what KMS itself does with a key. The record names no caller."""
    _, _, _, region, account, _ = arn.split(":", 5)
    detail = _record(name, "kms.amazonaws.com", account, region) | {
        "userIdentity": {"accountId": account, "invokedBy": "AWS Internal"},
        "sourceIPAddress": "AWS Internal",
        "userAgent": "AWS Internal",
        "requestParameters": None,
        "resources": [_key_resource(arn)],
        "eventType": "AwsServiceEvent",
    }
    disorder.put(account, region, "aws.kms", "AWS Service Event via CloudTrail", detail | fields)


def _record(name, source, account, region):
    """Returns the fields that all records have."""
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


def _key_resource(arn):
    """Returns a resource of a record. Its type is a key, even for an alias."""
    return {"accountId": arn.split(":")[4], "type": "AWS::KMS::Key", "ARN": arn}


def _public(fields):
    return {name: value for name, value in fields.items() if name not in _KMS_SECRETS}


def _lowered(fields):
    """Returns the fields with names as CloudTrail writes them.

    The pairs of an encryption context are the customer's and stay as they are.
    """
    if not isinstance(fields, dict):
        return fields
    return {
        name[:1].lower() + name[1:]: value if name.startswith("EncryptionContext") else _lowered(value)
        for name, value in fields.items()
    }


def _xml(body):
    try:
        return xmltodict.parse(body, attr_prefix="") or {}
    except Exception:  # not XML: a call without a body, or with another kind of body
        return {}


def _json(body):
    try:
        return json.loads(body)
    except ValueError:
        return {}
