package testkit

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/lingo-services/profile/internal/models"
)

// Together runs n functions at the same time and returns their errors in order.
func Together(n int, run func(i int) error) []error {
	errs := make([]error, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = run(i) })
	}
	group.Wait()
	return errs
}

// Later runs fn in the background; the returned channel has its error when it is done.
func Later(fn func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	return done
}

// Hold is a transaction that has the lock of a user's row.
type Hold struct {
	db  *Database
	tx  pgx.Tx
	xid string
}

// HoldUser locks the row of a user who has one, until Release or the end of the test.
func HoldUser(t testing.TB, s *Service, user models.UserID) Hold {
	t.Helper()
	tx, err := s.DB.Owner.Begin(t.Context())
	require.NoError(t, err)
	h := Hold{db: s.DB, tx: tx}
	t.Cleanup(h.Release)
	require.NoError(t, tx.QueryRow(t.Context(),
		"SELECT pg_current_xact_id()::text FROM profile.user_stats WHERE user_id = $1 FOR UPDATE", uuid.UUID(user)).Scan(&h.xid))
	return h
}

// Release is safe to repeat.
func (h Hold) Release() { _ = h.tx.Rollback(context.Background()) }

// AwaitWaiter returns when another transaction waits for this one.
func (h Hold) AwaitWaiter(t testing.TB) {
	t.Helper()
	const patience, tick = 10 * time.Second, 5 * time.Millisecond
	require.Eventually(t, func() bool {
		return One[bool](t, h.db, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid::text = $1)", h.xid)
	}, patience, tick)
}
