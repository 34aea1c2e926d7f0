package plugin

import "context"

// runShellScript is aws:runShellScript. The script is run by its path, so that a first line with
// #! counts.
func runShellScript(ctx context.Context, s *Step) Result {
	return runScript(ctx, s, interpreter{file: "_script.sh", command: []string{"sh", "-c"}})
}
