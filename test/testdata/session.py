# A session with boto3, as a user would write it. What it prints is compared by the test.
import json
import time

import boto3
import botocore.exceptions

ssm, iam, sts = boto3.client("ssm"), boto3.client("iam"), boto3.client("sts")


def code(f, **arguments):
    try:
        f(**arguments)
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"]
    return "no error"


print("account", sts.get_caller_identity()["Account"])

trust = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "sts:AssumeRole"}]}
iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))
iam.put_role_policy(RoleName="reader", PolicyName="read", PolicyDocument=json.dumps({
    "Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:GetDocument", "Resource": "*"}]}))
keys = sts.assume_role(RoleArn="arn:aws:iam::000000000000:role/reader", RoleSessionName="me")["Credentials"]
reader = boto3.Session(aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
                       aws_session_token=keys["SessionToken"])
print("arn", reader.client("sts").get_caller_identity()["Arn"])
print("document", reader.client("ssm").get_document(Name="AWS-RunShellScript")["DocumentType"])
print("denied", code(reader.client("ssm").create_document, Name="Denied", Content="{}"))

content = {"schemaVersion": "2.2", "mainSteps": [
    {"action": "aws:runShellScript", "name": "a", "inputs": {"runCommand": ["true"]}}]}
ssm.create_document(Name="Mine", Content=json.dumps(content), DocumentType="Command")
print("twice", code(ssm.create_document, Name="Mine", Content=json.dumps(content), DocumentType="Command"))
print("bad", code(ssm.create_document, Name="Bad", Content='{"schemaVersion": "2.2", "mainSteps": []}', DocumentType="Command"))
for i in range(12):
    content["description"] = str(i)
    ssm.create_document(Name=f"Page-{i:02}", Content=json.dumps(content), DocumentType="Command")
pages = ssm.get_paginator("list_documents").paginate(
    Filters=[{"Key": "Name", "Values": ["Page-"]}], PaginationConfig={"PageSize": 5})
print("pages", [len(p["DocumentIdentifiers"]) for p in pages])
print("token", code(ssm.list_documents, NextToken="made-up"))
print("nobody", code(ssm.send_command, DocumentName="AWS-RunShellScript", InstanceIds=["mi-0123456789abcdef0"],
                     Parameters={"commands": ["true"]}))
print("parameters", code(ssm.send_command, DocumentName="AWS-RunShellScript", InstanceIds=["mi-0123456789abcdef0"],
                         Parameters={"nonsense": ["true"]}))
print("unknown", code(ssm.create_ops_item, Title="t", Source="s", Description="d"))
print("users", len(list(iam.get_paginator("list_users").paginate().search("Users[].UserName"))))
