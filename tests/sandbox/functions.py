"""Lambda's work in the name of a function's role: logs, and events that it gives up."""

import json
import time

from ministack.core.responses import get_account_id, get_region
from ministack.services import cloudwatch_logs, kms, lambda_svc, sqs
from ministack.services.cloudformation import provisioners

from . import authority, encryption, metrics

# The service that assumes the role of a function:
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
SERVICE = "lambda.amazonaws.com"
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
_LOGS_USE = (
    "kms:Encrypt",
    "kms:Decrypt",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:DescribeKey",
)


def install():
    _patch_log_groups()
    _patch_logs()
    lambda_svc._route_async_failure = _give_up
    of_functions = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    of_functions["create"] = _of_assumable_role(of_functions["create"])


def _of_assumable_role(create):
    """Refuses to make a function whose role Lambda cannot assume.

    https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
    """

    def created(logical_id, properties, stack):
        if not authority.trusts(properties.get("Role"), SERVICE):
            raise ValueError("The role defined for the function cannot be assumed by Lambda.")
        return create(logical_id, properties, stack)

    return created


def _patch_log_groups():
    """Refuses a log group whose key's policy does not let CloudWatch Logs use it for the group."""
    create = cloudwatch_logs._create_log_group

    def create_log_group(request):
        if request.get("kmsKeyId") and not _logs_may_use(request["kmsKeyId"], request.get("logGroupName", "")):
            why = f"The specified KMS key does not exist or is not allowed to be used with {request['logGroupName']}"
            return cloudwatch_logs.error_response_json("InvalidParameterException", why, 400)
        return create(request)

    cloudwatch_logs._create_log_group = create_log_group
    of_groups = provisioners._RESOURCE_HANDLERS["AWS::Logs::LogGroup"]
    for name in ("create", "update"):
        of_groups[name] = _refusing(of_groups[name], 1 if name == "create" else 2)


def _refusing(make, position):
    def made(*known, **more):
        properties = known[position]
        key, name = properties.get("KmsKeyId"), properties.get("LogGroupName", "")
        if key and not _logs_may_use(key, name):
            raise ValueError(f"The specified KMS key {key} is not allowed to be used with {name}")
        return make(*known, **more)

    return made


def _logs_may_use(key_arn, group):
    key = kms._resolve_key(key_arn)
    if key is None or key["KeyState"] != "Enabled":
        return False
    service = f"logs.{get_region()}.amazonaws.com"
    context = {"kms_EncryptionContext:aws:logs:arn": _group_arn(group)}
    return all(authority.allows_service(service, use, key["Arn"], **context) for use in _LOGS_USE)


def _group_arn(name):
    return f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:{name}"


def _patch_logs():
    """Stores a function's output only if its role may write it.

    The log group must exist, unless the role may create it.
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html#monitoring-cloudwatchlogs-prereqs
    """
    emit = lambda_svc._emit_lambda_logs

    def emit_lambda_logs(func, *run, **more):
        config = func.get("config") or func
        wanted = (config.get("LoggingConfig") or {}).get("LogGroup") or f"/aws/lambda/{config['FunctionName']}"
        group, role = cloudwatch_logs._log_groups.get(wanted), authority.assumed(config.get("Role"), SERVICE)
        if role is None or (group is None and not authority.allows(role, "logs:CreateLogGroup", _group_arn(wanted))):
            return
        # Lambda adds an id to the stream's name for each process, which the check omits.
        stream = f"{_group_arn(wanted)}:log-stream:{time.strftime('%Y/%m/%d')}/[$LATEST]"
        if not all(authority.allows(role, f"logs:{name}", stream) for name in ("CreateLogStream", "PutLogEvents")):
            return
        if group and group.get("kmsKeyId") and not _logs_may_use(group["kmsKeyId"], wanted):
            return
        emit(func, *run, **more)
        metrics.keep(run[1])

    lambda_svc._emit_lambda_logs = emit_lambda_logs


def _give_up(target_arn, func_name, event, result):
    """Sends an event that failed in an asynchronous run to a queue, with the function's role.

    The queue is the function's dead-letter queue, or its destination for failures.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    function = lambda_svc._functions[func_name]
    config, asked = function["config"], function.get("event_invoke_config") or {}
    failed = result["body"] if isinstance(result.get("body"), dict) else {}
    if (asked.get("DestinationConfig") or {}).get("OnFailure", {}).get("Destination") != target_arn:
        # A dead-letter queue receives the event itself, with the error as attributes.
        attributes = {"ErrorCode": "200", "ErrorMessage": str(failed.get("errorMessage", ""))[:1024]}
        return send_as_role(config.get("Role"), target_arn, json.dumps(event), attributes)
    retries = asked.get("MaximumRetryAttempts")
    record = {
        "version": "1.0",
        "requestContext": {
            "functionArn": f"{config['FunctionArn']}:$LATEST",
            "condition": "RetriesExhausted",
            "approximateInvokeCount": 1 + (2 if retries is None else int(retries)),
        },
        "requestPayload": event,
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": failed,
    }
    return send_as_role(config.get("Role"), target_arn, json.dumps(record), {})


def send_as_role(role_arn, queue_arn, body, attributes):
    """Sends a message to a queue as a role, if the role may. Returns true if it was sent."""
    role, queue = authority.role(role_arn), sqs._queue_by_arn(queue_arn)
    if role is None or queue is None or not authority.allows(role, "sqs:SendMessage", queue_arn):
        return False
    if encryption.queue_refuses(queue, role, encryption.SEND):
        return False
    typed = {name: {"DataType": "String", "StringValue": value or "-"} for name, value in attributes.items()}
    url = sqs._queue_url(queue_arn.rpartition(":")[2])
    sqs._act_send_message({"QueueUrl": url, "MessageBody": body, "MessageAttributes": typed}, url)
    return True
