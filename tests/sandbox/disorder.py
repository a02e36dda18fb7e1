"""Loses, repeats and delays CloudTrail's events on their way.

"AWS services deliver events to CloudTrail on a best effort basis". Best effort means that "in some
rare cases an event might not be delivered":
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event.html
Events "don't appear in any specific order":
https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-concepts.html
"""

import random
import threading

from . import events

_FIELDS = {"seed": int, "drop": float, "duplicate": float, "shuffle": float}
_state = {"seed": 0, "drop": 0.0, "duplicate": 0.0, "shuffle": 0.0}
_random = random.Random(0)


def put_disorder(asked):
    """Sets the disorder of events from now on. The same seed makes the same choices.

    Raises ValueError for an invalid disorder.
    """
    if asked.keys() != _FIELDS.keys() or any(not isinstance(asked[name], (int, float)) for name in _FIELDS):
        raise ValueError(f"disorder has {', '.join(_FIELDS)}")
    if not (0 <= asked["drop"] <= 1 and 0 <= asked["duplicate"] <= 1 and 0 <= asked["shuffle"] <= 3600):
        raise ValueError("drop and duplicate are 0 to 1, shuffle is 0 to 3600 seconds")
    _state.update(asked)
    _random.seed(asked["seed"])
    return dict(_state)


def put(*event):
    """Puts a record of CloudTrail as `events.put` does, but never, once or twice, now or later."""
    # Each event takes four random numbers, so that its outcome does not change that of the next
    # event.
    lost, doubled, first, second = (_random.random() for _ in range(4))
    if lost < _state["drop"]:
        return
    for late in (first, second) if doubled < _state["duplicate"] else (first,):
        _later(late * _state["shuffle"], event)


def _later(seconds, event):
    if seconds <= 0:
        return events.put(*event)
    timer = threading.Timer(seconds, events.put, event)
    timer.daemon = True
    timer.start()
