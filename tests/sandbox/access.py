"""Corrects IAM where MiniStack is stricter or kinder than AWS."""

import json
import re

from ministack.core import iam_actions, iam_evaluator
from ministack.services import iam, kms

from . import accounts, authority, grants, organization

_ROLE_SESSION = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/")
_OF_ACCOUNTS = ("aws:principalaccount", "aws:principalarn", "aws:principalorgid", "kms:calleraccount")
_ALIAS_CALLS = ("CreateAlias", "DeleteAlias", "UpdateAlias")


def install():
    iam_evaluator._principal_org_id = organization.of
    _patch_condition_keys()
    _patch_actions()
    _patch_resource_arns()


def _patch_condition_keys():
    resolve = iam_evaluator._resolve_condition_key

    def resolve_condition_key(key, context):
        name = key.lower()
        # "For assumed roles, the request context returns the ARN of the role."
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
        if name == "aws:principalarn" and context.principal_type == "AssumedRole":
            if session := _ROLE_SESSION.match(context.principal_arn):
                partition, account, role = session.groups()
                known = iam._roles.get_scoped(account, None, role)
                return known["Arn"] if known else f"arn:{partition}:iam::{account}:role/{role}"
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-resourceorgid
        if name == "aws:resourceorgid":
            return organization.of(_account_of(context.resource_arn))
        # The sandbox's plain HTTP counts as TLS, which the same client would use with AWS. A header
        # of the request can say otherwise.
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-securetransport
        if name == "aws:securetransport":
            return "true" if authority.is_secure() else "false"
        # An AWS service that acts in its own name is a principal of no account.
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalisawsservice
        if name == "aws:principalisawsservice":
            return "true" if context.principal_type == "Service" else "false"
        if context.principal_type == "Service" and name in _OF_ACCOUNTS:
            return None
        # https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-caller-account
        if name == "kms:calleraccount":
            return context.principal_account
        return resolve(key, context)

    iam_evaluator._resolve_condition_key = resolve_condition_key


def _account_of(arn):
    parts = (arn or "").split(":", 5)
    return parts[4] if len(parts) == 6 else None


def _patch_actions():
    extract = iam_actions.extract_iam_action

    def extract_iam_action(*request):
        """Returns the action of a request. A batch of messages is authorized as one message.

        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html
        """
        action = extract(*request)
        return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

    iam_actions.extract_iam_action = extract_iam_action


def _patch_resource_arns():
    extract = iam_actions.extract_resource_arn

    def extract_resource_arn(service, method, path, headers, body, query_params, region, account_id):
        arn = extract(service, method, path, headers, body, query_params, region, account_id)
        # Only the operations on aliases are authorized on the alias. All others are authorized on
        # the key of the alias.
        # https://docs.aws.amazon.com/kms/latest/developerguide/alias-access.html
        if service == "kms" and ":alias/" in arn and not headers.get("x-amz-target", "").endswith(_ALIAS_CALLS):
            key = kms._resolve_key(arn)
            return key["Arn"] if key else arn
        # A grant that is retired by its token needs permission for the grant's key.
        # https://docs.aws.amazon.com/kms/latest/developerguide/grant-delete.html
        if service == "kms" and headers.get("x-amz-target", "").endswith(".RetireGrant"):
            grant = grants.of_request(body, region)
            return grant["KeyId"] if grant else arn
        # The ARN of a rule on the default bus contains no bus.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridge.html
        if service == "events":
            return arn.replace(":rule/default/", ":rule/")
        # A statement on all buckets allows ListBuckets, as does a statement on everything.
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/example-policies-s3.html
        if service == "s3" and arn == "*":
            return "arn:aws:s3:::*"
        # ListAccounts has no resource. The resource of DescribeAccount is the account.
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsorganizations.html
        if service == "organizations" and headers.get("x-amz-target", "").endswith(".ListAccounts"):
            return "*"
        if service == "organizations" and headers.get("x-amz-target", "").endswith(".DescribeAccount"):
            return accounts.arn(json.loads(body or b"{}").get("AccountId", ""))
        # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecurityhub.html
        if service == "securityhub":
            if path == "/findings/import":
                return f"arn:aws:securityhub:{region}:{account_id}:product/{account_id}/default"
            return f"arn:aws:securityhub:{region}:{account_id}:hub/default"
        return arn

    iam_actions.extract_resource_arn = extract_resource_arn
