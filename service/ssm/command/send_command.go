package command

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/vennel/vennel/api"
	"github.com/vennel/vennel/api/ssm"
	"github.com/vennel/vennel/api/ssmdoc"
	"github.com/vennel/vennel/service/iam"
	"github.com/vennel/vennel/service/ssm/command/internal/rows"
	"github.com/vennel/vennel/service/ssm/document"
	"github.com/vennel/vennel/service/ssm/fleet"
	"github.com/vennel/vennel/store"
)

// Defaults. source: model
const (
	deliverySeconds       = 3600
	defaultMaxConcurrency = "50"
	defaultMaxErrors      = "0"
)

// The bounds of a step's timeoutSeconds, and what stands for a value outside of them. source: agent
const (
	leastExecution   = 5
	mostExecution    = 172800
	defaultExecution = 3600
)

// SendCommand runs a document on nodes, which are named or found by their tags. Everything that a
// node could not report properly is refused here: a document or parameters that are not whole, a
// node that is not there or cannot run the document.
func (c *Commands) SendCommand(ctx context.Context, in *ssm.SendCommandInput) (*ssm.SendCommandOutput, error) {
	call := api.CallFrom(ctx)
	caller, err := c.iam.Save(ctx)
	if err != nil {
		return nil, err
	}
	id := uuid.NewString()
	out := new(ssm.SendCommandOutput)
	err = c.db.Update(ctx, func(tx *store.Tx) error {
		doc, err := document.Resolve(ctx, tx, call.Account, call.Region, in.DocumentName, api.Or(in.DocumentVersion, ""))
		if err := c.allow(ctx, tx, in, doc); err != nil {
			return err
		}
		if err := checkTargets(in); err != nil {
			return err
		}
		if err != nil {
			return err
		}
		if err := checkDocument(in, doc); err != nil {
			return err
		}
		values, err := doc.Parsed.Resolve(in.Parameters)
		if err != nil {
			return ssm.ErrInvalidParameters("%s", err.Error())
		}
		if err := checkReferences(values); err != nil {
			return err
		}
		row, err := newCommand(id, caller, call, in, doc, values)
		if err != nil {
			return err
		}
		if err := rows.New(tx).PutCommand(ctx, row); err != nil {
			return err
		}
		content, err := jobContent(id, in, doc, values)
		if err != nil {
			return err
		}
		topic := "aws.ssm.sendCommand." + call.Region + "." + doc.Name
		if err := fleet.PutMessage(ctx, tx, id, topic, content, time.UnixMilli(row.Expires).Add(messageKept)); err != nil {
			return err
		}
		l := open(tx, call.Time)
		made, err := l.command(ctx, id)
		if err != nil {
			return err
		}
		if err := checkNodes(ctx, tx, in, doc.Parsed.PlatformTypes()); err != nil {
			return err
		}
		if err := c.expand(ctx, l, made); err != nil {
			return err
		}
		if err := l.close(ctx); err != nil {
			return err
		}
		out.Command, err = c.answer(made)
		return err
	})
	return out, err
}

// messageKept is how long what a command says is kept after the command has expired, for commands
// whose targets took their turns.
const messageKept = 30 * 24 * time.Hour

// checkTargets refuses targets that cannot be looked up.
func checkTargets(in *ssm.SendCommandInput) error {
	if len(in.InstanceIds) == 0 && len(in.Targets) == 0 {
		return api.Errorf(api.Invalid, "Either InstanceIds or Targets must be specified")
	}
	if len(in.InstanceIds) > 0 && len(in.Targets) > 0 {
		return api.Errorf(api.Invalid, "InstanceIds and Targets cannot both be specified")
	}
	for i, id := range in.InstanceIds {
		if slices.Contains(in.InstanceIds[:i], id) {
			return ssm.ErrDuplicateInstanceId("%s", id)
		}
	}
	for _, t := range in.Targets {
		key := api.Or(t.Key, "")
		switch {
		case strings.HasPrefix(key, "resource-groups:"):
			return api.Errorf(api.Invalid, "Targets by resource group are not supported; use tags (tag:NAME) or InstanceIds")
		case key != "InstanceIds" && key != "tag-key" && (!strings.HasPrefix(key, "tag:") || key == "tag:"):
			return api.Errorf(api.Invalid, "The target key %s is not valid; use InstanceIds, tag:NAME or tag-key", key)
		case len(t.Values) == 0:
			return api.Errorf(api.Invalid, "The target %s has no values", key)
		}
	}
	if in.AlarmConfiguration != nil {
		return api.Errorf(api.Invalid, "AlarmConfiguration is not supported: there are no CloudWatch alarms that could stop the command")
	}
	if n := in.NotificationConfig; n != nil && api.Or(n.NotificationArn, "") != "" && in.ServiceRoleArn == nil {
		return ssm.ErrInvalidRole("A ServiceRoleArn is required to send notifications")
	}
	return nil
}

