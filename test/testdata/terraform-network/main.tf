# A private network for Systems Manager: an instance in a subnet without any way to the internet, interface and gateway endpoints with
# policies, a peered VPC, a VPN connection to an office, and names for it.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "action" { type = string } # the action that the endpoint's policy denies
variable "office" { type = string } # the range that the endpoints' group lets in beside the VPC's

provider "aws" {
  endpoints {
    ec2             = var.endpoint
    iam             = var.endpoint
    logs            = var.endpoint
    route53resolver = var.endpoint
    ssm             = var.endpoint
    sts             = var.endpoint
  }
}

data "aws_region" "here" {}
data "aws_caller_identity" "me" {}
data "aws_availability_zones" "all" { state = "available" }

data "aws_ami" "agent" {
  owners = ["amazon"]
  filter {
    name   = "name"
    values = ["vennel-linux-agent"]
  }
}

resource "aws_vpc" "lab" {
  cidr_block           = "10.0.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = "lab" }
}

resource "aws_subnet" "private" {
  count             = 2
  vpc_id            = aws_vpc.lab.id
  cidr_block        = "10.0.${count.index + 1}.0/24"
  availability_zone = data.aws_availability_zones.all.names[count.index]
}

resource "aws_route_table" "private" {
  vpc_id           = aws_vpc.lab.id
  propagating_vgws = [aws_vpn_gateway.lab.id]
  route {
    cidr_block                = aws_vpc.peer.cidr_block
    vpc_peering_connection_id = aws_vpc_peering_connection.peer.id
  }
}

resource "aws_route_table_association" "private" {
  count          = 2
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

resource "aws_network_acl" "private" {
  vpc_id     = aws_vpc.lab.id
  subnet_ids = aws_subnet.private[*].id
  ingress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    from_port  = 0
    to_port    = 0
    cidr_block = "0.0.0.0/0"
  }
  egress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    from_port  = 0
    to_port    = 0
    cidr_block = "0.0.0.0/0"
  }
}

resource "aws_security_group" "endpoints" {
  name        = "endpoints"
  description = "HTTPS from the nodes"
  vpc_id      = aws_vpc.lab.id
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  security_group_id            = aws_security_group.endpoints.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "office" {
  security_group_id = aws_security_group.endpoints.id
  cidr_ipv4         = var.office
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_security_group" "nodes" {
  name        = "nodes"
  description = "Nothing comes in"
  vpc_id      = aws_vpc.lab.id
}

resource "aws_vpc_security_group_egress_rule" "https" {
  security_group_id = aws_security_group.nodes.id
  cidr_ipv4         = aws_vpc.lab.cidr_block
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  security_group_id = aws_security_group.nodes.id
  prefix_list_id    = aws_vpc_endpoint.s3.prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_endpoint" "ssm" {
  for_each            = toset(["ssm", "ssmmessages", "ec2messages"])
  vpc_id              = aws_vpc.lab.id
  vpc_endpoint_type   = "Interface"
  service_name        = "com.amazonaws.${data.aws_region.here.id}.${each.key}"
  subnet_ids          = aws_subnet.private[*].id
  security_group_ids  = [aws_security_group.endpoints.id]
  private_dns_enabled = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Sid = "All", Effect = "Allow", Principal = "*", Action = "*", Resource = "*" },
      { Sid = "Not", Effect = "Deny", Principal = "*", Action = var.action, Resource = "*" },
    ]
  })
}

resource "aws_vpc_endpoint" "s3" {
  vpc_id          = aws_vpc.lab.id
  service_name    = "com.amazonaws.${data.aws_region.here.id}.s3"
  route_table_ids = [aws_route_table.private.id]
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = "*", Action = "s3:GetObject", Resource = "arn:aws:s3:::aws-ssm-${data.aws_region.here.id}/*" }]
  })
}

resource "aws_vpc" "peer" {
  cidr_block           = "10.1.0.0/16"
  enable_dns_hostnames = true
}

