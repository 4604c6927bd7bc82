package main

import (
	"context"
	"time"
)

// cost is what moving events took, per event.
type cost struct {
	// rate is events a second.
	rate float64
	// start is how long the first event took, when that was asked for; it is part of rate.
	start time.Duration
	// walBytes the server wrote, roundTrips to it, statements it was sent (BEGIN, its settings and COMMIT
	// included), and row versions that died.
	walBytes, roundTrips, statements, deadTuples float64
}

// measure runs move, which moves n events and says how long that took.
func (w *world) measure(ctx context.Context, n int, move func() (time.Duration, error)) (c cost, err error) {
	defer w.broker.ClearMessages()
	wal, dead, err := w.serverCounters(ctx)
	if err != nil {
		return c, err
	}
	roundTrips, statements := w.statements.trips.Load(), w.statements.n.Load()
	took, err := move()
	if err != nil {
		return c, err
	}
	roundTrips, statements = w.statements.trips.Load()-roundTrips, w.statements.n.Load()-statements
	walAfter, deadAfter, err := w.serverCounters(ctx)
	if err != nil {
		return c, err
	}
	each := func(total int64) float64 { return float64(total) / float64(n) }
	return cost{
		rate: float64(n) / took.Seconds(), walBytes: each(walAfter - wal), roundTrips: each(roundTrips), statements: each(statements),
		deadTuples: each(deadAfter - dead),
	}, nil
}

// serverCounters reads bytes of write-ahead log and dead row versions so far. Statistics of other connections
// arrive when those have been idle for a moment; closing them makes it now.
func (w *world) serverCounters(ctx context.Context) (wal, dead int64, err error) {
	w.worker.Reset()
	err = w.pool.QueryRow(ctx, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint,
		(SELECT coalesce(sum(n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables WHERE relname LIKE 'outbox%')`).Scan(&wal, &dead)
	return wal, dead, err
}