// stored is a reference to a parameter of Parameter Store: more than ssmdoc.Reference, which is what nodes
// can resolve.
var stored = regexp.MustCompile(`\{\{\s*ssm(-secure)?:[^}]*\}\}`)

// checkReferences refuses values that name what is not here, instead of letting nodes take the name for
// the value.
func checkReferences(values map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if found := stored.FindString(ssmdoc.Text(values[name])); found != "" {
			return ssm.ErrInvalidParameters("Parameter %s refers to %s, but there is no Parameter Store here", name, found)
		}
	}
	return nil
}

// allow asks whether the caller may use the document, every named node, and the bucket. Nodes found
// by tags are asked for one by one when they are found. doc is nil when there is no such document.
func (c *Commands) allow(ctx context.Context, tx *store.Tx, in *ssm.SendCommandInput, doc *document.Content) error {
	call := api.CallFrom(ctx)
	const action = "ssm:SendCommand"
	_, arn := document.Name(call.Account, call.Region, in.DocumentName)
	var tags map[string]string
	if doc != nil {
		arn, tags = doc.ARN, doc.Tags
	}
	if err := iam.Allow(ctx, action, arn, iam.ResourceTags(tags)); err != nil {
		return err
	}
	for _, id := range in.InstanceIds {
		tags, err := c.fleet.Tags(ctx, tx, call.Account, call.Region, id)
		if err != nil {
			return err
		}
		if err := iam.Allow(ctx, action, fleet.ARN(call.Region, call.Account, id), iam.ResourceTags(tags)); err != nil {
			return err
		}
	}
	if in.OutputS3BucketName != nil {
		return iam.Allow(ctx, action, api.ARN("s3", "", "", *in.OutputS3BucketName))
	}
	return nil
}

// checkDocument refuses a document that is not a command, or not the one that the caller means.
func checkDocument(in *ssm.SendCommandInput, doc *document.Content) error {
	if doc.Type != ssm.DocumentTypeCommand {
		return ssm.ErrInvalidDocument("The document %s is of type %s; SendCommand needs one of type Command", doc.Name, doc.Type)
	}
	if in.DocumentHash != nil {
		if api.Or(in.DocumentHashType, ssm.DocumentHashTypeSha256) != ssm.DocumentHashTypeSha256 || !strings.EqualFold(*in.DocumentHash, doc.Hash) {
			return ssm.ErrInvalidDocument("The document hash does not match that of %s, version %s", doc.Name, doc.Version)
		}
	}
	return nil
}

// checkNodes refuses named nodes that are not there or on which the document does nothing.
func checkNodes(ctx context.Context, tx *store.Tx, in *ssm.SendCommandInput, platforms []string) error {
	call := api.CallFrom(ctx)
	var absent []string
	for _, id := range in.InstanceIds {
		node, ok, err := fleet.Find(ctx, tx, call.Account, call.Region, id)
		if err != nil {
			return err
		}
		if !ok {
			absent = append(absent, id)
		} else if !runs(platforms, node.Platform) {
			return ssm.ErrUnsupportedPlatformType("The document %s does not support the platform type %s of %s", in.DocumentName, node.Platform, id)
		}
	}
	if len(absent) > 0 { // source: aws
		return ssm.ErrInvalidInstanceId("Instances [[%s]] not in a valid state for account %s", strings.Join(absent, ", "), call.Account)
	}
	return nil
}

