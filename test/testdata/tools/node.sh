aws ssm describe-instance-information --query 'InstanceInformationList[0].InstanceId' --output text
