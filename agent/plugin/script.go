package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The bounds of timeoutSeconds, and what stands for a value outside of them. source: agent
const (
	leastTimeout   = 5
	mostTimeout    = 172800
	defaultTimeout = 3600
)

// interpreter is what runs a script.
type interpreter struct {
	file    string   // the name of the script's file
	mark    bool     // whether the file begins with a byte order mark
	command []string // to which the file's path is added
}

// lines are lines of a script: a list of texts, or one text.
type lines []string

// UnmarshalJSON takes both forms.
func (l *lines) UnmarshalJSON(b []byte) error {
	var all []Scalar
	if err := json.Unmarshal(b, &all); err != nil {
		var one Scalar
		if json.Unmarshal(b, &one) != nil {
			return errors.New("runCommand must be a list of lines")
		}
		all = []Scalar{one}
	}
	for _, line := range all {
		*l = append(*l, string(line))
	}
	return nil
}

// scriptInput are the inputs of both script plugins.
type scriptInput struct {
	RunCommand       lines             `json:"runCommand"`
	WorkingDirectory Scalar            `json:"workingDirectory"`
	TimeoutSeconds   Scalar            `json:"timeoutSeconds"`
	Environment      map[string]Scalar `json:"environment"`
}

// runScript writes a script and runs it.
func runScript(ctx context.Context, s *Step, by interpreter) Result {
	var in scriptInput
	if err := s.Input(&in); err != nil {
		return s.Fail(err)
	}
	if s.Inputs["runCommand"] == nil {
		return s.Fail(errors.New("runCommand must be given"))
	}
	folder, err := s.workingDirectory(string(in.WorkingDirectory))
	if err != nil {
		return s.Fail(err)
	}
	name := filepath.Join(s.Dir, by.file)
	if err := writeScript(name, by.mark, in.RunCommand); err != nil {
		return s.Fail(fmt.Errorf("failed to create script file: %w", err))
	}
	ctx, cancel := context.WithTimeout(ctx, timeout(string(in.TimeoutSeconds)))
	defer cancel()
	cmd := exec.Command(by.command[0], append(slices.Clone(by.command[1:]), name)...) //nolint:noctx // run ends it with its whole group
	cmd.Dir = folder
	cmd.Env = s.environment(in.Environment)
	err = run(ctx, cmd, s.Stdout, s.Stderr)
	if stopped, ok := errors.AsType[*stopError](err); ok {
		return Result{stopped.status(), killedCode}
	}
	code := 1
	if cmd.ProcessState != nil {
		code = cmd.ProcessState.ExitCode()
	}
	switch {
	case err == nil:
		return Result{Success, 0}
	case code == rebootCode:
		return Result{SuccessAndReboot, code}
	}
	fmt.Fprintf(s.Stderr, "failed to run commands: %v", err)
	return Result{Failed, code}
}

// timeout reads timeoutSeconds, which documents write as a number or as a text.
func timeout(text string) time.Duration {
	n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || !(n >= leastTimeout && n <= mostTimeout) {
		n = defaultTimeout
	}
	return time.Duration(int(n)) * time.Second
}

// writeScript writes the file that is run.
func writeScript(name string, mark bool, script lines) error {
	text := strings.Join(script, "\n") + "\n"
	if mark {
		text = "\ufeff" + text
	}
	if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
		return err
	}
	return os.Chmod(name, 0o700) // whatever the umask says
}

// workingDirectory is where a script starts: in the downloads if the folder given is one of them or
// none, otherwise in the agent's own folder. An absolute path must exist: a script must not run in
// another folder than the one that it was written for.
func (s *Step) workingDirectory(given string) (string, error) {
	folder := given
	if !filepath.IsAbs(given) {
		folder = filepath.Join(s.Downloads, given)
	}
	info, err := os.Stat(folder)
	switch {
	case err == nil && info.IsDir():
		return folder, nil
	case filepath.IsAbs(given):
		return "", fmt.Errorf("the working directory %s does not exist", given)
	}
	return "", nil
}

// environment is the agent's own environment with the document's and the agent's additions. Where
// a name comes up twice the later value holds.
func (s *Step) environment(given map[string]Scalar) []string {
	env := os.Environ()
	for name, value := range given {
		env = append(env, name+"="+string(value))
	}
	if s.Node.Credentials != "" {
		env = append(env, "AWS_SHARED_CREDENTIALS_FILE="+s.Node.Credentials)
	}
	return append(env,
		"SSM_COMMAND_ID="+s.Command,
		"AWS_SSM_INSTANCE_ID="+s.Node.InstanceID,
		"AWS_SSM_REGION_NAME="+s.Node.Region,
		"AWS_SSM_PLATFORM_NAME="+s.Node.Platform.Name,
		"AWS_SSM_PLATFORM_VERSION="+s.Node.Platform.Version,
	)
}
