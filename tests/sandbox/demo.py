"""`make demo`: changes a bucket through the S3 API, and shows each step in Security Hub and Slack.

The exit code is 0 only if every step showed what it should.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.markup import escape

from . import slack

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target" / "local-aws-demo"
PATIENCE = 30
# The seconds to wait for further messages, longer than alerts are gathered here.
PAUSE = 5
# The severities below the minimum of the settings, which make no message.
NOT_TOLD = ("INFORMATIONAL", "LOW")
MARKS = {"PASSED": "[green]✔", "FAILED": "[red]✘", "WARNING": "[yellow]?"}
BUCKET = "acme-invoices"
# The controls that the bucket's class requires.
CONTROLS = ["encrypted-with-kms", "encrypted-with-cmk", "key-usable", "key-used-only-via-s3", "key-policy-closed",
            "key-rotates", "bucket-key-on", "ssec-blocked"]  # fmt: skip
# MENTIONED also holds if the condition key is absent, REQUIRED does not.
MENTIONED, REQUIRED = "StringEqualsIfExists", "StringEquals"

console = Console(highlight=False)


class Unexpected(Exception):
    """A step that did not show what it should."""


def main():
    with tempfile.TemporaryDirectory() as folder:
        told = pathlib.Path(folder) / "sandbox.json"
        command = [sys.executable, "-m", "sandbox", "--while-stdin-is-open", "--json", told, "--folder", FOLDER]
        sandbox = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            with console.status("starting a local AWS and deploying cmkwatch into it"):
                if not any(line.strip() == "ready" for line in sandbox.stdout):
                    raise Unexpected(f"the local AWS did not start; see {FOLDER}/server.log")
            Story(json.loads(told.read_text())).play()
        except Unexpected as error:
            console.print(f"\n[red]✘ {escape(str(error))}[/]")
            return 1
        except KeyboardInterrupt:
            console.print("\nstopped")
            return 130
        finally:
            stop(sandbox)
    return 0


def stop(sandbox):
    """Closes the pipe that the sandbox watches, and kills the sandbox if that does not stop it."""
    sandbox.stdin.close()
    try:
        sandbox.wait(timeout=15)
    except subprocess.TimeoutExpired:
        sandbox.kill()


class Story:
    """A bucket of a member account, and the changes made to it."""

    def __init__(self, told):
        self.told, self.account, self.region = told, told["member_accounts"][0], told["regions"][1]
        os.environ["AWS_ENDPOINT_URL"] = told["endpoint"]
        from . import deploy

        self.s3 = deploy.client("s3", self.account, self.region)
        self.kms = deploy.client("kms", self.account, self.region)
        self.security_hub = deploy.client("securityhub", self.account, self.region)
        self.queues = deploy.client("sqs", told["hub_account"], told["home_region"])
        self.prefix = f"cmkwatch/aws/{self.account}/{self.region}/{BUCKET}/"

    def play(self):
        hub, home = self.told["hub_account"], self.told["home_region"]
        console.rule("cmkwatch: a bucket drifts, Security Hub says so")
        console.print(f"cmkwatch runs in account {hub}, {home}. Everything below happens in account {self.account},")
        console.print(
            f"{self.region}, through the S3 API; the findings are read back from the Security Hub of that account."
        )
        console.print("What Slack shows is what a subscriber of the topic gets.")
        opened, passed, gone = "FAILED NEW opened", "PASSED RESOLVED", "ARCHIVED gone"
        sse_s3 = {"encrypted-with-kms": opened, "encrypted-with-cmk": opened, "ssec-blocked": passed}
        self.step("A team creates a bucket with SSE-S3. The console shows it as encrypted.", self.create, sse_s3)
        no_key = {**sse_s3, "encrypted-with-kms": f"{passed} resolved", "encrypted-with-cmk": "FAILED NEW changed"}
        self.step(
            "The team turns on aws:kms and names no key: that is the AWS-managed key aws/s3.",
            lambda: self.encrypt("aws:kms"),
            {**no_key, "bucket-key-on": opened},
        )
        key = self.kms.create_key(Description="acme invoices", Policy=self.policy(MENTIONED))["KeyMetadata"]["Arn"]
        named = {slug: passed for slug in CONTROLS}
        self.step(
            "The team names a key of its own. Its policy mentions kms:ViaService, but does not ask for it.",
            lambda: self.encrypt("aws:kms", key),
            {**named, "key-used-only-via-s3": opened, "key-rotates": opened},
        )
        self.step("They ask for it, and let the key rotate: events of the key.", lambda: self.improve(key), named)
        self.step(
            "Somebody schedules the key for deletion. Without it nobody can ever read the bucket again.",
            lambda: self.kms.schedule_key_deletion(KeyId=key),
            {slug: "FAILED NEW opened" if slug == "key-usable" else passed for slug in CONTROLS if slug != "key-rotates"}
            | {"key-rotates": gone},
        )
        self.step("The deletion is cancelled, the key enabled.", lambda: self.rescue(key), named)
        drifted = {slug: gone for slug in CONTROLS if slug.startswith(("key-", "bucket-key-"))}
        self.step("Drift: a script puts SSE-S3 back.", lambda: self.encrypt("AES256"), {**drifted, **sse_s3})
        self.step("The fix: the customer-managed key again.", lambda: self.encrypt("aws:kms", key), named)
        self.step(
            "The bucket is deleted.", lambda: self.s3.delete_bucket(Bucket=BUCKET), {slug: gone for slug in CONTROLS}
        )
        console.rule()
        console.print("[green]✔ every step showed what it should[/]")

    def create(self):
        location = {"LocationConstraint": self.region}
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)
        self.encrypt("AES256")

    def encrypt(self, algorithm, key=None):
        default = {"SSEAlgorithm": algorithm} | ({"KMSMasterKeyID": key} if key else {})
        rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": key is not None}
        self.s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": [rule]})

    def improve(self, key):
        self.kms.put_key_policy(KeyId=key, Policy=self.policy(REQUIRED))
        self.kms.enable_key_rotation(KeyId=key)

    def rescue(self, key):
        self.kms.cancel_key_deletion(KeyId=key)
        self.kms.enable_key(KeyId=key)

    def policy(self, condition):
        """Returns a key policy that admits an application, and IAM policies of its account."""
        root, application = f"arn:aws:iam::{self.account}:root", f"arn:aws:iam::{self.account}:role/invoices"
        service = {condition: {"kms:ViaService": f"s3.{self.region}.amazonaws.com"}}
        use = {"Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Condition": service}
        statements = [
            {"Sid": "IAM", "Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:*", "Resource": "*"},
            {"Sid": "Invoices", "Effect": "Allow", "Principal": {"AWS": application}, "Resource": "*", **use},
        ]
        return json.dumps({"Version": "2012-10-17", "Statement": statements})

    def step(self, what, act, expected):
        """Acts, waits until the findings are as expected, and shows them."""
        console.print(f"\n[bold]▶ {what}[/]")
        before = self.findings()
        act()
        started = time.monotonic()
        with console.status("waiting for Security Hub"):
            while not says(found := self.findings(), expected):
                if time.monotonic() - started > PATIENCE:
                    told = {slug: summary(finding) for slug, finding in found.items()}
                    raise Unexpected(f"after {PATIENCE} s the findings were {told}, expected {expected}")
                time.sleep(0.2)
        console.print(f"  [dim]in Security Hub {time.monotonic() - started:.1f} s after the call[/]")
        still = 0
        for slug, finding in found.items():
            if finding["UpdatedAt"] == before.get(slug, {}).get("UpdatedAt"):
                continue
            if summary(finding).startswith("PASSED") and before.get(slug, finding)["Compliance"]["Status"] == "PASSED":
                still += 1
            else:
                show(slug, finding)
        if still:
            console.print(f"  [green]✔[/] [dim]and {still} more that pass[/]")
        fresh = {slug: one for slug, one in found.items() if one["UpdatedAt"] != before.get(slug, {}).get("UpdatedAt")}
        self.tell(sorted(filter(None, (message_of(slug, finding) for slug, finding in fresh.items()))))

    def tell(self, expected):
        """Waits for exactly the expected messages, as (transition, control), and shows them."""
        started, told, got = time.monotonic(), [], []
        with console.status("waiting for Slack"):
            # Messages that arrive shortly after the last expected one are too many.
            while got != expected or time.monotonic() - started < PAUSE:
                if time.monotonic() - started > PATIENCE:
                    raise Unexpected(f"after {PATIENCE} s the messages were {got}, expected {expected}")
                page = self.queues.receive_message(QueueUrl=self.told["alerts_queue_url"], MaxNumberOfMessages=10)
                for message in page.get("Messages", []):
                    self.queues.delete_message(
                        QueueUrl=self.told["alerts_queue_url"], ReceiptHandle=message["ReceiptHandle"]
                    )
                    told.append(json.loads(json.loads(message["Body"])["Message"]))
                contexts = [notification["metadata"]["additionalContext"] for notification in told]
                got = sorted((context.get("transition"), context.get("control")) for context in contexts)
                time.sleep(0.2)
        if not told:
            return console.print("  [dim]no message: nothing that people must hear of[/]")
        console.print(slack.panel(told[0]))
        for notification in told[1:]:
            console.print(f"  [dim]in the same thread:[/] {escape(slack.title(notification))}")

    def findings(self):
        mine = {"Id": [{"Comparison": "PREFIX", "Value": self.prefix}]}
        page = self.security_hub.get_findings(Filters=mine)["Findings"]
        found = {finding["Id"].removeprefix(self.prefix): finding for finding in page}
        return dict(sorted(found.items(), key=lambda item: CONTROLS.index(item[0])))


def message_of(slug, finding):
    """Returns the message for a finding that just changed, as (transition, control).

    Returns `None` if the finding makes no message.
    """
    fields = finding["ProductFields"]
    transition = fields["cmkwatch/transition"]
    severity = fields["cmkwatch/severity-before"] if transition == "resolved" else finding["Severity"]["Label"]
    told = transition in ("opened", "worsened", "unreadable", "resolved") and severity not in NOT_TOLD
    return (transition, slug) if told else None


def summary(finding):
    """Returns, for example, `FAILED NEW opened` or `ARCHIVED gone`."""
    transition = finding["ProductFields"]["cmkwatch/transition"]
    if finding["RecordState"] == "ARCHIVED":
        return f"ARCHIVED {transition}"
    return f"{finding['Compliance']['Status']} {finding['Workflow']['Status']} {transition}"


def says(found, expected):
    """Returns true if exactly the expected findings exist, and each summary starts as expected."""
    return found.keys() == expected.keys() and all(summary(found[slug]).startswith(expected[slug]) for slug in expected)


def show(slug, finding):
    status, severity = finding["Compliance"]["Status"], finding["Severity"]["Label"]
    fields, workflow = finding["ProductFields"], finding["Workflow"]["Status"]
    if finding["RecordState"] == "ARCHIVED":
        console.print(f"  [dim]· ARCHIVED  {slug}: {escape(fields['cmkwatch/gone-because'])}[/]")
        return
    mark, transition = MARKS[status], fields["cmkwatch/transition"]
    console.print(f"  {mark} {status:7}[/] {severity:13} [bold]{slug}[/]  {transition}, workflow {workflow}")
    console.print(f"      {escape(finding['Description'])}", soft_wrap=True)
    if status == "FAILED":
        console.print(f"      [dim]to do: {escape(finding['Remediation']['Recommendation']['Text'])}[/]", soft_wrap=True)
        console.print(f"      [dim]changed by {fields['cmkwatch/changed-by']}, {fields['cmkwatch/event-name']}[/]")


if __name__ == "__main__":
    sys.exit(main())
