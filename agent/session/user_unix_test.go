//go:build unix

package session

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestDress gives programs their surroundings: those of another user see nothing of the agent's that may be secret.
func TestDress(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_SECRET_ACCESS_KEY": "s", "HTTPS_PROXY": "http://me:secret@proxy", "VENNEL_X": "s", "PATHS": "s", "LANGUAGES": "s",
		"PATH": "/bin:/odd", "LANG": "de_DE.UTF-8", "LC_TIME": "C", "TZ": "UTC",
	} {
		t.Setenv(name, value)
	}
	kept := []string{"PATH=/bin:/odd", "LANG=de_DE.UTF-8", "LC_TIME=C", "TZ=UTC", "HOME=/nowhere", "USER=u", "LOGNAME=u", "TERM=xterm-256color"}
	for _, a := range []*account{{name: "u", home: "/nowhere"}, {name: "u", home: "/nowhere", credential: &syscall.Credential{Uid: 7}}} {
		var cmd exec.Cmd
		a.dress(&cmd)
		for _, want := range kept {
			if !slices.Contains(cmd.Env, want) {
				t.Errorf("%v: no %s", a.credential, want)
			}
		}
		secret := slices.ContainsFunc(cmd.Env, func(v string) bool {
			name, _, _ := strings.Cut(v, "=")
			return slices.Contains([]string{"AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "VENNEL_X", "PATHS", "LANGUAGES"}, name)
		})
		if secret != (a.credential == nil) {
			t.Errorf("%v: %q", a.credential, cmd.Env)
		}
	}
}
