"""Writes botocore.txt, requests that botocore signed, and rsa.txt, requests signed as the SSM Agent signs them with RSA.

Run it in this folder, with botocore and boto3 1.43.11 and cryptography 48.0.0. The format is described in golden_test.go.
Signatures in rsa.txt differ from run to run: they are salted, and the private key is thrown away.
"""

import base64
import datetime
import hashlib
import json
import sys
from urllib.parse import urlsplit

import boto3
import botocore
import botocore.auth as auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

NOW = datetime.datetime(2026, 11, 21, 20, 7, 52, tzinfo=datetime.timezone.utc)
PERMANENT = Credentials("AKIDVENNELEXAMPLE", "vennel/example+secret/key/of/forty/charsX")
TEMPORARY = Credentials("ASIDVENNELEXAMPLE", "vennel/temporary+secret/key/of/forty/char", "dmVubmVs/token+with/every=base64==")

auth.get_current_datetime = lambda *a, **k: NOW

signed = []  # (canonical request, string to sign) of what has been signed last


def record(self, request, canonical_request):
    text = original(self, request, canonical_request)
    signed[:] = [canonical_request, text]
    return text


original = auth.SigV4Auth.string_to_sign
auth.SigV4Auth.string_to_sign = record


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


def write(name, service, credentials, method, url, headers, body):
    """Write one case."""
    parts = urlsplit(url)
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    names = [k.lower() for k, _ in headers]
    head = [f"{method} {target} HTTP/1.1"]
    if "host" not in names:
        head.append("Host: " + auth._host_from_url(url))  # as urllib3 sends it
    for key, value in headers:
        if key.lower() in ("user-agent", "amz-sdk-invocation-id"):
            value = "constant"  # unsigned, and different in every run
        head.append(f"{key}: {text(value)}")
    if body and "content-length" not in names and "transfer-encoding" not in names:
        head.append(f"Content-Length: {len(body)}")
    print(f"\ncase {name}")
    print("now 20261121T200752Z")
    print(f"scope us-east-1 {service}")
    print(f"key {credentials.access_key} {credentials.secret_key} {credentials.token or ''}".rstrip())
    if body:
        print("body " + json.dumps(body.decode("latin-1")))
    for title, lines in [("request", head), ("canonical", signed[0].split("\n")), ("string-to-sign", signed[1].split("\n"))]:
        print(title)
        for line in lines:
            print("> " + line)


class Stop(Exception):
    pass


def client_case(name, service, call, credentials=PERMANENT, endpoint="http://127.0.0.1:4566", config=None):
    """Let a client send a request, and write it instead."""
    client = boto3.client(
        service, region_name="us-east-1", endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key, aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token, config=config or Config(s3={"addressing_style": "path"}))

    def send(request, **kwargs):
        body = request.body or b""
        if hasattr(body, "read"):
            body = body.read()
        if isinstance(body, str):
            body = body.encode()
        write(name, client._service_model.signing_name, credentials, request.method, request.url, list(request.headers.items()), bytes(body))
        raise Stop

    client.meta.events.register("before-send", send)
    try:
        call(client)
    except Stop:
        pass


def presigned_case(name, service, operation, params, credentials=PERMANENT, method=None, endpoint="http://127.0.0.1:4566"):
    client = boto3.client(
        service, region_name="us-east-1", endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key, aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.token, config=Config(signature_version="s3v4" if service == "s3" else "v4", s3={"addressing_style": "path"}))
    url = client.generate_presigned_url(operation, Params=params, ExpiresIn=900, HttpMethod=method)
    verb = signed[0].split("\n")[0]
    headers = [("x-amz-meta-owner", "ops  team")] if "Metadata" in params else []
    write(name, client._service_model.signing_name, credentials, verb, url, headers, b"")


def signer_case(name, signer, service, method, url, headers=(), body=b"", credentials=PERMANENT, context=None):
    """Let a signer sign a request that no client would send."""
    request = AWSRequest(method=method, url=url, data=body)
    for key, value in headers:
        request.headers.add_header(key, value)
    request.context.update(context or {})
    signer(credentials, service, "us-east-1").add_auth(request)
    write(name, service, credentials, method, request.url, list(request.headers.items()), body)


