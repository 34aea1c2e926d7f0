package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Env prints what AWS's own tools need to talk to a server.
type Env struct {
	DataFlag
	HTTPS bool `help:"Use HTTPS instead of plain HTTP."`
}

// Run prints one export a line, for eval.
func (e *Env) Run(_ context.Context, s Streams) error {
	r, err := readReady(e.DataFlag)
	if err != nil {
		return err
	}
	endpoint := r.HTTP
	if e.HTTPS || endpoint == "" {
		endpoint = r.HTTPS
	}
	lines := [][2]string{
		{"AWS_ENDPOINT_URL", endpoint}, {"AWS_SHARED_CREDENTIALS_FILE", r.Credentials}, {"AWS_PROFILE", "default"}, {"AWS_REGION", r.Region},
		{"AWS_DEFAULT_REGION", r.Region},
	}
	if strings.HasPrefix(endpoint, "https:") {
		lines = append(lines, [2]string{"AWS_CA_BUNDLE", r.CA})
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(s.Out, "export %s=%s\n", line[0], quote(line[1])); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(s.Out, "unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN")
	return err
}

// readReady finds the running server of a data folder. Where no folder is named and no server runs in
// the default one, it is the lab's.
func readReady(d DataFlag) (r Ready, err error) {
	folder, err := d.folder()
	if err != nil {
		return r, err
	}
	text, err := os.ReadFile(filepath.Join(folder, readyFile))
	if errors.Is(err, fs.ErrNotExist) && d.Data == "" {
		var lab string
		if lab, err = defaultFolder(labFolder); err == nil {
			text, err = os.ReadFile(filepath.Join(lab, readyFile))
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("no server runs in %s; start one with vennel serve, or name its folder with --data", folder)
	} else if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

// quote makes a text one word of a shell.
func quote(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "" && text != "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
