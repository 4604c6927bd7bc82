package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ctl runs the operators' tool and returns what it printed.
func (w *world) ctl(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, w.binaries.ctl, args...) //nolint:gosec // G204: arguments of our own
	cmd.Env = w.env(w.eye)
	if w.pooled {
		cmd.Env = w.env(w.api)
	}
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		err = fmt.Errorf("profilectl %s: %w: %s", args, err, exit.Stderr)
	}
	return out, err
}

// redrive gives dead letters another chance.
func (r *round) redrive(ctx context.Context) error {
	_, err := r.ctl(ctx, "outbox", "redrive", "--all", "--yes")
	return err
}

// redriveUnderLoad: the broker refuses one key until it is dead, and then everybody's dead letters are redriven
// while it goes on for a while.
func redriveUnderLoad(ctx context.Context, r *round) error {
	poison := r.load.users[r.rng.IntN(3)].String()
	numbers := &dice{r: r}
	r.broker.misbehave(func(req *pubsubpb.PublishRequest) (c conduct) {
		c.wait = numbers.upTo(3 * time.Millisecond)
		if req.GetMessages()[0].GetOrderingKey() == poison {
			c.refuse = status.Error(codes.InvalidArgument, "chaos: poison")
		}
		return c
	})
	defer r.broker.misbehave(nil)
	for range 3 {
		err := eventually(ctx, r.patience, func(ctx context.Context) (bool, error) {
			return one[bool](ctx, r.world, "SELECT EXISTS (SELECT FROM profile.outbox_deliveries WHERE dead_at IS NOT NULL)")
		})
		if err != nil {
			return fmt.Errorf("await a dead letter: %w", err)
		}
		if err := r.redrive(ctx); err != nil {
			return err
		}
	}
	r.broker.misbehave(nil)
	return r.redrive(ctx)
}

// replayUnderLoad repeats events of the last moments while writers write: they may not overtake or hold up what
// is new, and no others may be repeated.
func replayUnderLoad(ctx context.Context, r *round) error {
	before := r.replayed
	for range 3 {
		if err := r.pause(ctx, 100*time.Millisecond, 300*time.Millisecond); err != nil {
			return err
		}
		if err := r.replay(ctx, between(r.rng, 300*time.Millisecond, 1500*time.Millisecond)); err != nil {
			return err
		}
	}
	if r.replayed == before {
		return errors.New("nothing was there to be replayed")
	}
	return nil
}

func (r *round) replay(ctx context.Context, since time.Duration) error {
	out, err := r.ctl(ctx, "outbox", "replay", "--since", since.String(), "--yes")
	if err != nil {
		return err
	}
	var done struct {
		ByType map[string]int `json:"by_type"`
	}
	if err := json.Unmarshal(out, &done); err != nil {
		return fmt.Errorf("profilectl outbox replay printed %q: %w", out, err)
	}
	for _, n := range done.ByType {
		r.replayed += n
	}
	return nil
}
