package main

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"time"
)

const (
	// The log's retention is seven days; the inbox gets the same here.
	retentionDays = 7
	// The ring has this many slots: what is not emptied before its slot comes round again stays.
	slotDays = 10
)

// retention lets ten retentions pass, a day at a time, and compares the tables' sizes after the second with
// those at the end (I11). Publisher, consumer and maintenance run all the while.
func retention(ctx context.Context, r *round) error {
	const last = 10*retentionDays + slotDays
	p, err := startProcess(ctx, "maintenance", r.maintenance, filepath.Join(r.logs, "maintenance.log"), append(r.env(r.sub),
		"PROFILE_MAINTENANCE_INTERVAL=0.2s", fmt.Sprintf("PROFILE_MAINTENANCE_INBOX_RETENTION=%ds", retentionDays*24*60*60)))
	if err != nil {
		return err
	}
	defer p.kill()
	early := 0
	for day := range last {
		if err := r.liveADay(ctx, day); err != nil {
			return fmt.Errorf("I11: day %d: %w\n%s\n%s", day, err, p.tail(5), r.tails())
		}
		if day == 2*retentionDays+slotDays {
			if early, err = r.footprint(ctx); err != nil {
				return err
			}
		}
	}
	late, err := r.footprint(ctx)
	if err != nil {
		return err
	}
	r.tally.notes = append(r.tally.notes, fmt.Sprintf("event log, queue and inbox: %d kB after day %d, %d kB after day %d", early>>10, 2*retentionDays+slotDays, late>>10, last))
	const tolerance, floor = 1.5, 512 << 10
	if late > int(math.Ceil(tolerance*float64(early)))+floor {
		return fmt.Errorf("I11: tables grew from %d to %d bytes in eight retentions", early, late)
	}
	return r.settle(ctx)
}

// liveADay moves the clock, writes and receives a little, and waits until what has expired is gone.
func (r *round) liveADay(ctx context.Context, day int) error {
	if err := r.setClock(ctx, fmt.Sprintf("+ interval '%d days'", day)); err != nil {
		return err
	}
	r.strikes++ // every lease has ended
	l, err := startWriters(ctx, r.world, mix{groups: 20, goroutines: 2, gap: 5 * time.Millisecond, users: 10}, r.seed+uint64(day))
	if err != nil {
		return err
	}
	err = r.pause(ctx, 20*time.Millisecond, 60*time.Millisecond)
	l.wait()
	if err != nil {
		return err
	}
	if day%5 == 0 {
		if err := r.sendAll(ctx, newCatalog(newRand(r.seed, uint64(day)), false)); err != nil {
			return err
		}
	}
	left := ""
	err = eventually(ctx, r.patience, func(ctx context.Context) (bool, error) {
		now, err := one[string](ctx, r.world, `
			SELECT concat_ws(', ',
				(SELECT nullif(count(*), 0) || ' queued' FROM profile.outbox_deliveries),
				(SELECT nullif(count(*), 0) || ' events since ' || min(created_at) FROM profile.outbox_events
				 WHERE created_at < profile.clock_now() - make_interval(days => $1)),
				(SELECT nullif(count(*), 0) || ' received ' || min(received_at) || ' states ' || min(state) FROM profile.inbox_events
				 WHERE received_at < profile.clock_now() - make_interval(days => $1)))`, retentionDays+1)
		if err == nil {
			left = now
		}
		return now == "", err
	})
	if err != nil {
		return fmt.Errorf("%w: %s; %s", err, left, r.activity(ctx))
	}
	return nil
}

// activity says what the database is doing, and who waits for whom.
func (r *round) activity(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	text, err := one[string](ctx, r.world, `
		SELECT coalesce(string_agg(format('%s %s %s blocked by %s for %s: %s', pid, state, wait_event, pg_blocking_pids(pid), now() - xact_start,
			left(regexp_replace(query, '\s+', ' ', 'g'), 120)), E'\n'), '')
		FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`)
	if err != nil {
		return err.Error()
	}
	return text
}

// footprint is how much disk the tables of the event chain take.
func (r *round) footprint(ctx context.Context) (int, error) {
	return one[int](ctx, r.world, `
		SELECT sum(pg_total_relation_size(oid))::int FROM pg_class
		WHERE relnamespace = 'profile'::regnamespace AND relkind = 'r' AND (relname LIKE 'outbox%' OR relname LIKE 'inbox%')`)
}
