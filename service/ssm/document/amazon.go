package document

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/service/ssm/document/internal/rows"
)

// files are the documents that belong to Amazon, each under its name. Their parameters are those of
// AWS's own documents of these names, with their defaults and patterns; the rest is ours.
// AWS-UpdateSSMAgent names no source, so that an agent asks the place that its own settings say.
//
//go:embed aws/*.json
var files embed.FS

// policies are those of Amazon's documents that are of the type Policy.
var policies = map[string]bool{"AWS-GatherSoftwareInventory": true}

// builtin is a document that belongs to Amazon. It has one version.
type builtin struct {
	document rows.SsmDocument
	version  rows.SsmDocumentVersion
	content  string
}

// amazonCreated is when all of them were made.
var amazonCreated = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC).UnixMilli()

// amazon reads Amazon's documents once, by name. They are part of the program, so one that cannot
// be read is a mistake in it.
var amazon = sync.OnceValue(func() map[string]*builtin {
	list, err := files.ReadDir("aws")
	if err != nil {
		panic(err)
	}
	out := map[string]*builtin{}
	for _, file := range list {
		content, err := files.ReadFile(path.Join("aws", file.Name()))
		if err != nil {
			panic(err)
		}
		name := strings.TrimSuffix(file.Name(), ".json")
		b, err := newBuiltin(name, string(content))
		if err != nil {
			panic(fmt.Errorf("the document %s: %w", name, err))
		}
		out[name] = b
	}
	return out
})

// newBuiltin reads one.
func newBuiltin(name, content string) (*builtin, error) {
	root, err := ssmdoc.Tree([]byte(content), ssmdoc.JSON)
	if err != nil {
		return nil, err
	}
	kind := ssm.DocumentTypeCommand
	if root["sessionType"] != nil {
		kind = ssm.DocumentTypeSession
	} else if policies[name] {
		kind = ssm.DocumentTypePolicy
	}
	facts, err := check(kind, ssmdoc.JSON, content)
	if err != nil {
		return nil, err
	}
	return &builtin{
		document: rows.SsmDocument{Name: name, Type: kind, Created: amazonCreated, DefaultVersion: 1, LatestVersion: 1, Versions: 1},
		version: rows.SsmDocumentVersion{
			Document: name, Version: 1, Format: ssmdoc.JSON, SchemaVersion: facts.schema, Platforms: facts.platforms,
			Hash: hash(content), Created: amazonCreated,
		},
		content: content,
	}, nil
}

// hash is a content's SHA-256, in hexadecimal.
func hash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}
