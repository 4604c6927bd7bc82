package devpg_test

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// openDir is a temporary directory that other users may enter; t.TempDir is private.
func openDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o755))
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// onDisk is an openDir that is not in memory.
func onDisk(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(diskDir, "devpg-test-") //nolint:usetesting // t.TempDir cannot choose the disk
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// privateDir is a temporary directory that only this user may enter.
func privateDir(t *testing.T, uid uint32) string {
	t.Helper()
	dir := openDir(t)
	require.NoError(t, os.Chmod(dir, 0o700))
	if uid != 0 {
		require.NoError(t, os.Chown(dir, int(uid), int(uid)))
	}
	return dir
}

func within(t *testing.T, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// start is devpg.Start that must work, with the local binaries unless the options or changes say otherwise; the
// server ends with the test.
func start(t *testing.T, o devpg.Options, changes ...devpg.Change) *devpg.Server {
	t.Helper()
	if o.Getenv == nil {
		o.Getenv = environment(bindirVariable, os.Getenv(bindirVariable))
	}
	if o.Docker == nil {
		o.Docker = noDocker
	}
	server, err := devpg.StartOn(within(t, time.Minute), o, changes...)
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, server) })
	return server
}

// noDocker is a machine without a Docker daemon.
func noDocker(context.Context, devpg.ContainerSpec) (devpg.Container, error) {
	return devpg.Container{}, devpg.ErrAbsent
}

func stop(t *testing.T, server *devpg.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	assert.NoError(t, server.Stop(ctx))
}

// connect opens a connection that the end of the test closes.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(within(t, 20*time.Second), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t *testing.T, url, statement string) {
	t.Helper()
	conn := connect(t, url)
	_, err := conn.Exec(t.Context(), statement)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}

// query returns the one value of a query.
func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn := connect(t, url)
	var value T
	require.NoError(t, conn.QueryRow(t.Context(), sql).Scan(&value))
	require.NoError(t, conn.Close(t.Context()))
	return value
}

// assertDown checks that nothing serves the URL any more.
func assertDown(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(within(t, 5*time.Second), url)
	if err == nil {
		assert.NoError(t, conn.Close(t.Context()))
		assert.Fail(t, "the server still answers")
	}
}

// environment is a Getenv that knows these values and nothing of the process. The default state directory, which
// may hold a developer's own server and downloads, is out of reach.
func environment(pairs ...string) func(string) string {
	values := map[string]string{"PROFILE_STATE_DIR": "/dev/null/state"}
	for pair := range slices.Chunk(pairs, 2) {
		values[pair[0]] = pair[1]
	}
	return func(name string) string { return values[name] }
}

// recorder collects attempts; its method is an Options.Report.
type recorder struct {
	mu       sync.Mutex
	attempts []devpg.Attempt
}

func (r *recorder) report(a devpg.Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts = append(r.attempts, a)
}

// verdicts are "candidate: verdict" in the order reported.
func (r *recorder) verdicts() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []string
	for _, a := range r.attempts {
		list = append(list, a.Candidate+": "+a.Verdict)
	}
	return list
}

func password(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	secret, _ := u.User.Password()
	require.NotEmpty(t, secret)
	return secret
}

// needsRoot says which case only root can set up.
func needsRoot(t *testing.T, why string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root: %s", why)
	}
}

func listenOn(t *testing.T, port int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	require.NoError(t, err)
	return l
}
