package services

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/propagation"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/po"
	"github.com/lingo-services/profile/internal/repositories"
	"github.com/lingo-services/profile/internal/services/coalesce"
)

// command is what one caller asks for: one part of a transaction that others may share.
type command[C any] struct {
	call models.Call
	body C
	// trace is the W3C traceparent of the call; empty without one.
	trace string
}

func newCommand[C any](ctx context.Context, call models.Call, body C) command[C] {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return command[C]{call, body, carrier.Get("traceparent")}
}

// Actions scope idempotency keys (A33).
const (
	actionUpdateProfile     = "update_profile"
	actionUpdatePreferences = "update_preferences"
	actionMutateFavorite    = "mutate_favorite"
	actionWatchProgress     = "upsert_watch_progress"
)

// outcomeFor is what became of a command, and whether an earlier one with the same idempotency key answered it.
type outcomeFor[R any] = coalesce.Outcome[Answer[R]]

// locked are the users of a transaction whose locks it has, as they were then.
type locked = map[models.UserID]po.UserCounters

// writer applies commands of one kind, each with its idempotency key: one alone, or those of many callers in one
// transaction that each of them cannot tell from one of its own.
type writer[C, R any] struct {
	store     Store
	retention time.Duration
	// scope is the action and the resource an idempotency key of the command is about (A33).
	scope func(cmd command[C]) (action string, resource uuid.UUID)
	// prepare returns what applying commands must read first, once their users are locked, and applies those at the
	// places given: outcomes get values and errors of theirs. An error of apply itself ends the transaction.
	prepare func(commands []command[C]) (reads []read, apply applyFunc[R])
	// touched is told of commands that may have changed something, before anybody is answered: their transaction has ended
	// with these outcomes, or, when there are none, nobody knows how.
	touched func(ctx context.Context, commands []command[C], outcomes []outcomeFor[R])
	// committed is told of what was applied just now.
	committed func(commands []command[C], outcomes []outcomeFor[R])
	// failed is told of what ended a transaction.
	failed func(err error)
	queue  *coalesce.Queue[command[C], Answer[R]]
	keyed  *inFlight
}

// untouched is for what nobody caches.
func untouched[C, R any](context.Context, []command[C], []outcomeFor[R]) {}

// newWriter completes w: commands it is given to write share transactions as opts say.
func newWriter[C, R any](w writer[C, R], opts coalesce.Options, taken func(commands int, waited time.Duration)) writer[C, R] {
	w.keyed = &inFlight{scopes: map[string]bool{}}
	w.queue = coalesce.New(opts, coalesce.Work[command[C], Answer[R]]{Shared: w.shared, Alone: w.alone, Taken: taken})
	return w
}

// write applies a command in a transaction that others may share. Errors: the command's, those of the store, and
// models.ErrIdempotencyInProgress.
func (w writer[C, R]) write(ctx context.Context, cmd command[C]) (Answer[R], error) {
	if cmd.call.IdempotencyKey != "" {
		scope := w.record(cmd).Scope()
		if !w.keyed.enter(scope) {
			return Answer[R]{}, models.ErrIdempotencyInProgress
		}
		defer w.keyed.leave(scope)
	}
	return w.queue.Do(ctx, cmd.call.Subject, cmd)
}

// read is a question of one round trip.
type read func(ctx context.Context, tx *repositories.Tx) error

// applyFunc reports whether it wrote anything.
type applyFunc[R any] func(ctx context.Context, tx *repositories.Tx, users locked, places []int, outcomes []outcomeFor[R]) (wrote bool, err error)

