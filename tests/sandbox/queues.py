"""Event source mappings of FIFO queues, where MiniStack is stricter than AWS."""

from ministack.services import lambda_svc


def install():
    """As many messages of a FIFO queue are in flight as groups have some, up to the mapping's maximum concurrency.

    "For FIFO queues, concurrent invocations are capped either by the number of message group IDs (messageGroupId) or the
    maximum concurrency setting, whichever is lower": https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html.
    MiniStack has one at a time, although its queues hand out nothing of a group that has a message in flight.
    """
    limit = lambda_svc._sqs_esm_concurrency

    def sqs_esm_concurrency(esm, func_rec, config, _queue=None):
        scaling = dict(esm.get("ScalingConfig") or {})
        # CloudFormation hands a parameter of type Number on as the text that it was given as.
        if "MaximumConcurrency" in scaling:
            scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
        return limit({**esm, "ScalingConfig": scaling}, func_rec, config)

    lambda_svc._sqs_esm_concurrency = sqs_esm_concurrency
