package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// note is a job as big as one of our events.
type note struct {
	Payload []byte `json:"payload"`
}

// Kind implements river.JobArgs.
func (note) Kind() string { return "note" }

// noteWorker counts jobs and does nothing else.
type noteWorker struct {
	river.WorkerDefaults[note]
	tally *tally
}

// Work implements river.Worker.
func (n *noteWorker) Work(context.Context, *river.Job[note]) error {
	n.tally.Published("", 0)
	return nil
}

// river inserts n jobs and works them off: jobs a second of each.
func (w *world) river(ctx context.Context, n int) (insert, work float64, err error) {
	const workers, chunk = 1000, 1000
	driver := riverpgxv5.New(w.worker)
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, 0, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return 0, 0, err
	}
	t := newTally(n)
	known := river.NewWorkers()
	river.AddWorker(known, &noteWorker{tally: t})
	client, err := river.NewClient(driver, &river.Config{
		Logger: slog.New(slog.DiscardHandler), Workers: known, FetchCooldown: time.Millisecond, FetchPollInterval: textbookTick,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	})
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	for range n / chunk {
		jobs := make([]river.InsertManyParams, chunk)
		for i := range jobs {
			jobs[i] = river.InsertManyParams{Args: note{make([]byte, payloadBytes)}}
		}
		if _, err := client.InsertManyFast(ctx, jobs); err != nil {
			return 0, 0, err
		}
	}
	insert = float64(n) / time.Since(begin).Seconds()
	begin = time.Now()
	if err := client.Start(ctx); err != nil {
		return 0, 0, err
	}
	select {
	case <-t.reached:
		work = float64(n) / time.Since(begin).Seconds()
	case <-ctx.Done():
		err = ctx.Err()
	}
	return insert, work, errors.Join(err, client.Stop(context.WithoutCancel(ctx)))
}
