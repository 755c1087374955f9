"""An AWS account of the tests' own, made from the templates in deploy/aws: an emulator, and a gate that keeps policies.

Belongs here: stacks, and what the emulator's CloudFormation leaves out of them, done by API calls with the very
properties of the template. Does not belong here: what is expected.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from claims_pipeline_tests.deploy.gate import Gate
from claims_pipeline_tests.deploy.policies import Ask, Policy, is_allowed, may_assume

TEMPLATES = Path(__file__).parents[2] / "deploy" / "aws"
NUMBER, REGION = "123456789012", "us-west-2"  # the emulator has this account
OIDC = f"oidc.eks.{REGION}.amazonaws.com/id/EXAMPLE"
NAMESPACE = "claims-pipeline"
STRANGER = "arn:aws:iam::111122223333:role/stranger"


class Account:
    """The account; see `account`.

    Attributes:
        region: of everything.
        address: host and port of the emulator.
        name: begins the names of all that it has.
        url: the emulator itself, which asks nobody for rights: for the test's own hands.
        gate: in front of it: for those whose rights are tried.
        outputs: of all stacks, by name.
        properties: of each stack's resources, resolved, by stack and logical name.
    """

    region = REGION

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.url = f"http://{address[0]}:{address[1]}"
        self.name = f"t{secrets.token_hex(4)}"
        self.gate = Gate(self)
        self.outputs: dict[str, str] = {}
        self.properties: dict[str, dict[str, Any]] = {}
        self._policies: dict[str, Policy] = {}
        self._principals: dict[str, str] = {}
        self._keys: dict[str, str] = {}

    # ------------------------------------------------------------------------------------------ stacks

    def deploy(self, template: str, stack: str | None = None, **parameters: str) -> None:
        """Make a stack; those named like their template are what later ones refer to."""
        stack = f"{self.name}-{stack or template}"
        known = {"NamePrefix": self.name, "StorageStack": f"{self.name}-storage", "EventsStack": f"{self.name}-events"}
        text = (TEMPLATES / f"{template}.yaml").read_text()
        cloudformation = self.admin("cloudformation")
        values = {name: value for name, value in known.items() if _has(text, name)}
        cloudformation.create_stack(
            StackName=stack,
            TemplateBody=text,
            Capabilities=["CAPABILITY_NAMED_IAM"],
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in (values | parameters).items()],
        )
        (made,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
        assert made["StackStatus"] == "CREATE_COMPLETE"
        self.outputs |= {one["OutputKey"]: one["OutputValue"] for one in made.get("Outputs", ())}
        self.properties[template] = {}
        for name, kind, properties, physical in _resources(stack):
            self.properties[template][name] = properties
            self._finish(kind, properties, physical)

    def _finish(self, kind: str, properties: dict[str, Any], physical: str) -> None:
        """Do what the emulator's CloudFormation leaves out."""
        match kind:
            case "AWS::S3::Bucket":
                self._finish_bucket(physical, properties)
            case "AWS::S3::BucketPolicy":
                self._policies[f"arn:aws:s3:::{properties['Bucket']}"] = properties["PolicyDocument"]
            case "AWS::SQS::QueuePolicy":
                for url in properties["Queues"]:
                    arn = f"arn:aws:sqs:{REGION}:{NUMBER}:{url.rpartition('/')[2]}"
                    self._policies[arn] = properties["PolicyDocument"]
            case "AWS::SNS::TopicPolicy":
                for arn in properties["Topics"]:
                    self._policies[arn] = properties["PolicyDocument"]
            case "AWS::KMS::Key":
                self._policies[f"arn:aws:kms:{REGION}:{NUMBER}:key/{physical}"] = properties["KeyPolicy"]
            case "AWS::IAM::Role":
                for arn in properties["ManagedPolicyArns"]:
                    self.admin("iam").attach_role_policy(RoleName=physical, PolicyArn=arn)

    def _finish_bucket(self, bucket: str, properties: dict[str, Any]) -> None:
        s3 = self.admin("s3")
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=properties["VersioningConfiguration"])
        if "NotificationConfiguration" in properties:
            s3.put_bucket_notification_configuration(
                Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}}
            )
        (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        self._keys[bucket] = rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID", "")

    # ------------------------------------------------------------------------------------------ people

    def admin(self, service: str) -> Any:
        """A client of the emulator itself."""
        return _client(service, self.url, "admin", "admin", None)

    def stranger(self, access_key: str = "STRANGER", arn: str = STRANGER) -> dict[str, str]:
        """Credentials of a role of another account."""
        self._principals[access_key] = arn
        return {"access_key": access_key, "secret": "x", "token": ""}

    def pod(self, role: str, account: str, namespace: str = NAMESPACE) -> dict[str, str]:
        """Credentials that a pod with a service account gets for a role."""
        taken = boto3.client(
            "sts", endpoint_url=self.gate.url, region_name=REGION, aws_access_key_id="-", aws_secret_access_key="-"
        ).assume_role_with_web_identity(
            RoleArn=self.outputs[role],
            RoleSessionName="pod",
            WebIdentityToken=token(account, namespace),
        )
        return _credentials(taken)

    def sender(self, external_id: str, **who: str) -> dict[str, str]:
        """Credentials of the sender's role, as somebody of another account takes it."""
        sts = self.client("sts", self.stranger(**who))
        return _credentials(
            sts.assume_role(RoleArn=self.outputs["SenderRoleArn"], RoleSessionName="daily", ExternalId=external_id)
        )

    def client(self, service: str, credentials: Mapping[str, str]) -> Any:
        """A client that goes through the gate."""
        return _client(service, self.gate.url, credentials["access_key"], credentials["secret"], credentials["token"])

    def environment(self, role: str, account: str, folder: Path) -> dict[str, str]:
        """What EKS gives a pod with a service account, and where this AWS is."""
        path = folder / "token"
        path.write_text(token(account))
        return {
            "AWS_ROLE_ARN": self.outputs[role],
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(path),
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.gate.url,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # ------------------------------------------------------------------------------------------ for the gate

    def principal(self, access_key: str) -> str:
        return self._principals.get(access_key, "arn:aws:iam::000000000000:user/unknown")

    def took_role(self, access_key: str, role_arn: str) -> None:
        self._principals[access_key] = role_arn

    def allows(self, ask: Ask) -> bool:
        own = self.identity(ask.principal) if ask.principal.startswith(f"arn:aws:iam::{NUMBER}:role/") else ()
        theirs = self._policies.get(ask.resource.partition("/")[0] if ":s3:" in ask.resource else ask.resource)
        return is_allowed(ask, identity=own, resource=[theirs] if theirs else [])

    def allows_role(self, ask: Ask) -> bool:
        role = self.admin("iam").get_role(RoleName=ask.resource.rpartition("/")[2])["Role"]
        return may_assume(role["AssumeRolePolicyDocument"], ask)

    def bucket_key(self, bucket: str) -> str:
        return self._keys[bucket]

    def secret(self, name: str) -> tuple[str, str]:
        found = self.admin("secretsmanager").describe_secret(SecretId=name)
        return found["ARN"], found["KmsKeyId"]

    @cache  # noqa: B019 - an account lives as long as its tests
    def identity(self, role_arn: str) -> tuple[Policy, ...]:
        """The policies of a role, read from the emulator."""
        iam, name = self.admin("iam"), role_arn.rpartition("/")[2]
        return tuple(
            iam.get_policy_version(PolicyArn=one["PolicyArn"], VersionId="v1")["PolicyVersion"]["Document"]
            for one in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        )


@contextmanager
def account(**parameters: str) -> Iterator[Account]:
    """An account with the stacks that there is one of; parameters go to the template that knows them."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    made = Account(server.get_host_and_port())
    thread = threading.Thread(target=made.gate.serve_forever, daemon=True)
    thread.start()
    try:
        own = {"OidcProvider": OIDC, "SecretPrefix": made.name} | parameters
        for template in ("storage", "events", "access"):
            text = (TEMPLATES / f"{template}.yaml").read_text()
            made.deploy(template, **{name: value for name, value in own.items() if _has(text, name)})
        yield made
    finally:
        made.gate.shutdown()
        made.gate.server_close()
        server.stop()


def token(account: str, namespace: str = NAMESPACE) -> str:
    """A service account's token, as a cluster issues it, without a signature."""
    claims = {
        "iss": f"https://{OIDC}",
        "aud": "sts.amazonaws.com",
        "sub": f"system:serviceaccount:{namespace}:{account}",
    }
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"


def _has(template: str, parameter: str) -> bool:
    return f"\n  {parameter}:\n    Type: " in template


def _client(service: str, url: str, key: str, secret: str, token: str | None) -> Any:
    config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(  # type: ignore[call-overload]  # of any service
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token or None,
        config=config,
    )


def _credentials(taken: Any) -> dict[str, str]:
    found = taken["Credentials"]
    return {"access_key": found["AccessKeyId"], "secret": found["SecretAccessKey"], "token": found["SessionToken"]}


def _resources(stack: str) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Logical name, type, resolved properties and physical id of a stack's resources, by the emulator's own hand."""
    from moto.cloudformation.models import cloudformation_backends
    from moto.cloudformation.parsing import clean_json

    (found,) = [one for one in cloudformation_backends[NUMBER][REGION].stacks.values() if one.name == stack]
    resources = found.resource_map
    for name, said in found.template_dict["Resources"].items():
        condition = said.get("Condition")
        if condition and not resources.lazy_condition_map[condition]:
            continue
        made = resources.get(name)
        physical = getattr(made, "physical_resource_id", "") if made is not None else ""
        yield name, said["Type"], clean_json(said.get("Properties", {}), resources), physical
