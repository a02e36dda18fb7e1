"""Event source mappings of queues and functions, where MiniStack differs from AWS."""

import contextvars
import json
import time

from ministack.services import lambda_svc, sqs

from . import authority, encryption, functions

# "The role has to have" these permissions:
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-permissions
_TO_TAKE = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
# "Each invocation payload can be up to 6 MB": the part of it that is left for the records.
_MOST_BYTES = 6 * 1024 * 1024 - 1024
# The assumed size of a record without its body:
# https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
_AROUND_BODY = 700

_batch = contextvars.ContextVar("sandbox_batch", default=None)
# When a mapping saw the first message of the batch that it gathers.
_gathering = {}


def install():
    limit = lambda_svc._sqs_esm_concurrency

    def sqs_esm_concurrency(esm, func_rec, config, queue):
        """Returns the allowed number of batches in flight.

        The number is 0 if the role may not receive messages, or if the next batch is not due.

        For a FIFO queue it is the mapping's maximum concurrency. The queue itself limits the
        batches to one for each group, because it returns no message of a group that has one in
        flight. MiniStack allows one batch in all. "For FIFO queues, concurrent invocations are
        capped either by the number of message group IDs (messageGroupId) or the maximum concurrency
        setting, whichever is lower":
        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
        """
        if not _may_take(config.get("Role"), queue):
            return 0
        scaling = dict(esm.get("ScalingConfig") or {})
        # CloudFormation passes a parameter of type Number on as text.
        if "MaximumConcurrency" in scaling:
            scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
        most = limit({**esm, "ScalingConfig": scaling}, func_rec, config)
        in_flight = lambda_svc._esm_inflight.get(esm["UUID"], 0)
        return most if in_flight >= most or _is_due(esm, queue) else 0

    lambda_svc._sqs_esm_concurrency = sqs_esm_concurrency
    receive = sqs._receive_messages_for_esm

    def receive_messages_for_esm(queue_url, most):
        return _receive_many(queue_url, most) if most > 10 else receive(queue_url, most)

    sqs._receive_messages_for_esm = receive_messages_for_esm
    _patch_answers()


def _patch_answers():
    """Fails the whole batch if a function's answer is invalid or names no message of the batch.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting-conditions
    """
    run, execute = lambda_svc._run_sqs_batch, lambda_svc._execute_function

    def run_sqs_batch(esm, func_rec, event, batch, *more):
        asks = "ReportBatchItemFailures" in esm.get("FunctionResponseTypes", [])
        token = _batch.set({message["id"] for message in batch} if asks else None)
        try:
            return run(esm, func_rec, event, batch, *more)
        finally:
            _batch.reset(token)

    def execute_function(*asked, **more):
        result, batch = execute(*asked, **more), _batch.get()
        if batch is None or result.get("error") or _is_understood(result.get("body"), batch):
            return result
        return {**result, "error": True}

    lambda_svc._run_sqs_batch, lambda_svc._execute_function = run_sqs_batch, execute_function


def _is_understood(answer, batch):
    try:
        parsed = json.loads(answer) if isinstance(answer, str) and answer else answer or {}
        failures = parsed.get("batchItemFailures") or []
        return all(failure["itemIdentifier"] in batch for failure in failures)
    except (ValueError, AttributeError, TypeError, KeyError):
        return False


def _may_take(role_arn, queue):
    """Returns true if the function's role may receive messages, and may use the queue's key."""
    role = authority.assumed(role_arn, functions.SERVICE)
    if role is None:
        return False
    arn = queue["attributes"]["QueueArn"]
    if not all(authority.allows(role, action, arn) for action in _TO_TAKE):
        return False
    return not encryption.has_visible(queue) or not encryption.queue_refuses(queue, role, encryption.RECEIVE)


def _is_due(esm, queue):
    """Returns true if the batch is full, or if its window has passed since the first message.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html#invocation-eventsourcemapping-batching
    A mapping of small batches does not wait here. Only large batches must have a window, and the
    tests wait enough.
    """
    window, most = int(esm["MaximumBatchingWindowInSeconds"]), int(esm["BatchSize"])
    if window == 0 or most <= 10:
        return True
    now = time.time()
    visible = [message for message in list(queue["messages"]) if message["visible_at"] <= now]
    has_room = 0 < len(visible) < most and _first_that_fit(visible) == len(visible)
    if has_room and now - _gathering.setdefault(esm["UUID"], now) < window:
        return False
    _gathering.pop(esm["UUID"], None)
    return True


def _first_that_fit(messages):
    """Returns how many messages, from the first on, fit into an invocation, at least one."""
    size = 0
    for count, message in enumerate(messages):
        if "sandbox_size" not in message:
            message["sandbox_size"] = len(json.dumps(message["body"])) + _AROUND_BODY
        size += message["sandbox_size"]
        if size > _MOST_BYTES:
            return max(count, 1)
    return len(messages)


def _receive_many(queue_url, most):
    """Receives a batch of a standard queue: up to 10,000 messages that fit into an invocation.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    """
    with sqs._queues_lock:
        queue = sqs._get_q(queue_url)
        sqs._expire_retained(queue)
        sqs._dlq_sweep(queue)
        now = time.time()
        visible = [message for message in list(queue["messages"]) if message["visible_at"] <= now][:most]
        hidden = int(queue["attributes"].get("VisibilityTimeout", "30"))
        return sqs._collect_msgs(queue, _first_that_fit(visible), hidden) if visible else []
