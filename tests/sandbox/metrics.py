"""Makes CloudWatch metrics of log lines in the embedded metric format, and evaluates alarms.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json

from ministack.services import cloudwatch


def install():
    describe = cloudwatch._describe_alarms

    def describe_alarms(*request, **more):
        # AWS evaluates alarms about every minute. Here they are evaluated when a test asks.
        cloudwatch._evaluate_all_alarms()
        return describe(*request, **more)

    cloudwatch._describe_alarms = describe_alarms


def keep(log):
    """Keeps the metrics of the log lines that contain any."""
    for line in log.splitlines():
        if line.startswith('{"_aws"'):
            _keep(json.loads(line))


def _keep(document):
    for directive in document["_aws"]["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: document[name] for name in names}
            for metric in directive["Metrics"]:
                values = document[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    if not isinstance(value, dict):
                        cloudwatch.record_metric(directive["Namespace"], metric["Name"], value, dimensions=dimensions)
