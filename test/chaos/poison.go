package main

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lingo-services/profile/internal/models"
)

// What one poisoned key may cost the others (I6): a fifth. The floor is the noise of a machine that others use too.
const (
	poisonFactor = 1.2
	poisonFloor  = 3 * time.Millisecond
)

func isNot(user models.UserID) func(uuid.UUID) bool {
	return func(key uuid.UUID) bool { return key != uuid.UUID(user) }
}

// poisonedKey alternates stretches of the same load with and without a key that the broker refuses, and
// collects how long the other keys took. Afterwards the dead letters are redriven and everything must arrive.
func poisonedKey(ctx context.Context, r *round) error {
	const pairs = 2
	var plain, bad []time.Duration
	for i := range 2 * pairs {
		poisoned := (i+int(r.seed))%2 == 1
		sample, err := r.stretch(ctx, uint64(i), poisoned)
		if err != nil {
			return err
		}
		if poisoned {
			bad = append(bad, sample...)
		} else {
			plain = append(plain, sample...)
		}
	}
	r.tally.plain.add(plain)
	r.tally.poisoned.add(bad)
	return r.settle(ctx)
}

// stretch is two seconds of load; the first user is the poisoned one.
func (r *round) stretch(ctx context.Context, n uint64, poisoned bool) ([]time.Duration, error) {
	const length = 2 * time.Second
	from := r.broker.takenCount()
	m := mix{groups: 10, hot: 10, goroutines: 3, gap: 4 * time.Millisecond, users: 30}
	l, err := startWriters(ctx, r.world, m, r.seed+n)
	if err != nil {
		return nil, err
	}
	poison := l.users[0]
	if poisoned {
		r.broker.misbehave(func(req *pubsubpb.PublishRequest) (c conduct) {
			if req.GetMessages()[0].GetOrderingKey() == poison.String() {
				c.refuse = status.Error(codes.InvalidArgument, "chaos: poison")
			}
			return c
		})
	}
	defer r.broker.misbehave(nil)
	err = r.steady(ctx, length)
	l.wait()
	if err != nil {
		return nil, err
	}
	if poisoned {
		if err := r.mustBlock(ctx, poison); err != nil {
			return nil, err
		}
		r.broker.misbehave(nil)
		if err := r.redrive(ctx); err != nil {
			return nil, err
		}
	}
	sample := r.latencies(from, isNot(poison))
	return sample, r.drain(ctx)
}

// mustBlock waits until the key's first event is a dead letter and nothing else waits.
func (r *round) mustBlock(ctx context.Context, user models.UserID) error {
	err := eventually(ctx, r.patience, func(ctx context.Context) (bool, error) {
		return one[bool](ctx, r.world, `
			SELECT count(*) FILTER (WHERE dead_at IS NOT NULL) = 1 AND count(*) FILTER (WHERE ordering_key <> $1) = 0
			FROM profile.outbox_deliveries`, uuid.UUID(user))
	})
	if err != nil {
		return fmt.Errorf("the poisoned key, and only it, should be blocked: %w\n%s", err, r.tails())
	}
	return nil
}

// stretches are the latencies of one kind of stretch, by round.
type stretches struct {
	p50, p99 []time.Duration
	events   int
}

func (s *stretches) add(sample []time.Duration) {
	s.p50, s.p99 = append(s.p50, percentile(sample, 0.5)), append(s.p99, percentile(sample, 0.99))
	s.events += len(sample)
}

// poisonFigures are the others' p99 without and with poison, and what the second may be.
func poisonFigures(t *tally) (plain, poisoned, limit time.Duration) {
	plain, poisoned = percentile(t.plain.p99, 0.5), percentile(t.poisoned.p99, 0.5)
	return plain, poisoned, time.Duration(poisonFactor*float64(plain)) + poisonFloor
}

func poisonSpreads(t *tally) bool {
	_, poisoned, limit := poisonFigures(t)
	return poisoned > limit
}

// judgePoison compares the medians of the rounds' 99th percentiles: a burst of other work on the machine, which
// hits some rounds, is no coupling of keys, which would hit all.
func judgePoison(t *tally) {
	plain, poisoned, limit := poisonFigures(t)
	t.notes = []string{fmt.Sprintf("other keys, commit to broker, medians of %d rounds: p99 %s without poison (%d events), %s with (%d events); p50 %s and %s",
		t.rounds, plain.Round(10*time.Microsecond), t.plain.events, poisoned.Round(10*time.Microsecond), t.poisoned.events,
		percentile(t.plain.p50, 0.5).Round(10*time.Microsecond), percentile(t.poisoned.p50, 0.5).Round(10*time.Microsecond))}
	if poisoned > limit {
		t.problems = append(t.problems, fmt.Sprintf("I6: with a poisoned key the others' p99 is %s, without %s, allowed are %s\n  again: make chaos FAULT=%s SEED=%d ROUNDS=%d",
			poisoned, plain, limit, t.fault, t.seed, t.rounds))
	}
}
