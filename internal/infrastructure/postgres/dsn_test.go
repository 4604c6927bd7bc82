package postgres_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/observability"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
	"github.com/lingo-services/profile/test/testkit"
)

func TestT12_MalformedURLsAreRefusedAndNeverShown(t *testing.T) {
	t.Parallel()
	const secret = "canary-f00d-secret"
	dsns := testkit.MalformedDSNs(secret)
	require.GreaterOrEqual(t, len(dsns), 20)
	for _, dsn := range dsns {
		_, err := postgres.ParseDSN(dsn)
		require.ErrorIs(t, err, postgres.ErrDSN, dsn)
		for path, start := range map[string]func() error{
			"pool": func() error {
				_, _, err := postgres.NewPool(t.Context(), &confpb.Data_Postgres{Url: dsn, MaxConns: 1})
				return err
			},
			"migrate up":     func() error { _, err := postgres.MigrateUp(t.Context(), dsn); return err },
			"migrate down":   func() error { _, err := postgres.MigrateDown(t.Context(), dsn); return err },
			"migrate status": func() error { _, err := postgres.MigrateStatus(t.Context(), dsn); return err },
			"rls":            func() error { return postgres.SetRowSecurity(t.Context(), dsn, true) },
			"rls status":     func() error { _, err := postgres.RowSecurity(t.Context(), dsn); return err },
		} {
			err := start()
			require.ErrorIs(t, err, postgres.ErrDSN, path)
			require.NotContains(t, err.Error(), secret, path)
		}
		listensWithoutSaying(t, dsn, secret)
	}
}

// listensWithoutSaying starts what LISTENs on url, which only ever logs.
func listensWithoutSaying(t *testing.T, url, secret string) {
	t.Helper()
	lines := &testkit.Buffer{}
	log, err := observability.NewLogger(lines, "debug")
	require.NoError(t, err)
	_, stop := postgres.NewListener(&confpb.Bootstrap{Messaging: &confpb.Messaging{Outbox: &confpb.Messaging_Outbox{ListenUrl: url}}}, log)
	require.Eventually(t, func() bool { return lines.String() != "" }, 10*time.Second, 5*time.Millisecond)
	stop()
	require.Contains(t, lines.String(), "cannot listen")
	require.NotContains(t, lines.String(), secret)
}