sys.stdout = open("botocore.txt", "w")
print(f"# source: sdk, botocore {botocore.__version__}: clients and signers at a fixed time; written by generate.py")

client_case("ssm GetParameter", "ssm", lambda c: c.get_parameter(Name="/prod/db", WithDecryption=True))
client_case("ssm PutParameter, temporary key, unicode", "ssm", lambda c: c.put_parameter(Name="/ü/名前", Value="значение ✓\n  two  spaces", Type="String"), TEMPORARY)
client_case("kms Encrypt", "kms", lambda c: c.encrypt(KeyId="alias/vennel", Plaintext=b"\0\1\2"), endpoint="https://kms.us-east-1.amazonaws.com")
client_case("logs PutLogEvents", "logs", lambda c: c.put_log_events(logGroupName="/a/b", logStreamName="i-0", logEvents=[{"timestamp": 1795295272000, "message": "m"}]))
client_case("sts GetCallerIdentity", "sts", lambda c: c.get_caller_identity(), TEMPORARY)
client_case("iam CreateRole", "iam", lambda c: c.create_role(RoleName="r", AssumeRolePolicyDocument='{"Statement": []}', Path="/a b/"))
client_case("ec2 DescribeVpcEndpoints, default port", "ec2", lambda c: c.describe_vpc_endpoints(Filters=[{"Name": "tag:a+b", "Values": ["*", "ü"]}]), endpoint="http://127.0.0.1:80")
client_case("ssm, host with capitals and port", "ssm", lambda c: c.list_documents(), endpoint="http://SSM.Example.test:8080")
client_case("ssm, IPv6 literal", "ssm", lambda c: c.list_documents(), endpoint="http://[::1]:8080")
client_case("lambda Invoke, encoded path", "lambda", lambda c: c.invoke(FunctionName="arn:aws:lambda:us-east-1:000000000000:function:f", Payload=b"{}", Qualifier="$LATEST"))

client_case("s3 PutObject over http", "s3", lambda c: c.put_object(Bucket="bucket", Key="a/b c/ü=+&@~*(')!.txt", Body=b"hello", Metadata={"Owner": "ops  team"}, ContentType="text/plain"))
client_case("s3 PutObject over https", "s3", lambda c: c.put_object(Bucket="bucket", Key="k", Body=b"hello, trailer"), endpoint="https://127.0.0.1:4443")
client_case("s3 PutObject over https, signed payload", "s3", lambda c: c.put_object(Bucket="bucket", Key="k", Body=b"hello"), endpoint="https://127.0.0.1:4443",
            config=Config(s3={"addressing_style": "path", "payload_signing_enabled": True}, request_checksum_calculation="when_required"))
client_case("s3 PutObject over https, unsigned payload", "s3", lambda c: c.put_object(Bucket="bucket", Key="k", Body=b"hello"), endpoint="https://127.0.0.1:4443",
            config=Config(s3={"addressing_style": "path", "payload_signing_enabled": False}, request_checksum_calculation="when_required"))
client_case("s3 GetObject, double slashes and dots", "s3", lambda c: c.get_object(Bucket="bucket", Key="/a//b/../c/./d/", Range="bytes=0-9"), TEMPORARY)
client_case("s3 GetObject, percent in the key", "s3", lambda c: c.get_object(Bucket="bucket", Key="100%25 %2F done"))
client_case("s3 ListObjectsV2", "s3", lambda c: c.list_objects_v2(Bucket="bucket", Prefix="a+b/ü ~*", Delimiter="/", StartAfter="", MaxKeys=2))
client_case("s3 GetBucketPolicy", "s3", lambda c: c.get_bucket_policy(Bucket="bucket"))
client_case("s3 UploadPart", "s3", lambda c: c.upload_part(Bucket="bucket", Key="k", PartNumber=2, UploadId="a/b+c=", Body=b"part"))
client_case("s3 DeleteObjects", "s3", lambda c: c.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "a&b"}]}))
client_case("s3 CopyObject", "s3", lambda c: c.copy_object(Bucket="bucket", Key="k", CopySource={"Bucket": "bucket", "Key": "a b+c"}))
client_case("s3 GetObject, virtual host", "s3", lambda c: c.get_object(Bucket="bucket", Key="k"), endpoint="https://s3.us-east-1.amazonaws.com", config=Config(s3={"addressing_style": "virtual"}))