resource "aws_vpc_peering_connection" "peer" {
  vpc_id      = aws_vpc.lab.id
  peer_vpc_id = aws_vpc.peer.id
  auto_accept = true
  requester { allow_remote_vpc_dns_resolution = true }
  accepter { allow_remote_vpc_dns_resolution = true }
}

resource "aws_route" "back" {
  route_table_id            = aws_vpc.peer.main_route_table_id
  destination_cidr_block    = aws_vpc.lab.cidr_block
  vpc_peering_connection_id = aws_vpc_peering_connection.peer.id
}

resource "aws_customer_gateway" "office" {
  type       = "ipsec.1"
  bgp_asn    = 65000
  ip_address = "198.19.255.10"
}

resource "aws_vpn_gateway" "lab" { vpc_id = aws_vpc.lab.id }

resource "aws_vpn_connection" "office" {
  type                = "ipsec.1"
  customer_gateway_id = aws_customer_gateway.office.id
  vpn_gateway_id      = aws_vpn_gateway.lab.id
  static_routes_only  = true
}

resource "aws_vpn_connection_route" "office" {
  vpn_connection_id      = aws_vpn_connection.office.id
  destination_cidr_block = "192.168.50.0/24"
}

resource "aws_security_group" "resolver" {
  name        = "resolver"
  description = "DNS from the office"
  vpc_id      = aws_vpc.lab.id
  dynamic "ingress" {
    for_each = ["udp", "tcp"]
    content {
      protocol    = ingress.value
      from_port   = 53
      to_port     = 53
      cidr_blocks = ["192.168.50.0/24"]
    }
  }
  egress {
    protocol    = "-1"
    from_port   = 0
    to_port     = 0
    cidr_blocks = ["0.0.0.0/0"]
  }
}

resource "aws_route53_resolver_endpoint" "way" {
  for_each           = toset(["INBOUND", "OUTBOUND"])
  direction          = each.key
  security_group_ids = [aws_security_group.resolver.id]
  dynamic "ip_address" {
    for_each = aws_subnet.private[*].id
    content { subnet_id = ip_address.value }
  }
}

resource "aws_route53_resolver_rule" "office" {
  name                 = "office"
  domain_name          = "corp.example"
  rule_type            = "FORWARD"
  resolver_endpoint_id = aws_route53_resolver_endpoint.way["OUTBOUND"].id
  target_ip { ip = "192.168.50.1" }
}

resource "aws_route53_resolver_rule_association" "office" {
  resolver_rule_id = aws_route53_resolver_rule.office.id
  vpc_id           = aws_vpc.lab.id
}

resource "aws_iam_role" "node" {
  name = "tf-node"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ec2.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
}

resource "aws_iam_role_policy_attachment" "core" {
  role       = aws_iam_role.node.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "node" {
  name = "tf-node"
  role = aws_iam_role.node.name
}

resource "aws_flow_log" "lab" {
  vpc_id          = aws_vpc.lab.id
  traffic_type    = "ALL"
  log_destination = "arn:aws:logs:${data.aws_region.here.id}:${data.aws_caller_identity.me.account_id}:log-group:lab"
  iam_role_arn    = aws_iam_role.node.arn
}

resource "aws_instance" "node" {
  ami                    = data.aws_ami.agent.id
  instance_type          = "t3.micro"
  subnet_id              = aws_subnet.private[0].id
  vpc_security_group_ids = [aws_security_group.nodes.id]
  iam_instance_profile   = aws_iam_instance_profile.node.name
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }
  tags       = { Name = "node" }
  depends_on = [aws_vpc_endpoint.ssm, aws_vpc_security_group_ingress_rule.nodes, aws_vpc_security_group_egress_rule.https, aws_iam_role_policy_attachment.core]
}

output "node" { value = aws_instance.node.id }
output "endpoint" { value = aws_vpc_endpoint.ssm["ssm"].id }
output "inbound" { value = join(" ", sort([for a in aws_route53_resolver_endpoint.way["INBOUND"].ip_address : a.ip])) }
