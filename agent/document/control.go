package document

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/vennel/vennel/agent/platform"
	"github.com/vennel/vennel/agent/plugin"
	"github.com/vennel/vennel/api/ssmdoc"
)

// Codes with which a script ends the whole document. source: userguide ("Using exit codes in
// commands"), agent
const (
	exitSuccess = 168
	exitFailure = 169
)

// judge decides about a step: run it with the plugin that is returned, or give it a status at once.
func (r *Runner) judge(plan *Plan, j *Journal, i int) (plugin.Plugin, plugin.Status, string) {
	step := &plan.Steps[i]
	last := i == len(plan.Steps)-1
	for _, before := range j.Steps[:i] {
		if before.Stop && !(last && step.control("finallyStep") == "true") {
			return nil, plugin.Skipped, fmt.Sprintf("Step %s was skipped because step %s ended the document.", step.Name, before.Name)
		}
	}
	run := r.find(step.Action)
	known := ssmdoc.Known(step.Action)
	here := run != nil || ssmdoc.RunsOn(step.Action, platform.Type())
	met, flaw := step.met()
	unknown := fmt.Sprintf("Step %s needs the plugin %s, which this version of the agent does not know.", step.Name, step.Action)
	absent := fmt.Sprintf("Step %s needs the plugin %s, which does not exist for %s.", step.Name, step.Action, platform.Type())
	if plan.Schema == "2.2" {
		switch {
		case known && !here: // documents for several platforms rely on it
			return nil, plugin.Skipped, absent
		case !met:
			return nil, plugin.Skipped, fmt.Sprintf("Step %s was skipped because its precondition is not met: %s.", step.Name, flaw)
		case !known:
			return nil, plugin.Failed, unknown
		}
	}
	switch {
	case !known:
		return nil, plugin.Failed, unknown
	case flaw != "":
		return nil, plugin.Failed, fmt.Sprintf("The precondition of step %s cannot be judged: %s.", step.Name, flaw)
	case !here:
		return nil, plugin.Failed, absent
	case run == nil:
		return nil, plugin.Failed, fmt.Sprintf("Step %s needs the plugin %s, which this agent does not have.", step.Name, step.Action)
	}
	return run, "", ""
}

// find gives the plugin of a name, or nil.
func (r *Runner) find(name string) plugin.Plugin {
	if name == "aws:runDocument" {
		return r.runDocument
	}
	return plugin.Find(name)
}

// met judges a step's precondition. The text says what is not met, or else what is wrong.
func (s *Step) met() (met bool, flaw string) {
	if s.Flaw != "" {
		return true, s.Flaw
	}
	for _, c := range s.Conditions {
		if met, flaw := c.met(); !met || flaw != "" {
			return met, flaw
		}
	}
	return true, ""
}

// anyReference is a reference to a stored parameter, secret or not.
var anyReference = regexp.MustCompile(`{{\s*ssm(-secure)?:`)

// met judges a condition. One that cannot fail, or not be met, is taken for a mistake. source: agent
func (c *Condition) met() (met bool, flaw string) {
	given, is := c.Given, c.Is
	if given[1] == "platformType" {
		given[0], given[1], is[0], is[1] = given[1], given[0], is[1], is[0]
	}
	switch {
	case given[0] == given[1]:
		return true, "the operands of StringEquals are the same"
	case anyReference.MatchString(is[0]) || anyReference.MatchString(is[1]):
		return true, "the operands of StringEquals must not refer to stored parameters"
	case given[0] == "platformType" && given[1] != is[1]:
		return true, "the platform type must not be a parameter"
	case given[0] == "platformType" && !strings.EqualFold(given[1], platform.Type()):
		return false, "the platform is not " + given[1]
	case given[0] == "platformType":
		return true, ""
	case given == is:
		return true, "one of the operands of StringEquals must be platformType or contain a parameter"
	case is[0] != is[1]:
		return false, given[0] + " is not " + given[1]
	}
	return true, ""
}

// remark changes a result according to the codes and inputs that end a document, and says so in
// the output.
func (s *Step) remark(r plugin.Result, out *Output) plugin.Result {
	onFailure := s.control("onFailure")
	switch {
	case r.Code == exitSuccess:
		out.Stdout += "\nThe step ended with code 168: it counts as a success, and the steps after it are skipped."
		out.Stderr = ""
		r.Status = plugin.Success
	case r.Code == exitFailure:
		const remark = "\nThe step ended with code 169: it has failed, and the steps after it are skipped."
		out.Stdout += remark
		out.Stderr += remark
	case r.Status == plugin.Failed && (onFailure == "exit" || onFailure == "successAndExit"):
		remark := "\nThe step has failed and has onFailure " + onFailure + ": the steps after it are skipped."
		out.Stdout += remark
		out.Stderr += remark
		if onFailure == "successAndExit" {
			return plugin.Result{Status: plugin.Success, Code: exitSuccess}
		}
	}
	return r
}

// stops says whether a step with that result ends the document.
func (s *Step) stops(r plugin.Result) bool {
	return r.Code == exitSuccess || r.Code == exitFailure ||
		r.Status == plugin.Failed && s.control("onFailure") == "exit" ||
		r.Status == plugin.Success && s.control("onSuccess") == "exit"
}
