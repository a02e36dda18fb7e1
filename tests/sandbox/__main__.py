"""`python -m sandbox`: starts the sandbox in the foreground and keeps it until it is told to stop."""

import argparse
import asyncio
import json
import os
import pathlib
import signal
import sys

from botocore.exceptions import BotoCoreError, ClientError

from . import organization, server

ROOT = pathlib.Path(__file__).resolve().parents[2]


def main():
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    port = arguments.port or server.free_port()
    server.prepare(port, arguments.folder)
    try:
        asyncio.run(_run(arguments, port))
    except (RuntimeError, OSError, BotoCoreError, ClientError) as error:
        sys.exit(f"the sandbox did not start: {error}\nmore in {arguments.folder / 'server.log'}")
    finally:
        arguments.json.unlink(missing_ok=True)


def _arguments():
    parser = argparse.ArgumentParser(prog="sandbox", description="A local AWS with cmkwatch deployed in it.")
    parser.add_argument("--port", type=int, help="the port on 127.0.0.1; a free one if not given")
    parser.add_argument(
        "--json", type=pathlib.Path, default=ROOT / "target" / "sandbox.json", help="where to say what is where"
    )
    parser.add_argument(
        "--folder", type=pathlib.Path, default=ROOT / "target" / "local-aws", help="for its log and files"
    )
    parser.add_argument("--settle-delay", type=int, default=2, help="seconds that a change waits before it is judged")
    parser.add_argument(
        "--sweep-timeout", type=int, default=10, help="seconds that a run of the sweep has, and until it comes again"
    )
    parser.add_argument("--while-stdin-is-open", action="store_true", help="stop when standard input ends, too")
    return parser.parse_args()


async def _run(arguments, port):
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    if arguments.while_stdin_is_open:
        loop.add_reader(sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else stop.set())
    serving = asyncio.create_task(server.serve(server.load(), port, stop))
    starting = asyncio.create_task(asyncio.to_thread(_start, arguments, port))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if starting.done():
            starting.result()
            print("ready", flush=True)
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.set()
        await serving


def _start(arguments, port):
    from . import deploy

    print(f"starting a local AWS at http://127.0.0.1:{port} and deploying cmkwatch into it", flush=True)
    outputs = deploy.deploy(ROOT, arguments.folder, arguments.settle_delay, arguments.sweep_timeout)
    deploy.wait_until_handled(outputs)
    told = {
        "endpoint": f"http://127.0.0.1:{port}",
        "hub_account": organization.HUB,
        "member_accounts": list(organization.MEMBERS),
        "organization": organization.ID,
        "home_region": organization.HOME,
        "regions": list(organization.REGIONS),
        "settle_delay_seconds": arguments.settle_delay,
        "changes_queue_url": outputs["ChangesQueueUrl"],
        "changes_dead_queue_url": outputs["ChangesDeadQueueUrl"],
        "sweep_queue_url": outputs["SweepQueueUrl"],
        "sweep_dead_queue_url": outputs["SweepDeadQueueUrl"],
        "sweep_planner_function": outputs["SweepPlannerName"],
        "pid": os.getpid(),
    }
    alerts = {
        "alerts_queue_url": "SubscriberQueueUrl",
        "alerts_dead_queue_url": "AlertsDeadQueueUrl",
        "topic_arn": "TopicArn",
    }
    told |= {name: outputs[output] for name, output in alerts.items() if output in outputs}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(told, indent=2) + "\n")
    print(json.dumps(told, indent=2), flush=True)


main()
