"""MiniStack with the sandbox's additions, on one port of 127.0.0.1."""

import asyncio
import importlib
import logging
import os
import shutil
import socket
import tempfile

# Additions that patch the same function wrap each other in this order. `lag` is last, so that it
# makes the answers of all others old.
_ADDITIONS = (
    "access", "accounts", "buckets", "encryption", "events", "formation", "functions", "grants", "keys", "material",
    "metrics", "queues", "replicas", "rotation", "schedules", "securityhub", "sharing", "tables", "tags", "topics", "lag",
)  # fmt: skip


def free_port():
    """Returns a port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def prepare(port, folder):
    """Sets the environment that MiniStack reads on import, and that the functions inherit.

    The caller's own settings for AWS are removed, so that nothing in the sandbox can reach the real
    one.
    """
    for name in [name for name in os.environ if name.startswith(("AWS_", "MINISTACK_"))]:
        del os.environ[name]
    folder.mkdir(parents=True, exist_ok=True)
    # Another sandbox of the same folder may still be stopping.
    temporary = tempfile.mkdtemp(prefix="run-", dir=folder)
    tempfile.tempdir = temporary
    os.environ |= {
        "AUTH": "true",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "IOT_MTLS_ENABLED": "0",
        # The base delay of the two retries of an asynchronous run. AWS makes them after one minute,
        # and after two more.
        # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.2",
        "LOG_LEVEL": "INFO",
        "MINISTACK_HOST": "127.0.0.1",
        "SFTP_ENABLED": "0",
        "STATE_DIR": str(folder / "state"),
        "TMPDIR": temporary,
    }
    logging.basicConfig(filename=folder / "server.log", filemode="w", level=logging.INFO, force=True)


def clean_up():
    """Removes the copies of the functions, up to 600 MB. The log stays."""
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)


def load():
    """Returns MiniStack's application with the additions.

    Raises RuntimeError if `prepare` was not called before the first import of MiniStack.
    """
    from ministack import app as ministack

    from . import authority, calls, cloudtrail, endpoints, faults, kills

    if not ministack.AUTH:
        raise RuntimeError("MiniStack was imported before server.prepare, so it would not enforce IAM")
    for name in _ADDITIONS:
        importlib.import_module(f".{name}", __package__).install()
    faulty = faults.Faults(authority.Denials(ministack.app))
    counting = calls.Calls(cloudtrail.CloudTrail(faulty))
    killing = kills.Kills(counting, endpoints.workers)
    return endpoints.Endpoints(killing, counting, faulty, killing)


async def serve(app, port, stop: asyncio.Event):
    """Serves until `stop` is set, then ends the processes of all functions."""
    import hypercorn.asyncio
    import hypercorn.config
    from ministack.core import lambda_runtime

    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.graceful_timeout = 1
    config.errorlog = logging.getLogger("hypercorn.error")
    try:
        await hypercorn.asyncio.serve(app, config, shutdown_trigger=stop.wait)
    finally:
        lambda_runtime.reset()