// alone applies one command in a transaction of its own. Errors: the command's, and those of the store.
func (w writer[C, R]) alone(ctx context.Context, cmd command[C]) (Answer[R], error) {
	outcomes, err := w.run(ctx, []command[C]{cmd}, func(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error {
		return w.store.Write(ctx, cmd.call.Actor, fn)
	}, w.waiting)
	if err != nil {
		return Answer[R]{}, err
	}
	return outcomes[0].Value, outcomes[0].Err
}

// shared applies commands of several users in one transaction, and leaves alone those of users who are busy.
func (w writer[C, R]) shared(ctx context.Context, cmds []command[C]) ([]outcomeFor[R], error) {
	users := make([]models.UserID, len(cmds))
	for i, c := range cmds {
		users[i] = c.call.Subject
	}
	return w.run(ctx, cmds, func(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error {
		return w.store.WriteFor(ctx, users, fn)
	}, w.passing)
}

// together applies commands in one transaction, all or none: the first error of any of them is returned.
func (w writer[C, R]) together(ctx context.Context, actor models.Actor, cmds []command[C]) ([]outcomeFor[R], error) {
	return w.run(ctx, cmds, func(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error {
		return w.store.Write(ctx, actor, fn)
	}, func(ctx context.Context, tx *repositories.Tx, cmds []command[C], outcomes []outcomeFor[R]) (wrote bool, err error) {
		if wrote, err = w.waiting(ctx, tx, cmds, outcomes); err != nil {
			return false, err
		}
		for _, o := range outcomes {
			if o.Err != nil {
				return false, o.Err
			}
		}
		return wrote, nil
	})
}

// values are the values of outcomes without errors.
func values[R any](outcomes []outcomeFor[R], err error) ([]R, error) {
	if err != nil {
		return nil, err
	}
	out := make([]R, len(outcomes))
	for i, o := range outcomes {
		out[i] = o.Value.Value
	}
	return out, nil
}

type transaction func(ctx context.Context, fn func(ctx context.Context, tx *repositories.Tx) error) error

// errNothing ends a transaction that wrote nothing. It leaves nothing, and waits for no disk, which COMMIT would for the
// locks alone.
var errNothing = errors.New("nothing was written")

func (w writer[C, R]) run(ctx context.Context, cmds []command[C], transact transaction,
	apply func(ctx context.Context, tx *repositories.Tx, cmds []command[C], outcomes []outcomeFor[R]) (wrote bool, err error),
) (outcomes []outcomeFor[R], err error) {
	err = transact(ctx, func(ctx context.Context, tx *repositories.Tx) error {
		outcomes = make([]outcomeFor[R], len(cmds))
		wrote, err := apply(ctx, tx, cmds, outcomes)
		if err == nil && !wrote {
			return errNothing
		}
		return err
	})
	if err != nil && !errors.Is(err, errNothing) {
		w.touched(context.WithoutCancel(ctx), cmds, nil)
		w.failed(err)
		return nil, err
	}
	w.touched(context.WithoutCancel(ctx), cmds, outcomes)
	w.committed(cmds, outcomes)
	return outcomes, nil
}

// waiting locks the users, waiting for whoever has them, after it has looked at the keys: whether another call with
// the same key is running must not wait for that call.
func (w writer[C, R]) waiting(ctx context.Context, tx *repositories.Tx, cmds []command[C], outcomes []outcomeFor[R]) (wrote bool, err error) {
	keys := w.keysOf(cmds)
	if err := tx.Together(ctx, keys.claim(ctx)...); err != nil {
		return false, err
	}
	places, err := keys.answer(outcomes)
	if err != nil || len(places) == 0 {
		return false, err
	}
	reads, apply := w.prepare(cmds)
	users, err := tx.UserStats.Lock(ctx, subjects(cmds, places))
	if err != nil {
		return false, err
	}
	if err := tx.Together(ctx, bound(ctx, reads)...); err != nil {
		return false, err
	}
	if wrote, err = apply(ctx, tx, users, places, outcomes); err != nil {
		return false, err
	}
	kept, err := keys.keep(ctx, tx, w.retention, outcomes)
	return wrote || kept, err
}

// passing locks the users that are free. Nothing here waits, so that everything is asked in one round trip.
func (w writer[C, R]) passing(ctx context.Context, tx *repositories.Tx, cmds []command[C], outcomes []outcomeFor[R]) (wrote bool, err error) {
	keys := w.keysOf(cmds)
	reads, apply := w.prepare(cmds)
	var users locked
	steps := append(keys.claim(ctx), func(tx *repositories.Tx) (err error) {
		users, err = tx.UserStats.LockFree(ctx, subjects(cmds, nil))
		return err
	})
	if err := tx.Together(ctx, append(steps, bound(ctx, reads)...)...); err != nil {
		return false, err
	}
	open, err := keys.answer(outcomes)
	if err != nil {
		return false, err
	}
	places := make([]int, 0, len(open))
	for _, i := range open {
		if _, free := users[cmds[i].call.Subject]; free {
			places = append(places, i)
			continue
		}
		outcomes[i].Busy = true
	}
	if len(places) > 0 {
		if wrote, err = apply(ctx, tx, users, places, outcomes); err != nil {
			return false, err
		}
	}
	kept, err := keys.keep(ctx, tx, w.retention, outcomes)
	return wrote || kept, err
}

func bound(ctx context.Context, reads []read) []func(tx *repositories.Tx) error {
	steps := make([]func(tx *repositories.Tx) error, len(reads))
	for i, f := range reads {
		steps[i] = func(tx *repositories.Tx) error { return f(ctx, tx) }
	}
	return steps
}

// subjects are the users of the commands at places; of all of them when places is nil.
func subjects[C any](cmds []command[C], places []int) []models.UserID {
	if places == nil {
		users := make([]models.UserID, len(cmds))
		for i, c := range cmds {
			users[i] = c.call.Subject
		}
		return users
	}
	users := make([]models.UserID, len(places))
	for n, i := range places {
		users[n] = cmds[i].call.Subject
	}
	return users
}

// keys are the idempotency keys of commands (S85): an answer is kept in the transaction that gave it. No two of the
// commands have the same one, because the second would have been refused (inFlight).
type keys[R any] struct {
	records []po.IdempotencyRecord
	// places are those of the commands that have one.
	places []int
	locked []bool
	kept   map[int]po.IdempotencyRecord
}

func (w writer[C, R]) keysOf(cmds []command[C]) *keys[R] {
	k := &keys[R]{}
	for i, c := range cmds {
		if c.call.IdempotencyKey != "" {
			k.records, k.places = append(k.records, w.record(c)), append(k.places, i)
		}
	}
	return k
}

func (w writer[C, R]) record(c command[C]) po.IdempotencyRecord {
	action, resource := w.scope(c)
	return po.IdempotencyRecord{
		UserID: c.call.Subject, Action: action, ResourceID: resource, Key: c.call.IdempotencyKey, Fingerprint: c.call.Fingerprint,
	}
}

// claim claims the keys and reads the answers that are kept for them.
func (k *keys[R]) claim(ctx context.Context) []func(tx *repositories.Tx) error {
	if len(k.records) == 0 {
		return nil
	}
	return []func(tx *repositories.Tx) error{
		func(tx *repositories.Tx) (err error) {
			k.locked, err = tx.Idempotency.Lock(ctx, k.records)
			return err
		},
		func(tx *repositories.Tx) (err error) {
			k.kept, err = tx.Idempotency.Get(ctx, k.records)
			return err
		},
	}
}

// answer answers the commands whose keys decide them and returns the places of the others.
func (k *keys[R]) answer(outcomes []outcomeFor[R]) (open []int, err error) {
	decided := make(map[int]bool, len(k.places))
	for n, i := range k.places {
		kept, found := k.kept[n]
		switch {
		case !k.locked[n]:
			outcomes[i].Err = models.ErrIdempotencyInProgress
		case !found:
			continue
		case kept.Fingerprint != k.records[n].Fingerprint:
			outcomes[i].Err = models.ErrIdempotencyKeyReused
		default:
			outcomes[i].Value.Replayed = true
			if err := json.Unmarshal(kept.Response, &outcomes[i].Value.Value); err != nil {
				return nil, fmt.Errorf("decode stored answer: %w", err)
			}
		}
		decided[i] = true
	}
	open = make([]int, 0, len(outcomes))
	for i := range outcomes {
		if !decided[i] {
			open = append(open, i)
		}
	}
	return open, nil
}

// keep stores the answers given just now, if any have a key. They travel with COMMIT.
func (k *keys[R]) keep(ctx context.Context, tx *repositories.Tx, retention time.Duration, outcomes []outcomeFor[R]) (kept bool, err error) {
	var answers []po.IdempotencyRecord
	for n, i := range k.places {
		o := outcomes[i]
		if o.Err != nil || o.Busy || o.Value.Replayed {
			continue
		}
		record := k.records[n]
		if record.Response, err = json.Marshal(o.Value.Value); err != nil {
			return false, fmt.Errorf("encode answer: %w", err)
		}
		answers = append(answers, record)
	}
	if len(answers) == 0 {
		return false, nil
	}
	return true, tx.Later(func(tx *repositories.Tx) error { return tx.Idempotency.Put(ctx, answers, retention) })
}

// inFlight are the keyed commands of this process that have not been answered: whoever repeats one is told so at once,
// as the database would tell a repeat that came to another process.
type inFlight struct {
	mu     sync.Mutex
	scopes map[string]bool
}

func (f *inFlight) enter(scope string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.scopes[scope] {
		return false
	}
	f.scopes[scope] = true
	return true
}

func (f *inFlight) leave(scope string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.scopes, scope)
}
