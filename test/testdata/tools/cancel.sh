aws ssm cancel-command --command-id $(cat command)
