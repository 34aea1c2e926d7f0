package cmd

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/vennel/vennel/wire/sigv4"
)

// ReadCredentials reads the default profile of a file in AWS's shared-credentials format.
func ReadCredentials(file string) (sigv4.Credentials, error) {
	var c sigv4.Credentials
	f, err := os.Open(file)
	if err != nil {
		return c, err
	}
	defer func() { _ = f.Close() }() // it is only read
	lines := bufio.NewScanner(f)
	for profile := ""; lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "[") {
			profile = strings.Trim(line, "[]")
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || profile != "default" {
			continue
		}
		switch value = strings.TrimSpace(value); strings.TrimSpace(name) {
		case "aws_access_key_id":
			c.AccessKeyID = value
		case "aws_secret_access_key":
			c.SecretAccessKey = value
		case "aws_session_token":
			c.SessionToken = value
		}
	}
	if err := lines.Err(); err != nil {
		return c, err
	}
	if c.AccessKeyID == "" || c.SecretAccessKey == "" {
		return c, fmt.Errorf("%s has no key in its default profile", file)
	}
	return c, nil
}
