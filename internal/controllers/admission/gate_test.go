package admission_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/controllers/admission"
	"github.com/lingo-services/profile/internal/models"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func user(n int) models.UserID { return models.UserID{14: byte(n >> 8), 15: byte(n)} }

// counts is an Observer.
type counts struct {
	mu               sync.Mutex
	refused          map[string]int
	working, waiting int
	most             int
}

func (c *counts) Admitted(string, time.Duration) {}

func (c *counts) Refused(_, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refused == nil {
		c.refused = map[string]int{}
	}
	c.refused[why]++
}

func (c *counts) Present(_ string, working, waiting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working, c.waiting, c.most = working, waiting, max(c.most, working)
}

func (c *counts) why() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused
}

func newGate(slots, queue, perUser int) (*admission.Gate, *counts) {
	seen := &counts{}
	return admission.NewGate("reads", admission.Options{Slots: slots, Queue: queue, PerUser: perUser, MaxWait: 250 * time.Millisecond}, seen, time.Now), seen
}

// enter takes a slot at once.
func enter(t *testing.T, g *admission.Gate, u models.UserID) (leave func()) {
	t.Helper()
	leave, err := g.Enter(t.Context(), u)
	require.NoError(t, err)
	return leave
}

// waiter is a call that waits for its slot.
type waiter struct {
	leave func()
	err   error
}

func wait(ctx context.Context, g *admission.Gate, u models.UserID) <-chan waiter {
	done := make(chan waiter, 1)
	go func() {
		leave, err := g.Enter(ctx, u)
		done <- waiter{leave, err}
	}()
	synctest.Wait()
	return done
}

func requireOverloaded(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, models.ErrOverloaded)
	var known *models.Error
	require.ErrorAs(t, err, &known)
	require.GreaterOrEqual(t, known.RetryAfter, 100*time.Millisecond)
	require.Less(t, known.RetryAfter, 500*time.Millisecond)
}

func TestT13_WaitersAreServedInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGate(1, 10, 10)
		leave := enter(t, g, user(0))
		var waiters []<-chan waiter
		for n := range 5 {
			waiters = append(waiters, wait(t.Context(), g, user(n)))
		}
		for i, w := range waiters {
			leave()
			got := <-w
			require.NoError(t, got.err)
			leave = got.leave
			synctest.Wait()
			for _, later := range waiters[i+1:] {
				require.Empty(t, later)
			}
		}
		leave()
	})
}

func TestT13_MoreThanThereIsRoomForIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, seen := newGate(2, 1, 10)
		first, second := enter(t, g, user(1)), enter(t, g, user(2))
		third := wait(t.Context(), g, user(3))
		before := time.Now()
		_, err := g.Enter(t.Context(), user(4))
		requireOverloaded(t, err)
		require.Equal(t, before, time.Now(), "without waiting")
		require.Equal(t, map[string]int{admission.Full: 1}, seen.why())
		first()
		(<-third).leave()
		second()
		enter(t, g, user(4))()
		require.Zero(t, seen.working+seen.waiting)
	})
}

func TestS88_OneUserTakesTheirShareOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, seen := newGate(10, 10, 3)
		var leaves []func()
		for range 3 {
			leaves = append(leaves, enter(t, g, user(1)))
		}
		_, err := g.Enter(t.Context(), user(1))
		requireOverloaded(t, err)
		require.Equal(t, map[string]int{admission.Greedy: 1}, seen.why())
		enter(t, g, user(2))()
		leaves[0]()
		leaves[0] = enter(t, g, user(1))
		for _, leave := range leaves {
			leave()
		}
	})
}

func TestS91_WhatCannotMakeItsDeadlineIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, seen := newGate(1, 100, 100)
		for range 200 { // it learns that a call takes 20 ms
			leave := enter(t, g, user(1))
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a bubble's time
			leave()
		}
		leave := enter(t, g, user(1))
		patient := wait(t.Context(), g, user(2))
		hasty, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := g.Enter(hasty, user(3))
		requireOverloaded(t, err)
		require.Equal(t, map[string]int{admission.Hopeless: 1}, seen.why())
		enough, cancelEnough := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancelEnough()
		in := wait(enough, g, user(3))
		leave()
		(<-patient).leave()
		(<-in).leave()
	})
}

