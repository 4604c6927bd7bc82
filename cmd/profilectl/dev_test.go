package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// console is what a command prints, while it runs.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(p)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// devStack runs `profilectl dev` with a state directory of its own until stop, which tests call once.
func devStack(t *testing.T, args ...string) (out *console, stop func()) {
	t.Helper()
	dir := t.TempDir()
	for _, entered := range []string{filepath.Dir(dir), dir} { // started as root, Postgres runs as another account
		require.NoError(t, os.Chmod(entered, 0o755))
	}
	for name, value := range map[string]string{
		"DATABASE_URL": "", "PUBSUB_EMULATOR_HOST": "", "PROFILE_STATE_DIR": dir, "PROFILE_GRPC_ADDR": "127.0.0.1:0", "PROFILE_HTTP_ADDR": "127.0.0.1:0", "PROFILE_ADMIN_ADDR": "127.0.0.1:0",
	} {
		t.Setenv(name, value)
	}
	out = &console{}
	cmd := root()
	cmd.SetArgs(append([]string{"dev", "--log-level", "error"}, args...))
	cmd.SetOut(out)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	require.Eventually(t, func() bool {
		select {
		case err := <-ended:
			t.Fatalf("ended early: %v\n%s", err, out)
		default:
		}
		return strings.HasSuffix(out.String(), "\nready\n")
	}, time.Minute, 50*time.Millisecond)
	return out, func() {
		cancel()
		require.NoError(t, <-ended)
	}
}

func TestOperatorsFindTheDevelopmentStack(t *testing.T) {
	out, stop := devStack(t)
	require.Contains(t, out.String(), "\n  .bin/profilectl outbox status\n")
	for _, args := range [][]string{{"outbox", "status"}, {"outbox", "list"}, {"inbox", "status"}, {"stats", "verify"}} {
		text, err := ctl(t, args...)
		require.NoError(t, err, args)
		require.Contains(t, text, "this is the development stack's database", args)
	}
	for _, args := range [][]string{{"migrate", "down"}, {"migrate", "status"}, {"rls", "enable"}} {
		_, err := ctl(t, args...)
		require.ErrorContains(t, err, "DATABASE_URL is not set", "what changes the schema asks which")
	}
	t.Setenv("DATABASE_URL", "postgres://127.0.0.1:1/none")
	_, err := ctl(t, "outbox", "status")
	require.Error(t, err, "DATABASE_URL goes first")
	t.Setenv("DATABASE_URL", "")

	stop()
	_, err = ctl(t, "outbox", "status")
	require.ErrorContains(t, err, "no development stack (make run) was found")
	require.ErrorContains(t, err, os.Getenv("PROFILE_STATE_DIR"))
}

// Nothing finds a private server, so that its line has the address.
func TestTheLineOfAnEphemeralStackWorks(t *testing.T) {
	out, stop := devStack(t, "--ephemeral")
	defer stop()
	url := regexp.MustCompile(`(?m)^  DATABASE_URL='(.*)' \.bin/profilectl outbox status$`).FindStringSubmatch(out.String())
	require.NotNil(t, url, out.String())
	t.Setenv("DATABASE_URL", url[1])
	text, err := ctl(t, "outbox", "status", "--json=false")
	require.NoError(t, err)
	require.Contains(t, text, "publishers")
	require.NotContains(t, text, "DATABASE_URL is not set")
}
