package document

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
)

// creatable are the types of documents that can be created here: those that something here runs.
var creatable = []string{ssm.DocumentTypeCommand, ssm.DocumentTypePolicy, ssm.DocumentTypeSession}

// checkType refuses types that nothing here runs.
func checkType(kind string) error {
	if slices.Contains(creatable, kind) {
		return nil
	}
	return ssm.ErrInvalidDocumentType("Documents of the type %s cannot be created here, because nothing here would run them. The types that can be created are %s.",
		kind, strings.Join(creatable, ", "))
}

// checkAttachments refuses attachments: their files are kept in S3, and nothing here keeps them.
func checkAttachments(list []ssm.AttachmentsSource) error {
	if len(list) == 0 {
		return nil
	}
	return api.Errorf(api.Invalid, "Attachments cannot be stored here: they need Amazon S3, which does not keep the files of documents here.")
}

// facts are what is kept of a content beside its text.
type facts struct{ schema, platforms string }

// check checks a content whole and tells what it is. What was read of it is remembered, so that the
// transaction which stores it need not read it again: that can take longer than others should wait.
func check(kind, format, content string) (*facts, error) {
	if len(content) > ssmdoc.MostContent {
		return nil, ssm.ErrMaxDocumentSizeExceeded("The size limit of a document is 64 KB.") // source: model
	}
	if format == ssmdoc.JSON {
		if err := wellFormed([]byte(content)); err != nil {
			return nil, err
		}
	}
	root, err := ssmdoc.Tree([]byte(content), format)
	if err != nil {
		return nil, invalid(err)
	}
	schema := ssmdoc.Text(root["schemaVersion"])
	if len(schema) == 1 {
		schema += ".0" // YAML takes an unquoted 2.0 for the number 2
	}
	if err := checkSchema(kind, schema); err != nil {
		return nil, err
	}
	json, err := ssmdoc.Convert([]byte(content), format, ssmdoc.JSON)
	if err != nil {
		return nil, invalid(err)
	}
	var doc *ssmdoc.Document
	platforms := []string{ssm.PlatformTypeWindows, ssm.PlatformTypeLinux, ssm.PlatformTypeMacOS}
	switch {
	case kind == ssm.DocumentTypeSession:
		if what := sessionFlaw(root); what != "" {
			return nil, ssm.ErrInvalidDocumentContent("%s", what)
		}
		doc, err = parseSession(json)
	case root["sessionType"] != nil:
		return nil, ssm.ErrInvalidDocumentContent(`Unknown property "sessionType".`) // source: aws
	default:
		if doc, err = ssmdoc.Parse([]byte(content), format); err == nil {
			platforms = doc.PlatformTypes()
		}
	}
	if err != nil {
		return nil, invalid(err)
	}
	readings.keep(keyOf(kind, format, hash(content)), &reading{json, doc})
	return &facts{schema, strings.Join(platforms, ",")}, nil
}

// checkAhead checks a content before the type of its document is known: for the type that it looks
// like. Asked for another, it finds the fault at once.
func checkAhead(format, content string) func(kind string) (*facts, error) {
	likely := ssm.DocumentTypeCommand
	if root, err := ssmdoc.Tree([]byte(content), format); err == nil && root["sessionType"] != nil {
		likely = ssm.DocumentTypeSession
	}
	f, err := check(likely, format, content)
	return func(kind string) (*facts, error) {
		if (kind == ssm.DocumentTypeSession) != (likely == ssm.DocumentTypeSession) {
			return check(kind, format, content)
		}
		if err != nil {
			return nil, err
		}
		return f, checkSchema(kind, f.schema)
	}
}

// checkSchema refuses the schemas of other types. source: userguide, "Schemas, features, and examples"
func checkSchema(kind, schema string) error {
	var other bool
	switch kind {
	case ssm.DocumentTypeSession:
		other = schema != sessionSchema
	case ssm.DocumentTypePolicy:
		other = !strings.HasPrefix(schema, "2.")
	default:
		other = schema == "0.3"
	}
	if other {
		return ssm.ErrInvalidDocumentSchemaVersion("%s is not a valid schema version for %s document type", schema, kind) // source: aws
	}
	return nil
}

// invalid says that a content is not valid, and why.
func invalid(err error) error {
	if e, ok := errors.AsType[*ssmdoc.Error](err); ok {
		return ssm.ErrInvalidDocumentContent("%s", e.Message)
	}
	return err
}

// wellFormed refuses what is not JSON, and says where. source: aws
func wellFormed(content []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(content))
	err := d.SkipValue()
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		before := content[:min(int(s.ByteOffset), len(content))]
		return ssm.ErrInvalidDocumentContent("JSON not well-formed. at Line: %d, Column: %d",
			1+bytes.Count(before, []byte("\n")), len(before)-bytes.LastIndexByte(before, '\n'))
	}
	return nil // what else is wrong, an end that comes too early among it, is found later
}