presigned_case("presigned s3 GetObject", "s3", "get_object", {"Bucket": "bucket", "Key": "a b/ü//c", "ResponseContentType": "text/plain; charset=utf-8"})
presigned_case("presigned s3 GetObject, temporary key", "s3", "get_object", {"Bucket": "bucket", "Key": "k"}, TEMPORARY)
presigned_case("presigned s3 PutObject with a signed header", "s3", "put_object", {"Bucket": "bucket", "Key": "k", "Metadata": {"owner": "ops  team"}})
presigned_case("presigned sts GetCallerIdentity", "sts", "get_caller_identity", {})
presigned_case("presigned sts GetCallerIdentity, temporary key", "sts", "get_caller_identity", {}, TEMPORARY, "GET")

V4, S3, QUERY, S3QUERY = auth.SigV4Auth, auth.S3SigV4Auth, auth.SigV4QueryAuth, auth.S3SigV4QueryAuth
BASE = "http://127.0.0.1:4566"
signer_case("repeated headers and inner spaces", V4, "ssm", "GET", BASE + "/", [("My-Header", "b"), ("My-Header", "  a   b  c "), ("My-Header", ""), ("Other", '"q   q"')])
signer_case("query with empty values and duplicates", V4, "ssm", "GET", BASE + "/?b=2&a&b=10&a=&b=1&a-b=x&a=%20&%C3%BC=%E2%9C%93&A=1")
signer_case("path to normalise", V4, "ssm", "GET", BASE + "/v1//control-channel/./x/../mi-0%20a+b/?role=subscribe&stream=input")
signer_case("path with an encoded slash and unicode", V4, "ssm", "GET", BASE + "/v1/documents/a%2Fb/%C3%BC%25")
signer_case("date header", V4, "ssm", "POST", BASE + "/", [("Date", "Sat, 21 Nov 2026 20:07:52 GMT")], b"{}")
signer_case("unsigned payload", V4, "ssm", "POST", "https://127.0.0.1:4443/", [], b"{}", context={"payload_signing_enabled": False})
signer_case("s3 encoded slash in the path", S3, "s3", "GET", BASE + "/bucket/a%2Fb//c%20d/..")
signer_case("presigned with dots", QUERY, "ssm", "GET", BASE + "/a/../b//c?x=%2B&x=")
signer_case("presigned s3 with slashes", S3QUERY, "s3", "GET", BASE + "//bucket//a/../b", credentials=TEMPORARY)

node = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pss(message):
    return base64.b64encode(node.sign(message, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())).decode()


class AgentAuth(auth.SigV4Auth):
    """SigV4 with the last step that amazon-ssm-agent takes in agent/ssm/rsaauth."""

    def signature(self, string_to_sign, request):
        return pss(string_to_sign.encode())


def agent_case(name, signer, service_headers, body, after):
    request = AWSRequest(method="POST", url=BASE + "/", data=body)
    for key, value in service_headers:
        request.headers.add_header(key, value)
    credentials = TEMPORARY if signer is V4 else Credentials("mi-0123456789abcdef0", "-")
    signer(credentials, "ssm", "us-east-1").add_auth(request)
    write(name, "ssm", credentials, "POST", request.url, list(request.headers.items()) + after(request), body)


sys.stdout = open("rsa.txt", "w")
print(f"# source: sdk, botocore {botocore.__version__} for what is signed and Python's cryptography for RSASSA-PSS; written by generate.py")
spki = node.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
print("public " + base64.b64encode(spki).decode())
TARGET = [("Content-Type", "application/x-amz-json-1.1"), ("X-Amz-Target", "AmazonSSM.RequestManagedInstanceRoleToken")]
BODY = b'{"Fingerprint":"58966fea-b0e3-4215-9ecc-e1754ba98889"}'
agent_case("hybrid node asks for its role token", AgentAuth, TARGET, BODY,
           lambda r: [("X-Amz-Content-Sha256", hashlib.sha256(BODY).hexdigest()), ("Transfer-Encoding", "chunked")])
agent_case("EC2 node asks for its role token", V4, TARGET + [("Content-Length", str(len(BODY)))], BODY,
           lambda r: [("SSM-AsymmetricKeyAuthorization", "Signature=" + pss(r.headers["Authorization"].encode()))])
