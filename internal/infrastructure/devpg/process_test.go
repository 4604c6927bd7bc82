package devpg_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// processEnv holds the job of a child process as JSON: the test binary, run again.
const processEnv = "DEVPG_TEST_PROCESS"

// job is what a child process does: Start, say so, work until its standard input ends, Stop.
type job struct {
	Options          processOptions
	Insert           bool // add rows to a table and report each commit
	NothingInstalled bool // see devpg.NothingInstalled
	Idle             bool // start nothing
}

// processOptions are the devpg.Options that survive JSON.
type processOptions struct {
	DatabaseURL string
	StateDir    string
	Ephemeral   bool
}

// message is one line of a child's standard output.
type message struct {
	Attempt   string
	Ready     *ready
	Committed int
	Err       string
}

type ready struct {
	Pid               int
	Attached          bool
	Owner, App, Super string
	DataDirectory     string
	Took              time.Duration
}

func processMain(raw string) int {
	syscall.Umask(0o077) // the strictest a shell may have set
	out := json.NewEncoder(os.Stdout)
	var j job
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		panic(err)
	}
	if err := j.run(func(m message) { _ = out.Encode(m) }); err != nil {
		_ = out.Encode(message{Err: err.Error()})
		return 1
	}
	return 0
}

func (j job) run(say func(message)) error {
	if j.Idle {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	begin := time.Now()
	var changes []devpg.Change
	if j.NothingInstalled {
		changes = append(changes, devpg.NothingInstalled)
	}
	server, err := devpg.StartOn(ctx, devpg.Options{
		DatabaseURL: j.Options.DatabaseURL,
		StateDir:    j.Options.StateDir,
		Ephemeral:   j.Options.Ephemeral,
		Report:      func(a devpg.Attempt) { say(message{Attempt: a.String()}) },
	}, changes...)
	if err != nil {
		return err
	}
	r := ready{
		Pid: server.Pid(), Attached: server.Attached(), Took: time.Since(begin),
		Owner: server.OwnerURL(""), App: server.AppURL(""), Super: server.SuperURL(""),
	}
	config, err := pgx.ParseConfig(r.Super)
	if err != nil {
		return err
	}
	config.ValidateConnect = nil // PGTARGETSESSIONATTRS is one of the variables that tests export
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&r.DataDirectory); err != nil {
		return err
	}
	if err := conn.Close(ctx); err != nil {
		return err
	}
	say(message{Ready: &r})
	if j.Insert {
		return insertForever(ctx, r.Owner, say)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return server.Stop(ctx)
}

// insertForever adds one row per commit; it ends with this process.
func insertForever(ctx context.Context, url string, say func(message)) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS entries (n bigint PRIMARY KEY)"); err != nil {
		return err
	}
	for {
		var n int
		err := conn.QueryRow(ctx, "INSERT INTO entries SELECT coalesce(max(n), 0) + 1 FROM entries RETURNING n").Scan(&n)
		if err != nil {
			return err
		}
		say(message{Committed: n})
	}
}

// process is a running child process.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	stdin    io.Closer
	messages chan message // closed at the end of the output
	attempts []string
}

// processConfig says who runs the child and with which environment.
type processConfig struct {
	uid uint32 // 0: as this process
	env []string
}

// startProcess runs the job in a process of its own, which the end of the test kills.
func startProcess(t *testing.T, c processConfig, j job) *process {
	t.Helper()
	raw, err := json.Marshal(j)
	require.NoError(t, err)
	cmd := exec.Command(testBinary(t))
	cmd.Dir = privateDir(t, c.uid) // Postgres may not enter the working directory of whoever starts it
	cmd.Env = append([]string{processEnv + "=" + string(raw), bindirVariable + "=" + os.Getenv(bindirVariable), "TMPDIR=" + os.TempDir()}, c.env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if c.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: c.uid, Gid: c.uid}
	}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{t: t, cmd: cmd, stdin: stdin, messages: make(chan message)}
	go p.read(stdout)
	t.Cleanup(func() { p.kill() })
	return p
}

// read parses messages until the child ends; it ends for sure because kill drains the channel.
func (p *process) read(stdout io.Reader) {
	defer close(p.messages)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			m = message{Err: fmt.Sprintf("child printed %q", lines.Text())}
		}
		p.messages <- m
	}
}

// kill ends the child as kill -9 does and returns what it had still said. Calling it again is safe.
func (p *process) kill() []message {
	_ = p.cmd.Process.Kill() // it may have ended already
	var rest []message
	for m := range p.messages {
		rest = append(rest, m)
	}
	_ = p.cmd.Wait()
	return rest
}

// ready waits until the child has its server.
func (p *process) ready() ready {
	p.t.Helper()
	for m := range p.messages {
		switch {
		case m.Attempt != "":
			p.attempts = append(p.attempts, m.Attempt)
		case m.Ready != nil:
			return *m.Ready
		case m.Err != "":
			require.FailNow(p.t, "child failed", m.Err)
		}
	}
	require.FailNow(p.t, "child ended without a server")
	return ready{}
}

// failure waits until the child has failed and returns its error.
func (p *process) failure() string {
	p.t.Helper()
	for m := range p.messages {
		switch {
		case m.Attempt != "":
			p.attempts = append(p.attempts, m.Attempt)
		case m.Err != "":
			return m.Err
		case m.Ready != nil:
			require.FailNow(p.t, "child has a server and should not", m.Ready.DataDirectory)
		}
	}
	require.FailNow(p.t, "child ended without a word")
	return ""
}

// stop lets the child end the way Ctrl-C does.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.stdin.Close())
	for m := range p.messages {
		require.Empty(p.t, m.Err)
	}
	require.NoError(p.t, p.cmd.Wait())
}

// testBinary is a copy of this binary that every user may execute; go test builds into a private directory.
func testBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(openDir(t), "devpg.test")
	require.NoError(t, copyFile(self, path))
	return path
}

func copyFile(from, to string) error {
	if err := os.Link(from, to); err == nil {
		return os.Chmod(to, 0o755)
	}
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeProgram(to, raw)
}

// writeProgram writes a file that can be executed at once. A child that another test forks while the file is open
// for writing holds it open until it has executed its own program, and the kernel refuses to run it until then
// (ETXTBSY, golang.org/issue/22315): so nothing forks meanwhile.
func writeProgram(path string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, content, 0o755)
}
