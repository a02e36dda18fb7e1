"""`make demo`: the story of one bucket, played through the S3 API, each step as Security Hub then tells it.

Ends with exit code 0 only if every step showed what it should.
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "target" / "local-aws-demo"
PATIENCE = 30
MARKS = {"PASSED": "[green]✔", "FAILED": "[red]✘", "WARNING": "[yellow]?"}
BUCKET = "acme-invoices"

console = Console(highlight=False)


class Unexpected(Exception):
    """A step did not show what it should."""


def main():
    with tempfile.TemporaryDirectory() as folder:
        told = pathlib.Path(folder) / "sandbox.json"
        command = [sys.executable, "-m", "sandbox", "--while-stdin-is-open", "--json", told, "--folder", FOLDER]
        sandbox = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            with console.status("starting a local AWS and deploying infra/template.yaml and infra/member.yaml into it"):
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
    """Closes the pipe that the sandbox watches; ends it where that is not enough."""
    sandbox.stdin.close()
    try:
        sandbox.wait(timeout=15)
    except subprocess.TimeoutExpired:
        sandbox.kill()


class Story:
    """A bucket of a member account, and what happens to it."""

    def __init__(self, told):
        self.told, self.account, self.region = told, told["member_accounts"][0], told["regions"][1]
        os.environ["AWS_ENDPOINT_URL"] = told["endpoint"]
        from . import deploy

        self.s3 = deploy.client("s3", self.account, self.region)
        self.kms = deploy.client("kms", self.account, self.region)
        self.security_hub = deploy.client("securityhub", self.account, self.region)
        self.prefix = f"cmkwatch/aws/{self.account}/{self.region}/{BUCKET}/"

    def play(self):
        hub, home = self.told["hub_account"], self.told["home_region"]
        console.rule("cmkwatch: a bucket drifts, Security Hub says so")
        console.print(f"cmkwatch runs in account {hub}, {home}. Everything below happens in account {self.account},")
        console.print(
            f"{self.region}, through the S3 API; the findings are read back from the Security Hub of that account."
        )
        kms_failed = {"encrypted-with-kms": "FAILED NEW opened", "encrypted-with-cmk": "FAILED NEW opened"}
        resolved = {"encrypted-with-kms": "PASSED RESOLVED", "encrypted-with-cmk": "PASSED RESOLVED resolved",
                    "key-usable": "PASSED RESOLVED first-seen"}  # fmt: skip
        self.step("A team creates a bucket with SSE-S3. The console shows it as encrypted.", self.create, kms_failed)
        self.step(
            "The team turns on aws:kms and names no key: that is the AWS-managed key aws/s3.",
            lambda: self.encrypt("aws:kms"),
            {"encrypted-with-kms": "PASSED RESOLVED resolved", "encrypted-with-cmk": "FAILED NEW changed"},
        )
        key = self.kms.create_key(Description="acme invoices")["KeyMetadata"]["Arn"]
        self.step("The team names a customer-managed key.", lambda: self.encrypt("aws:kms", key), resolved)
        again = {**kms_failed, "key-usable": "ARCHIVED gone"}
        self.step("Drift: a script puts SSE-S3 back.", lambda: self.encrypt("AES256"), again)
        self.step(
            "The fix: the customer-managed key again.",
            lambda: self.encrypt("aws:kms", key),
            {**resolved, "encrypted-with-kms": "PASSED RESOLVED resolved"},
        )
        self.step(
            "The bucket is deleted.",
            lambda: self.s3.delete_bucket(Bucket=BUCKET),
            {slug: "ARCHIVED gone" for slug in resolved},
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

    def step(self, what, act, expected):
        """Acts, waits until the findings say what is expected, and shows them."""
        console.print(f"\n[bold]▶ {what}[/]")
        act()
        started = time.monotonic()
        with console.status("waiting for Security Hub"):
            while not says(found := self.findings(), expected):
                if time.monotonic() - started > PATIENCE:
                    told = {slug: summary(finding) for slug, finding in found.items()}
                    raise Unexpected(f"after {PATIENCE} s the findings were {told}, expected {expected}")
                time.sleep(0.2)
        console.print(f"  [dim]in Security Hub {time.monotonic() - started:.1f} s after the call[/]")
        for slug, finding in found.items():
            show(slug, finding)

    def findings(self):
        mine = {"Id": [{"Comparison": "PREFIX", "Value": self.prefix}]}
        page = self.security_hub.get_findings(Filters=mine)["Findings"]
        order = {"encrypted-with-kms": 0, "encrypted-with-cmk": 1}
        found = {finding["Id"].removeprefix(self.prefix): finding for finding in page}
        return dict(sorted(found.items(), key=lambda item: order.get(item[0], 2)))


def summary(finding):
    """`FAILED NEW opened`, `ARCHIVED gone`"""
    transition = finding["ProductFields"]["cmkwatch/transition"]
    if finding["RecordState"] == "ARCHIVED":
        return f"ARCHIVED {transition}"
    return f"{finding['Compliance']['Status']} {finding['Workflow']['Status']} {transition}"


def says(found, expected):
    """True where there are exactly the findings that are expected, each as far as it is expected."""
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
        console.print(f"      [dim]changed by {fields['cmkwatch/changed-by']}, {fields['cmkwatch/event-name']}[/]")


if __name__ == "__main__":
    sys.exit(main())
