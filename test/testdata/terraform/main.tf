terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "content" { type = string }
variable "tag" { type = string }

provider "aws" {
  endpoints {
    iam = var.endpoint
    ssm = var.endpoint
    sts = var.endpoint
  }
}

data "aws_caller_identity" "me" {}

resource "aws_iam_role" "node" {
  name = "tf-node"
  path = "/service-role/"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ssm.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
  tags = { purpose = var.tag }
}

resource "aws_iam_role_policy_attachment" "core" {
  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "inline" {
  name = "logs"
  role = aws_iam_role.node.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "logs:PutLogEvents", Resource = "*" }]
  })
}

resource "aws_iam_policy" "own" {
  name = "tf-own"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "ssm:GetDocument", Resource = "*", Condition = { StringEquals = { "aws:PrincipalTag/purpose" = var.tag } } }]
  })
}

resource "aws_iam_role_policy_attachment" "own" {
  role       = aws_iam_role.node.name
  policy_arn = aws_iam_policy.own.arn
}

resource "aws_iam_instance_profile" "node" {
  name = "tf-node"
  role = aws_iam_role.node.name
}

resource "aws_iam_user" "operator" {
  name = "tf-operator"
}

resource "aws_iam_access_key" "operator" {
  user = aws_iam_user.operator.name
}

resource "aws_ssm_activation" "site" {
  name               = "tf-site"
  iam_role           = aws_iam_role.node.name
  registration_limit = 5
  depends_on         = [aws_iam_role_policy_attachment.core]
  tags               = { site = "one" }
}

resource "aws_ssm_document" "hello" {
  name            = "tf-hello"
  document_type   = "Command"
  document_format = "YAML"
  content         = var.content
  tags            = { purpose = var.tag }
}

output "account" { value = data.aws_caller_identity.me.account_id }
output "platforms" { value = aws_ssm_document.hello.platform_types }
