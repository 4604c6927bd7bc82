package devpg_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

// bindirVariable makes every test, and every process it starts, use the same local binaries.
const bindirVariable = "PROFILE_PG_BINDIR"

// TestMain is also the main of the processes that the tests start: see process_test.go.
func TestMain(m *testing.M) {
	if raw := os.Getenv(processEnv); raw != "" {
		os.Exit(processMain(raw))
	}
	cleanup, err := provideBinaries()
	if err != nil {
		fmt.Fprintln(os.Stderr, "devpg tests:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		cleanup()
		os.Exit(code)
	}))
}

// provideBinaries finds the installed binaries, or downloads some for this run where there are none.
func provideBinaries() (cleanup func(), err error) {
	dir, err := os.MkdirTemp("", "devpg-binaries-")
	if err != nil {
		return nil, err
	}
	bindir, err := devpg.AnyBindir(context.Background(), dir)
	if err != nil {
		return nil, err
	}
	return func() { _ = os.RemoveAll(dir) }, os.Setenv(bindirVariable, bindir)
}
