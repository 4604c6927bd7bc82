package postgres_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
	"github.com/lingo-services/profile/internal/infrastructure/postgres"
)

func TestM42_PoolRefusesABadURLWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"postgres://u:hush@[bad/db", "postgres://u:hush@127.0.0.1:notaport/db"} {
		_, _, err := postgres.NewPool(t.Context(), &confpb.Data_Postgres{Url: raw, MaxConns: 1})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hush")
	}
}

// Mode exec asks the server nothing about parameters: it must know by itself what a UUID is.
func TestM42_BothQueryModesKnowOurTypes(t *testing.T) {
	t.Parallel()
	db := migrated(t)
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	for mode, want := range map[string]pgx.QueryExecMode{
		"cache_statement": pgx.QueryExecModeCacheStatement, "exec": pgx.QueryExecModeExec,
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			pool, closePool, err := postgres.NewPool(t.Context(), &confpb.Data_Postgres{Url: db.AppURL, MaxConns: 3, QueryMode: mode})
			require.NoError(t, err)
			defer closePool()
			require.Equal(t, want, pool.Config().ConnConfig.DefaultQueryExecMode)
			require.Equal(t, int32(3), pool.Config().MaxConns)
			var one uuid.UUID
			var many []uuid.UUID
			for range 2 { // prepared, then from the cache
				require.NoError(t, pool.QueryRow(t.Context(), "SELECT $1::uuid, $2::uuid[]", ids[0], ids).Scan(&one, &many))
				require.Equal(t, ids[0], one)
				require.Equal(t, ids, many)
				var none, some *uuid.UUID
				require.NoError(t, pool.QueryRow(t.Context(), "SELECT NULL::uuid, $1::uuid", &ids[1]).Scan(&none, &some))
				require.Nil(t, none)
				require.Equal(t, ids[1], *some)
				require.Error(t, pool.QueryRow(t.Context(), "SELECT NULL::uuid").Scan(&one), "no NULL passes for an id")
			}
		})
	}
}
