"""Requires the KMS key of an encrypted queue or topic from senders, receivers and publishers.

Through SQS:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
Through SNS: https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html

A principal with credentials needs permission from its own policy and from the key's. Both see the
service that it uses and the encryption context. An AWS service needs only the key's policy, which
sees the resource that the service acts for.
"""

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import cloudwatch, kms, sns, sqs

from . import authority

# Producers need "kms:GenerateDataKey" and "kms:Decrypt", consumers "kms:Decrypt".
SEND, RECEIVE = ("kms:GenerateDataKey", "kms:Decrypt"), ("kms:Decrypt",)
# The key of the encryption context. Its value is the ARN, or the name of a table. The keys are
# documented on the pages above and on
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html#dynamodb-encryption-context
_CONTEXT = {"sqs": "aws:sqs:arn", "sns": "aws:sns:topicArn", "dynamodb": "aws:dynamodb:tableName"}
_TELL_NO_SOURCE = ("cloudwatch.amazonaws.com", "events.amazonaws.com")
# https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
_STATES = {"Disabled": "Disabled", "PendingDeletion": "InvalidState", "PendingImport": "InvalidState"}


def install():
    _patch_queues()
    _patch_topics()
    _patch_alarms()


def queue_refuses(queue, principal, uses):
    """Returns why a principal may not use the queue's key, as the end of an error code.

    Returns `None` if the principal may use the key.
    """
    arn = queue["attributes"]["QueueArn"]
    return refuses(queue["attributes"].get("KmsMasterKeyId"), arn, "sqs", principal, uses)


def refuses(reference, arn, service, principal, uses):
    """Checks the key of a resource with this ARN, for a principal that comes through a service.

    Returns the same as `queue_refuses`.
    """
    if not reference or reference.startswith("alias/aws/") or principal is None:
        return None
    account, region = arn.split(":")[4], arn.split(":")[3]
    with request_scope(account, region):
        key = kms._resolve_key(reference)
        if problem := _problem(key):
            return problem
        context = {"kms_ViaService": f"{service}.{region}.amazonaws.com"}
        context["kms_EncryptionContext:" + _CONTEXT[service]] = arn.rpartition("/")[2]
        allowed = all(authority.allows(principal, use, key["Arn"], **context) for use in uses)
    return None if allowed else "AccessDenied"


def _refuses_service(reference, arn, service, source_arn, source_account):
    """Checks a key for a service that acts in its own name for a resource of an account.

    The service does not use SQS or SNS for somebody else, which is what kms:ViaService expresses:
    https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
    No page shows that CloudWatch and EventBridge pass their source on to KMS, so here they do not.
    """
    if not reference:
        return None
    with request_scope(arn.split(":")[4], arn.split(":")[3]):
        key = kms._resolve_key(reference)
        if problem := _problem(key):
            return problem
        source = {"aws_SourceArn": source_arn, "aws_SourceAccount": source_account}
        told = {} if service in _TELL_NO_SOURCE else source
        allowed = all(authority.allows_service(service, use, key["Arn"], **told) for use in SEND)
    return None if allowed else "AccessDenied"


def _problem(key):
    return "NotFound" if key is None else _STATES.get(key["KeyState"])


def _patch_queues():
    handle = sqs.handle_request

    async def handle_request(method, path, headers, body, query_params):
        authority.note_caller(headers, query_params)
        return await handle(method, path, headers, body, query_params)

    sqs.handle_request = handle_request
    for name, uses in (("SendMessage", SEND), ("SendMessageBatch", SEND), ("ReceiveMessage", RECEIVE)):
        sqs._HANDLERS[name] = _guarded(sqs._HANDLERS[name], name, uses)
    admits = sqs.queue_policy_allows

    def queue_policy_allows(queue_arn, service, source_arn, source_account):
        if not admits(queue_arn, service, source_arn, source_account):
            return authority.refused_service(service, "sqs:SendMessage", queue_arn)
        key = sqs._queue_by_arn(queue_arn)["attributes"].get("KmsMasterKeyId")
        return not _refuses_service(key, queue_arn, service, source_arn, source_account)

    sqs.queue_policy_allows = queue_policy_allows


def _guarded(operation, name, uses):
    def guarded(data, url):
        queue = sqs._get_q(data.get("QueueUrl", url), f"sqs:{name.removesuffix('Batch')}")
        # Receiving from an empty queue needs no key.
        if uses is SEND or has_visible(queue):
            if problem := queue_refuses(queue, authority.caller(), uses):
                raise sqs._Err(f"Kms{problem}", "The caller doesn't have the required KMS access.", 400)
        return operation(data, url)

    return guarded


def has_visible(queue):
    """Returns true if the queue has a message that can be received now."""
    now = sqs.time.time()
    return any(message["visible_at"] <= now for message in queue["messages"])


def _patch_topics():
    handle, admits = sns.handle_request, sns.topic_policy_allows

    async def handle_request(method, path, headers, body, query_params):
        authority.note_caller(headers, query_params)
        return await handle(method, path, headers, body, query_params)

    def topic_policy_allows(topic_arn, service, source_arn, source_account):
        if not admits(topic_arn, service, source_arn, source_account):
            return authority.refused_service(service, "sns:Publish", topic_arn)
        key = sns._topic_by_arn_any_scope(topic_arn)["attributes"].get("KmsMasterKeyId")
        return not _refuses_service(key, topic_arn, service, source_arn, source_account)

    sns.handle_request, sns.topic_policy_allows = handle_request, topic_policy_allows
    for name in ("_publish", "_publish_batch"):
        setattr(sns, name, _guarded_publish(getattr(sns, name)))


def _guarded_publish(operation):
    def guarded(params):
        topic = sns._topic_by_arn_any_scope(sns._p(params, "TopicArn") or sns._p(params, "TargetArn"))
        if topic is not None:
            key = topic["attributes"].get("KmsMasterKeyId")
            if problem := refuses(key, topic["arn"], "sns", authority.caller(), SEND):
                return sns._error(f"KMS{problem}", f"the key {key} is not to be used: {problem}", 400)
        return operation(params)

    return guarded


def _patch_alarms():
    """Publishes alarms as cloudwatch.amazonaws.com, which the policies of topic and key must allow.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
    """
    dispatch = cloudwatch._dispatch_alarm_actions
    fields = ("AlarmActions", "OKActions", "InsufficientDataActions")

    def admitted(alarm, action):
        arn = f"arn:aws:cloudwatch:{get_region()}:{get_account_id()}:alarm:{alarm['AlarmName']}"
        sent_to_topic = cloudwatch._is_sns_action_arn(action)
        return not sent_to_topic or sns.topic_policy_allows(action, "cloudwatch.amazonaws.com", arn, get_account_id())

    def dispatch_alarm_actions(alarm, old_state, new_state, reason):
        kept = {name: [one for one in alarm.get(name) or [] if admitted(alarm, one)] for name in fields}
        return dispatch({**alarm, **kept}, old_state, new_state, reason)

    cloudwatch._dispatch_alarm_actions = dispatch_alarm_actions
