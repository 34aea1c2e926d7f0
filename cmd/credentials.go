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
	profiles, err := readProfiles(file)
	if err != nil {
		return sigv4.Credentials{}, err
	}
	c, ok := profiles["default"].keys()
	if !ok {
		return c, fmt.Errorf("%s has no key in its default profile", file)
	}
	return c, nil
}

// settings are those of a profile, by name. One that holds others has them as "services.ssm.endpoint_url" would be: under the names
// of both, joined by a dot.
type settings map[string]string

// keys are the profile's own.
func (s settings) keys() (c sigv4.Credentials, ok bool) {
	c = sigv4.Credentials{AccessKeyID: s["aws_access_key_id"], SecretAccessKey: s["aws_secret_access_key"], SessionToken: s["aws_session_token"]}
	return c, c.AccessKeyID != "" && c.SecretAccessKey != ""
}

// readProfiles reads a file in the format of AWS's shared files, section by section. A section is named by its whole heading.
func readProfiles(file string) (map[string]settings, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it is only read
	profiles := map[string]settings{}
	lines := bufio.NewScanner(f)
	for section, outer := (settings)(nil), ""; lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if heading, ok := strings.CutPrefix(line, "["); ok {
			heading, _, _ = strings.Cut(heading, "]")
			heading = strings.Join(strings.Fields(heading), " ")
			if section = profiles[heading]; section == nil {
				section = settings{}
				profiles[heading] = section
			}
			outer = ""
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || section == nil {
			continue
		}
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if text := lines.Text(); text[0] != ' ' && text[0] != '\t' {
			outer = name
		} else if outer != "" {
			name = outer + "." + name
		}
		section[name] = value
	}
	return profiles, lines.Err()
}
