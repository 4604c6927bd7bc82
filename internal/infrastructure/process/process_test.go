package process

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/servers"
)

var errSeen = errors.New("seen")

// configured is the configuration that a binary gets with these arguments; nil when it builds nothing.
func configured(t *testing.T, args ...string) (seen *confpb.Bootstrap, err error) {
	t.Helper()
	err = run("test", args, func(_ context.Context, conf *confpb.Bootstrap, _ *slog.Logger) (*servers.App, func(), error) {
		seen = conf
		return nil, nil, errSeen
	})
	return seen, err
}

func TestM137_ConfNeedsToNameOnlyWhatDiffers(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://app:pw@127.0.0.1:5432/profile")
	t.Setenv("PROFILE_CURSOR_KEYS", "0123456789abcdef0123456789abcdef")
	file := filepath.Join(t.TempDir(), "mine.yaml")
	require.NoError(t, os.WriteFile(file, []byte("features: {publish_events: false}"), 0o600))

	plain, err := configured(t)
	require.ErrorIs(t, err, errSeen)
	require.True(t, plain.GetFeatures().GetPublishEvents())

	conf, err := configured(t, "-conf", file)
	require.ErrorIs(t, err, errSeen)
	require.False(t, conf.GetFeatures().GetPublishEvents())
	require.Equal(t, plain.GetFeatures().GetPublishPreferences(), conf.GetFeatures().GetPublishPreferences())
	require.Equal(t, plain.GetServer().GetGrpc().GetAddr(), conf.GetServer().GetGrpc().GetAddr())
}

func TestM137_HelpIsNoFailure(t *testing.T) {
	t.Parallel()
	conf, err := configured(t, "-h")
	require.NoError(t, err)
	require.Nil(t, conf)
	_, err = configured(t, "-nope")
	require.ErrorContains(t, err, "nope")
}
