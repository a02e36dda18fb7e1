"""`python -m sandbox`: runs the sandbox in the foreground until it receives a stop signal."""

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
        server.clean_up()


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
    parser.add_argument("--timeout", type=int, default=10, help="seconds that other runs have, and until they come again")
    parser.add_argument(
        "--sweep-timeout", type=int, default=10, help="seconds that a run of the sweep has, and until it comes again"
    )
    parser.add_argument("--security-hub-lag", type=_seconds, default=0, help="seconds by which Security Hub answers late")
    parser.add_argument(
        "--settings-lag", type=_seconds, default=0, help="seconds by which reads of bucket and key settings are old"
    )
    parser.add_argument(
        "--second-look", type=_seconds, help="seconds until the second look; the lag of Security Hub plus 5 if not given"
    )
    parser.add_argument("--settings", type=pathlib.Path, help="settings of cmkwatch other than infra/cmkwatch.toml")
    parser.add_argument("--event-seed", type=int, default=0, help="what decides which events are dropped and so on")
    for name, what in (("drop", "are lost"), ("duplicate", "come twice")):
        parser.add_argument(
            f"--event-{name}", type=float, default=0, help=f"how many of CloudTrail's events {what}, 0 to 1"
        )
    parser.add_argument(
        "--event-shuffle", type=_seconds, default=0, help="seconds by which each event is late at most, so out of order"
    )
    parser.add_argument("--while-stdin-is-open", action="store_true", help="stop when standard input ends, too")
    arguments = parser.parse_args()
    if arguments.second_look is None:
        arguments.second_look = arguments.security_hub_lag + 5
    if arguments.second_look > 900:
        parser.error("--second-look is at most 900 seconds, the longest that SQS delays a message")
    if not 0 <= arguments.event_drop <= 1 or not 0 <= arguments.event_duplicate <= 1:
        parser.error("--event-drop and --event-duplicate are numbers from 0 to 1")
    return arguments


def _seconds(text):
    seconds = int(text)
    if not 0 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 0 to 3600")
    return seconds


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
    from . import deploy, disorder, lag

    print(f"starting a local AWS at http://127.0.0.1:{port} and deploying cmkwatch into it", flush=True)
    parameters = deploy.parameters(arguments)
    outputs = deploy.deploy(ROOT, arguments.folder, parameters, arguments.settings)
    deploy.wait_until_handled(outputs)
    late = arguments.security_hub_lag
    lag.put(dict.fromkeys(("get_findings", "home_region", "batch_update_findings"), late))
    lag.put({"settings": arguments.settings_lag})
    disorder.put_disorder(
        {
            "seed": arguments.event_seed,
            "drop": arguments.event_drop,
            "duplicate": arguments.event_duplicate,
            "shuffle": arguments.event_shuffle,
        }
    )
    told = {
        "endpoint": f"http://127.0.0.1:{port}",
        "hub_account": organization.HUB,
        "member_accounts": list(organization.MEMBERS),
        "organization": organization.ID,
        "joining_account": organization.JOINING,
        "bus_arn": outputs["BusArn"],
        "home_region": organization.HOME,
        "regions": list(organization.REGIONS),
        "settle_delay_seconds": arguments.settle_delay,
        "second_look_seconds": arguments.second_look,
        "security_hub_lag_seconds": arguments.security_hub_lag,
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
