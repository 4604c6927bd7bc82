package contract

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What only tests need is not compiled into a command: it would make every cold `make run` wait for it.
func TestCommandsAreBuiltWithoutTestLibraries(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/...")
	list.Dir = "../.."
	out, err := list.Output()
	require.NoError(t, err)
	packages := strings.Fields(string(out))
	require.Contains(t, packages, "github.com/lingo-services/profile/cmd/profilectl")
	for _, unwanted := range []string{
		"github.com/testcontainers/", "github.com/docker/", "github.com/moby/", "github.com/containerd/",
		"github.com/stretchr/testify/", "pgregory.net/rapid", "go.uber.org/goleak", "go.uber.org/mock/",
		"github.com/lingo-services/profile/test/",
	} {
		for _, found := range packages {
			assert.False(t, strings.HasPrefix(found, unwanted), "%s is compiled into a command: %s", found, "go list -deps ./cmd/...")
		}
	}
}
