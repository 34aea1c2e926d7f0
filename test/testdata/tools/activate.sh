aws iam create-role --role-name NodeRole --assume-role-policy-document file://trust.json >/dev/null
aws iam attach-role-policy --role-name NodeRole --policy-arn arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore
aws ssm create-activation --iam-role NodeRole --default-instance-name web --tags Key=role,Value=web \
	--query '[ActivationCode,ActivationId]' --output text > activation