// runs says whether a document does something on a platform; a node that has not said what it is
// gets the benefit of the doubt.
func runs(platforms []string, platform string) bool {
	return platform == "" || slices.Contains(platforms, platform)
}

// newCommand is the row of a new command.
func newCommand(id, caller string, call *api.Call, in *ssm.SendCommandInput, doc *document.Content, values map[string]any) (rows.PutCommandParams, error) {
	p := rows.PutCommandParams{
		ID: id, Account: call.Account, Region: call.Region, Requested: call.Time.UnixMilli(), Document: doc.Name, Version: doc.Version,
		Comment: api.Or(in.Comment, ""), Caller: caller, Timeout: api.Or(in.TimeoutSeconds, deliverySeconds), Execution: executionTime(doc.Parsed, values),
		Expanding: true, MaxConcurrency: api.Or(in.MaxConcurrency, defaultMaxConcurrency), MaxErrors: api.Or(in.MaxErrors, defaultMaxErrors),
	}
	p.Expires = call.Time.Add(seconds(p.Timeout + p.Execution)).UnixMilli()
	steps := make([]step, len(doc.Parsed.Steps))
	for i, s := range doc.Parsed.Steps {
		steps[i] = step{Name: s.Name, Plugin: s.Action}
	}
	r := request{
		Parameters: in.Parameters, InstanceIDs: in.InstanceIds, Targets: in.Targets, S3Region: in.OutputS3Region, S3Bucket: in.OutputS3BucketName,
		S3Prefix: in.OutputS3KeyPrefix, ServiceRole: in.ServiceRoleArn, Notification: in.NotificationConfig, CloudWatch: in.CloudWatchOutputConfig,
		DocumentVersion: api.Or(in.DocumentVersion, ""),
	}
	for to, v := range map[*string]any{&p.Request: r, &p.Steps: steps, &p.Platforms: doc.Parsed.PlatformTypes()} {
		text, err := json.Marshal(v)
		if err != nil {
			return p, err
		}
		*to = string(text)
	}
	return p, nil
}

// executionTime is how many seconds a document may take: the sum of its steps' timeouts, as agents
// read them.
func executionTime(doc *ssmdoc.Document, values map[string]any) int64 {
	total := int64(0)
	for _, s := range doc.Steps {
		for _, inputs := range s.Inputs {
			text := ssmdoc.Text(ssmdoc.Substitute(inputs["timeoutSeconds"], values))
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil || !(n >= leastExecution && n <= mostExecution) {
				n = defaultExecution
			}
			total += int64(n)
		}
	}
	return max(total, 1)
}

// content is a job as agents read it. Parameters are not put in: the agent does that.
type content struct {
	Parameters              map[string]any
	DocumentContent         jsontext.Value
	CommandID               string `json:"CommandId"`
	DocumentName            string
	OutputS3KeyPrefix       string
	OutputS3BucketName      string
	CloudWatchLogGroupName  string
	CloudWatchOutputEnabled string
}

// jobContent writes a job. Parameters that were not given are left to the document's defaults.
func jobContent(id string, in *ssm.SendCommandInput, doc *document.Content, values map[string]any) (string, error) {
	j := content{
		Parameters: map[string]any{}, DocumentContent: doc.Text, CommandID: id, DocumentName: doc.Name,
		OutputS3KeyPrefix: api.Or(in.OutputS3KeyPrefix, ""), OutputS3BucketName: api.Or(in.OutputS3BucketName, ""), CloudWatchOutputEnabled: "false",
	}
	for name := range in.Parameters {
		j.Parameters[name] = values[name]
		if m, ok := values[name].(map[string]any); ok {
			j.Parameters[name] = ssmdoc.Text(m) // agents want a map as its JSON text
		}
	}
	if w := in.CloudWatchOutputConfig; w != nil {
		j.CloudWatchLogGroupName = api.Or(w.CloudWatchLogGroupName, "")
		if api.Or(w.CloudWatchOutputEnabled, false) {
			j.CloudWatchOutputEnabled = "true"
		}
	}
	text, err := json.Marshal(j, json.Deterministic(true))
	return string(text), err
}
