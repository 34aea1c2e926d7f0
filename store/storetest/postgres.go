package storetest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// cluster starts the process's PostgreSQL server on first use.
var cluster = sync.OnceValues(startCluster)

// server is a running PostgreSQL server.
type server struct {
	dir   string   // holds its socket and all it keeps
	alive *os.File // the pipe whose closing, at the end of the process, ends it
}

// errNoPostgres says that the programs are not installed.
var errNoPostgres = errors.New("no initdb and pg_ctl in PATH or /usr/lib/postgresql/*/bin")

// Postgres returns the address of a fresh and empty database on a server that lives as long as the test process and keeps nothing. Without PostgreSQL on
// the machine the test is skipped, or fails if REQUIRE=1 is in the environment.
func Postgres(t testing.TB) string {
	t.Helper()
	srv, err := cluster()
	switch {
	case errors.Is(err, errNoPostgres) && os.Getenv("REQUIRE") != "1":
		t.Skipf("SKIPPED, NOT TESTED ON POSTGRESQL: %v", err)
	case err != nil:
		t.Fatalf("start PostgreSQL: %v", err)
	}
	name := "test_" + strings.ToLower(rand.Text()[:12])
	srv.admin(t, `CREATE DATABASE `+name+` TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'`)
	t.Cleanup(func() { srv.admin(t, `DROP DATABASE `+name+` WITH (FORCE)`) })
	return srv.url(name)
}

// url returns the address of a database.
func (s *server) url(name string) string {
	return (&url.URL{Scheme: "postgres", Path: "/" + name, RawQuery: url.Values{"host": {s.dir}, "user": {"vennel"}}.Encode()}).String()
}

// admin runs a statement outside any test's database.
func (s *server) admin(t testing.TB, statement string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		t.Fatalf("connect to PostgreSQL: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }() // the statement is done
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// keeper is the shell script that starts the server, says so, waits for the end of its standard input, which is the end of the test process however
// that comes, and removes all traces.
const keeper = `
"$1/pg_ctl" -D "$2/data" -l "$2/server.log" -w -s -o "-k '$2' -c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=400 \
	-c shared_buffers=32MB -c autovacuum=off -c max_wal_size=4GB" start </dev/null || { cat "$2/server.log"; rm -rf "$2"; exit 1; }
echo ready
read -r _
"$1/pg_ctl" -D "$2/data" -m immediate -s stop
rm -rf "$2"
`

// startCluster makes a throw-away cluster and starts its server. It only waits for processes, not for time, so it works in a synctest bubble.
func startCluster() (*server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "vennel-pg-")
	if err != nil {
		return nil, err
	}
	as := &syscall.SysProcAttr{Setpgid: true} // An interrupt from the terminal is for the tests.
	if os.Geteuid() == 0 {
		// The server refuses to run as root.
		if as.Credential, err = unprivileged(); err != nil {
			return nil, err
		}
		if err := os.Chown(dir, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"), "-U", "vennel", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, as
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	shell := exec.Command("/bin/sh", "-c", keeper, "sh", bin, dir)
	shell.Dir, shell.SysProcAttr = dir, as
	stdin, stdinWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, stdoutWriter, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	shell.Stdin, shell.Stdout = stdin, stdoutWriter
	if err := shell.Start(); err != nil {
		return nil, err
	}
	if err := errors.Join(stdin.Close(), stdoutWriter.Close()); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return nil, fmt.Errorf("the server does not start: %s: %w", line, err)
	} else if line != "ready\n" {
		return nil, fmt.Errorf("the server does not start: %s", line)
	}
	return &server{dir, stdinWriter}, nil
}

// programs returns the folder of PostgreSQL's programs.
func programs() (string, error) {
	folders, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	if path, err := exec.LookPath("pg_ctl"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			folders = append(folders, filepath.Dir(path))
		}
	}
	for _, folder := range slices.Backward(folders) {
		if _, err := exec.LookPath(filepath.Join(folder, "initdb")); err != nil {
			continue
		}
		if _, err := exec.LookPath(filepath.Join(folder, "pg_ctl")); err == nil {
			return folder, nil
		}
	}
	return "", errNoPostgres
}

// unprivileged returns a user that may run the server.
func unprivileged() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("no user postgres or nobody to run the server as")
}
