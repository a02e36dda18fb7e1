"""Corrects SNS's Publish where MiniStack is kinder than AWS.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

import json

from ministack.services import sns


class _Twice(ValueError):
    """A key that a JSON object has twice."""


def install():
    publish = sns.publish_internal

    def publish_internal(topic_arn, message, subject="", **how):
        if problem := _problem(message, subject, how.get("message_structure", "")):
            raise sns.SnsPublishError("InvalidParameter", f"Invalid parameter: {problem}")
        return publish(topic_arn, message, subject, **how)

    sns.publish_internal = publish_internal
    sns._resolve_message_for_protocol = _for_protocol


def _problem(message, subject, structure):
    if not message:
        return "Empty message"
    # "UTF-8 text with no line breaks or control characters, and less than 100 characters long".
    if subject and (len(subject) >= 100 or any(ord(character) < 32 or ord(character) == 127 for character in subject)):
        return "Subject"
    return _problem_of_structure(message, structure) if structure else None


def _problem_of_structure(message, structure):
    """Returns why a message by protocol is invalid, or `None`.

    A valid one is a JSON object with at least the key `default`, a string.
    """
    if structure != "json":
        return "MessageStructure"
    try:
        parsed = json.loads(message, object_pairs_hook=_once)
    except ValueError:
        return "Message Structure - JSON message body failed to parse"
    if not isinstance(parsed, dict) or not isinstance(parsed.get("default"), str):
        return "Message Structure - No default entry in JSON message body"
    return None


def _once(pairs):
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twice("duplicate keys are not allowed")
    return made


def _for_protocol(message, structure, protocol):
    """Returns a subscriber's text. "Non-string values will cause the key to be ignored.\""""
    if structure != "json":
        return message
    parsed = json.loads(message)
    mine = parsed.get(protocol)
    return mine if isinstance(mine, str) else parsed["default"]
