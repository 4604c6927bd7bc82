package devpg_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain is also the main of the child processes that the tests start: see process_test.go.
func TestMain(m *testing.M) {
	if raw := os.Getenv(processEnv); raw != "" {
		os.Exit(processMain(raw))
	}
	goleak.VerifyTestMain(m)
}
