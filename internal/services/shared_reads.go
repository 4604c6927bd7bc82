package services

import (
	"context"
	"time"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services/coalesce"
)

// question is what one caller wants to know of its own.
type question[Q any] struct {
	call models.Call
	body Q
}

// readFunc answers questions in their order and length. An error of its own is everybody's.
type readFunc[Q, R any] func(ctx context.Context, tx *repositories.Tx, asked []question[Q]) ([]coalesce.Outcome[R], error)

// sharedReads are answered by statements that callers share. A caller reads what was committed before it came: a statement
// begins after all who share it have come.
type sharedReads[Q, R any] struct {
	store Store
	read  readFunc[Q, R]
	queue *coalesce.Queue[question[Q], R]
}

func newSharedReads[Q, R any](store Store, observer Observer, kind string, opts coalesce.Options, read readFunc[Q, R]) *sharedReads[Q, R] {
	r := &sharedReads[Q, R]{store: store, read: read}
	r.queue = coalesce.New(opts, coalesce.Work[question[Q], R]{
		Shared: r.together, Alone: r.alone, Taken: func(n int, waited time.Duration) { observer.BatchTaken(kind, n, waited) },
	})
	return r
}

// get asks for a user, or alone for a service, which row security lets see everybody. Errors: the outcome's, and those of
// Store.Read.
func (r *sharedReads[Q, R]) get(ctx context.Context, call models.Call, body Q) (R, error) {
	q := question[Q]{call, body}
	if call.Actor.IsService() {
		return r.alone(ctx, q)
	}
	return r.queue.Do(ctx, call.Subject, q)
}

// alone shares with nobody.
func (r *sharedReads[Q, R]) alone(ctx context.Context, q question[Q]) (answer R, err error) {
	var outcomes []coalesce.Outcome[R]
	err = r.store.Read(ctx, q.call.Actor, func(ctx context.Context, tx *repositories.Tx) error {
		outcomes, err = r.read(ctx, tx, []question[Q]{q})
		return err
	})
	if err != nil {
		return answer, err
	}
	return outcomes[0].Value, outcomes[0].Err
}

// together is for users, who ask for their own: row security admits the rows of those who ask.
func (r *sharedReads[Q, R]) together(ctx context.Context, asked []question[Q]) (outcomes []coalesce.Outcome[R], err error) {
	users := make([]models.UserID, len(asked))
	for i, q := range asked {
		users[i] = q.call.Actor.User
	}
	err = r.store.ReadFor(ctx, users, func(ctx context.Context, tx *repositories.Tx) error {
		outcomes, err = r.read(ctx, tx, asked)
		return err
	})
	return outcomes, err
}

// rowsOf has a repository's reader of lists answer questions.
func rowsOf[Q, R any](read func(ctx context.Context, tx *repositories.Tx, queries []Q) ([][]R, error)) readFunc[Q, []R] {
	return func(ctx context.Context, tx *repositories.Tx, asked []question[Q]) ([]coalesce.Outcome[[]R], error) {
		queries := make([]Q, len(asked))
		for i, q := range asked {
			queries[i] = q.body
		}
		lists, err := read(ctx, tx, queries)
		if err != nil {
			return nil, err
		}
		outcomes := make([]coalesce.Outcome[[]R], len(asked))
		for i, rows := range lists {
			outcomes[i].Value = rows
		}
		return outcomes, nil
	}
}
