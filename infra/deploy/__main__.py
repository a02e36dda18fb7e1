"""Checks the request, and makes or removes the stacks: `python -m infra.deploy ACTION`.

The Makefile exports the request as environment variables, so no shell interprets the values.
"""

import os
import sys

from botocore.exceptions import BotoCoreError, ClientError

from . import hub, preconditions, preview, stacks
from .asked import Refused

ACTIONS = {
    "template": hub.write_into_target,
    "check": preconditions.check_hub,
    "preview": preview.preview_hub,
    "deploy": stacks.deploy_hub,
    "check-management": preconditions.check_management,
    "deploy-management": stacks.deploy_management,
    "undeploy": stacks.undeploy_hub,
    "undeploy-management": stacks.undeploy_management,
}

if __name__ == "__main__":
    try:
        ACTIONS[sys.argv[1]](os.environ)
    except (Refused, BotoCoreError, ClientError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("stopped: CloudFormation continues the operations that it has begun")
