package pgcontainer_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
	"github.com/lingo-services/profile/test/testkit/pgcontainer"
)

// processEnv holds the devpg.ContainerSpec of a child process: the library reads its environment once.
const processEnv = "PGCONTAINER_TEST_PROCESS"

func TestMain(m *testing.M) {
	if raw := os.Getenv(processEnv); raw != "" {
		os.Exit(processMain(raw))
	}
	os.Exit(m.Run())
}

// answer is what a child process says once it has its container or knows that it gets none.
type answer struct {
	Host   string
	Port   int
	Err    string
	Absent bool
	Took   time.Duration
}

// processMain runs a container until its standard input ends.
func processMain(raw string) int {
	var spec devpg.ContainerSpec
	if err := json.Unmarshal([]byte(raw), &spec); err != nil {
		panic(err)
	}
	begin := time.Now()
	c, err := pgcontainer.Run(context.Background(), spec)
	a := answer{Host: c.Host, Port: c.Port, Took: time.Since(begin)}
	if err != nil {
		a.Err, a.Absent = err.Error(), errors.Is(err, devpg.ErrAbsent)
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil || a.Err != "" {
		return 0
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := c.Stop(context.Background()); err != nil {
		panic(err)
	}
	return 0
}

// run is pgcontainer.Run in a process of its own, with this environment and a PATH. done stops the container.
func run(t *testing.T, spec devpg.ContainerSpec, env ...string) (a answer, done func()) {
	t.Helper()
	raw, err := json.Marshal(spec)
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append([]string{processEnv + "=" + string(raw), "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, json.NewDecoder(stdout).Decode(&a))
	return a, func() {
		t.Helper()
		require.NoError(t, stdin.Close())
		require.NoError(t, cmd.Wait())
	}
}