func TestS91_ADeadlineThatPassesInTheQueueIsTold(t *testing.T) {
	t.Parallel()
	for want, end := range map[error]func(context.Context) (context.Context, context.CancelFunc){
		models.ErrDeadlineExceeded: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Millisecond)
		},
		models.ErrCancelled: func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, seen := newGate(1, 10, 10)
			leave := enter(t, g, user(1))
			ctx, cancel := end(t.Context())
			defer cancel()
			got := <-wait(ctx, g, user(2))
			require.ErrorIs(t, got.err, want)
			require.Zero(t, seen.waiting)
			leave()
			enter(t, g, user(2))()
		})
	}
}

// A database that stands still: nothing ends any more, and nobody can know when it will.
func TestT13_AStandstillIsNoticedAndItsEndToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, seen := newGate(8, 1000, 1000)
		var leaves []func()
		for range 8 {
			leaves = append(leaves, enter(t, g, user(1)))
		}
		call := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			leave, err := g.Enter(ctx, user(2))
			if err == nil {
				leave()
			}
			return err
		}
		time.Sleep(2 * time.Second) //nolint:forbidigo // a bubble's time
		before := time.Now()
		requireOverloaded(t, call())
		require.Equal(t, before, time.Now())
		require.Equal(t, map[string]int{admission.Hopeless: 1}, seen.why())
		for _, leave := range leaves {
			leave()
		}
		require.NoError(t, call())
	})
}

func TestT13_AnIdleGateAdmitsAfterALongSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, _ := newGate(8, 10, 100)
		enter(t, g, user(1))()
		time.Sleep(time.Hour) //nolint:forbidigo // a bubble's time
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		for n := range 8 {
			leave, err := g.Enter(ctx, user(n))
			require.NoError(t, err)
			defer leave()
		}
	})
}

// Whoever comes and goes: never more in work than there are slots, nobody is left behind, and everything is given back.
func TestT13_SlotsAreNeverExceededNorLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		slots, queue, perUser := rapid.IntRange(1, 5).Draw(rt, "slots"), rapid.IntRange(0, 5).Draw(rt, "queue"), rapid.IntRange(1, 5).Draw(rt, "per user")
		type visit struct{ user, patience, stay int }
		plan := make([]visit, rapid.IntRange(1, 40).Draw(rt, "visits"))
		for i := range plan {
			plan[i] = visit{rapid.IntRange(0, 4).Draw(rt, "user"), rapid.IntRange(0, 100).Draw(rt, "patience"), rapid.IntRange(0, 50).Draw(rt, "stay")}
		}
		var wrong []error
		var seen *counts
		synctest.Test(t, func(t *testing.T) {
			var g *admission.Gate
			g, seen = newGate(slots, queue, perUser)
			var group sync.WaitGroup
			var mu sync.Mutex
			for _, v := range plan {
				group.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(v.patience)*time.Millisecond)
					defer cancel()
					leave, err := g.Enter(ctx, user(v.user))
					if err == nil {
						time.Sleep(time.Duration(v.stay) * time.Millisecond) //nolint:forbidigo // a bubble's time
						leave()
						return
					}
					if !errors.Is(err, models.ErrOverloaded) && !errors.Is(err, models.ErrDeadlineExceeded) {
						mu.Lock()
						defer mu.Unlock()
						wrong = append(wrong, err)
					}
				})
				time.Sleep(time.Millisecond) //nolint:forbidigo // a bubble's time
			}
			group.Wait()
		})
		require.Empty(rt, wrong)
		require.LessOrEqual(rt, seen.most, slots)
		require.Zero(rt, seen.working)
		require.Zero(rt, seen.waiting)
	})
}
