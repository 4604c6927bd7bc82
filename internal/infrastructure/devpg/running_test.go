package devpg_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/devpg"
)

func TestRunningFindsAServerAndStartsNone(t *testing.T) {
	t.Parallel()
	o := devpg.Options{StateDir: openDir(t)}
	absent := func() {
		t.Helper()
		_, err := devpg.Running(t.Context(), o)
		require.ErrorIs(t, err, devpg.ErrAbsent)
		require.ErrorContains(t, err, o.StateDir)
	}
	absent()
	found, err := os.ReadDir(o.StateDir)
	require.NoError(t, err)
	assert.Empty(t, found, "it creates nothing")

	server := start(t, o)
	running, err := devpg.Running(t.Context(), o)
	require.NoError(t, err)
	assert.True(t, running.Attached())
	assert.Equal(t, server.OwnerURL(""), running.OwnerURL(""))
	stop(t, running)
	assert.Equal(t, "profile_owner", query[string](t, server.OwnerURL(""), "SELECT current_user::text"), "stopping what it found stops nothing")

	stop(t, server)
	absent()
}

func TestRunningLooksWhereStartPutsTheServer(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	_, err := devpg.Running(t.Context(), devpg.Options{Getenv: environment("PROFILE_STATE_DIR", dir)})
	require.ErrorContains(t, err, dir)
}
