package document

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/store"
)

type Content struct {
	Name, Version, Type, Format, Owner, ARN string
	Hash                                    string
	Text                                    []byte
	Parsed                                  *ssmdoc.Document
	Tags                                    map[string]string
}

const run = `{"schemaVersion":"1.2","description":"Run a shell script.","parameters":{"commands":{"type":"StringList","minItems":1},"workingDirectory":{"type":"String","default":"","maxChars":4096},"executionTimeout":{"type":"String","default":"3600","allowedPattern":"([1-9][0-9]{0,4})|(1[0-6][0-9]{4})|(17[0-1][0-9]{3})|(172[0-7][0-9]{2})|(172800)"}},"runtimeConfig":{"aws:runShellScript":{"properties":[{"id":"0.aws:runShellScript","runCommand":"{{ commands }}","workingDirectory":"{{ workingDirectory }}","timeoutSeconds":"{{ executionTimeout }}"}]}}}`

func Resolve(ctx context.Context, tx *store.Tx, account, region, name, version string) (*Content, error) {
	if name != "AWS-RunShellScript" {
		return nil, ssm.ErrInvalidDocument("Document with name %s does not exist.", name)
	}
	d, err := ssmdoc.Parse([]byte(run), "JSON")
	if err != nil {
		return nil, err
	}
	h := sha256.Sum256([]byte(run))
	return &Content{Name: name, Version: "1", Type: "Command", Format: "JSON", Owner: "Amazon", ARN: ARN(region, "", name), Hash: hex.EncodeToString(h[:]), Text: []byte(run), Parsed: d}, nil
}
func Name(account, region, n string) (name, arn string) { return n, ARN(region, "", n) }
func ARN(region, account, name string) string          { return api.ARN("ssm", region, account, "document/"+name) }
