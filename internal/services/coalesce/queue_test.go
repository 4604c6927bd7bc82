package coalesce_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/services/coalesce"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func user(n int) models.UserID { return models.UserID{15: byte(n)} }

// store is a database whose transactions take a millisecond and hold what was applied, in order.
type store struct {
	mu      sync.Mutex
	applied []string
	batches []int
	// poison fails the transaction that has it; down fails all of them.
	poison map[string]bool
	down   error
	// busy commands find their user locked, whose other commands are left out as well. A command begins with its user
	// and a slash where that matters.
	busy map[string]bool
	// gate, when there is one, is waited for before anything is applied.
	gate chan struct{}
	// ungated batches pass before that.
	ungated int
}

var errPoison = errors.New("poison")

func (s *store) shared(ctx context.Context, commands []string) ([]coalesce.Outcome[string], error) {
	s.mu.Lock()
	s.ungated--
	free := s.gate == nil || s.ungated >= 0
	s.mu.Unlock()
	if !free {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return nil, models.ErrCancelled.Because(ctx.Err())
		}
	}
	time.Sleep(time.Millisecond) //nolint:forbidigo // a bubble's time
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, len(commands))
	if s.down != nil {
		return nil, s.down
	}
	locked := map[string]bool{}
	for _, c := range commands {
		if s.poison[c] {
			return nil, errPoison
		}
		if s.busy[c] {
			locked[owner(c)] = true
		}
	}
	outcomes := make([]coalesce.Outcome[string], len(commands))
	for i, c := range commands {
		outcomes[i] = coalesce.Outcome[string]{Value: "did " + c, Busy: locked[owner(c)]}
		if !outcomes[i].Busy {
			s.applied = append(s.applied, c)
		}
	}
	return outcomes, nil
}

func owner(command string) string {
	u, _, _ := strings.Cut(command, "/")
	return u
}

func (s *store) alone(ctx context.Context, command string) (string, error) {
	if ctx.Err() != nil {
		return "", models.ErrCancelled.Because(ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.applied = append(s.applied, command)
	return "alone " + command, nil
}

// did is what was applied so far, in order, and in batches of how many.
func (s *store) did() (applied []string, batches []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.applied), slices.Clone(s.batches)
}

func (s *store) order() []string {
	applied, _ := s.did()
	return applied
}

func (s *store) queue(change ...func(*coalesce.Options)) *coalesce.Queue[string, string] {
	opts := coalesce.Options{Enabled: true, Writers: 1, Batch: 256, PerUser: 4, Stragglers: 1}
	for _, f := range change {
		f(&opts)
	}
	return coalesce.New(opts, coalesce.Work[string, string]{Shared: s.shared, Alone: s.alone, Taken: func(int, time.Duration) {}})
}

// call is a caller's answer, when it has come.
type call struct {
	value string
	err   error
}

func start(ctx context.Context, q *coalesce.Queue[string, string], u models.UserID, command string) <-chan call {
	done := make(chan call, 1)
	go func() {
		value, err := q.Do(ctx, u, command)
		done <- call{value, err}
	}()
	synctest.Wait() // it has joined, so that arrival is in the order of the calls
	return done
}

func TestS10_WhatWaitsIsAppliedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{})}
		q := s.queue()
		var calls []<-chan call
		for n := range 100 {
			calls = append(calls, start(t.Context(), q, user(n), fmt.Sprint(n)))
		}
		close(s.gate)
		for n, c := range calls {
			require.Equal(t, call{value: fmt.Sprintf("did %d", n)}, <-c)
		}
		_, batches := s.did()
		require.Equal(t, []int{1, 99}, batches, "the first goes at once, the others while it was applied")
	})
}

// A second batch is begun while the first one is applied, when it is worth a transaction of its own: 32 users wait, or
// a whole batch.
func TestS10_ASecondWriterBeginsWhenACrowdWaits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		batch, callers int
		taken          []int
	}{
		{"too few", 256, 32, []int{1}},
		{"a crowd", 256, 33, []int{1, 32}},
		{"a small batch is full", 4, 5, []int{1, 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &store{gate: make(chan struct{})}
				var taken []int
				q := coalesce.New(coalesce.Options{Enabled: true, Writers: 2, Batch: c.batch, PerUser: 4, Stragglers: 1},
					coalesce.Work[string, string]{Shared: s.shared, Alone: s.alone, Taken: func(n int, _ time.Duration) { taken = append(taken, n) }})
				var calls []<-chan call
				for n := range c.callers {
					calls = append(calls, start(t.Context(), q, user(n), fmt.Sprint(n)))
				}
				require.Equal(t, c.taken, taken)
				close(s.gate)
				for _, done := range calls {
					require.NoError(t, (<-done).err)
				}
			})
		})
	}
}

func TestS10_AUsersCommandsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		q := s.queue(func(o *coalesce.Options) { o.Writers, o.PerUser = 3, 2 })
		var calls []<-chan call
		var want []string
		for n := range 40 {
			want = append(want, fmt.Sprintf("%02d", n))
			calls = append(calls, start(t.Context(), q, user(1), want[n]))
		}
		for _, c := range calls {
			require.NoError(t, (<-c).err)
		}
		require.Equal(t, want, s.order())
	})
}

func TestS88_OneUsersFloodDelaysThatUser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{})}
		q := s.queue(func(o *coalesce.Options) { o.Batch, o.PerUser = 8, 2 })
		first := start(t.Context(), q, user(0), "first")
		var flood []<-chan call
		for n := range 50 {
			flood = append(flood, start(t.Context(), q, user(1), fmt.Sprint("flood ", n)))
		}
		var others []<-chan call
		for n := range 6 {
			others = append(others, start(t.Context(), q, user(2+n), fmt.Sprint("other ", n)))
		}
		close(s.gate)
		for _, c := range others {
			require.NoError(t, (<-c).err)
		}
		require.NoError(t, (<-first).err)
		require.Len(t, s.order(), 1+2+6, "the others went with the first two of the flood")
		for _, c := range flood {
			require.NoError(t, (<-c).err)
		}
	})
}

func TestS91_ACallerWhoLeavesWhileWaitingTakesItsCommandAlong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{})}
		q := s.queue()
		first := start(t.Context(), q, user(1), "first")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		late := start(ctx, q, user(2), "late")
		same := start(t.Context(), q, user(2), "after late")
		require.ErrorIs(t, (<-late).err, models.ErrDeadlineExceeded)
		close(s.gate)
		require.NoError(t, (<-first).err)
		require.NoError(t, (<-same).err)
		require.Equal(t, []string{"first", "after late"}, s.order())
	})
}

func TestS91_ACallerWhoLeavesATakenCommandLetsItCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{}), ungated: 1}
		q := s.queue()
		blocker := start(t.Context(), q, user(0), "blocker")
		ctx, cancel := context.WithCancel(t.Context())
		leaving := start(ctx, q, user(1), "leaving")
		staying := start(t.Context(), q, user(2), "staying")
		require.NoError(t, (<-blocker).err)
		synctest.Wait() // both are taken
		cancel()
		require.ErrorIs(t, (<-leaving).err, models.ErrCancelled)
		close(s.gate)
		require.NoError(t, (<-staying).err)
		require.ElementsMatch(t, []string{"blocker", "leaving", "staying"}, s.order())
	})
}

func TestS91_ABatchThatNobodyWaitsForIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{})}
		q := s.queue()
		ctx, cancel := context.WithCancel(t.Context())
		only := start(ctx, q, user(1), "only")
		cancel()
		require.ErrorIs(t, (<-only).err, models.ErrCancelled)
		synctest.Wait()
		require.Empty(t, s.order())
		close(s.gate)
		require.NoError(t, (<-start(t.Context(), q, user(1), "next")).err, "the user is free again")
	})
}

func TestS89_APoisonedCommandIsFoundByHalvingAndTheRestCommits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{gate: make(chan struct{}), poison: map[string]bool{"100": true}}
		q := s.queue(func(o *coalesce.Options) { o.Batch = 300 })
		first := start(t.Context(), q, user(0), "first")
		var calls []<-chan call
		for n := range 256 {
			u := models.UserID{14: byte(n >> 7), 15: byte(n)}
			calls = append(calls, start(t.Context(), q, u, fmt.Sprint(n)))
		}
		close(s.gate)
		require.NoError(t, (<-first).err)
		for n, c := range calls {
			if n == 100 {
				require.ErrorIs(t, (<-c).err, errPoison)
				continue
			}
			require.Equal(t, call{value: fmt.Sprintf("did %d", n)}, <-c)
		}
		require.Len(t, s.order(), 256)
		_, batches := s.did()
		require.LessOrEqual(t, len(batches), 2+2*8, "halving: %v", batches)
	})
}

func TestS89_WhatIsWrongWithTheSurroundingsIsToldToAllAtOnce(t *testing.T) {
	t.Parallel()
	for _, surroundings := range []error{models.ErrUnavailable, models.ErrDeadlineExceeded, models.ErrTransactionConflict} {
		synctest.Test(t, func(t *testing.T) {
			s := &store{down: surroundings}
			q := s.queue()
			var calls []<-chan call
			for n := range 10 {
				calls = append(calls, start(t.Context(), q, user(n), fmt.Sprint(n)))
			}
			for _, c := range calls {
				require.ErrorIs(t, (<-c).err, surroundings)
			}
			_, batches := s.did()
			require.Equal(t, []int{1, 9}, batches)
		})
	}
}

func TestS17_ABusyUserHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{busy: map[string]bool{"busy": true}}
		q := s.queue()
		busy := start(t.Context(), q, user(1), "busy")
		behind := start(t.Context(), q, user(1), "behind")
		other := start(t.Context(), q, user(2), "other")
		require.Equal(t, call{value: "did other"}, <-other)
		require.Equal(t, call{value: "alone busy"}, <-busy)
		require.Equal(t, call{value: "did behind"}, <-behind)
		require.Less(t, slices.Index(s.order(), "busy"), slices.Index(s.order(), "behind"))
	})
}

func TestS10_SwitchedOffEveryCommandIsAlone(t *testing.T) {
	t.Parallel()
	s := &store{}
	q := s.queue(func(o *coalesce.Options) { o.Enabled = false })
	value, err := q.Do(t.Context(), user(1), "c")
	require.NoError(t, err)
	require.Equal(t, "alone c", value)
}

// Whatever users do and leave, whatever is busy or poisoned: each caller gets its own outcome, a command is applied once
// or not at all and in its user's order, and nothing is left behind.
func TestS10_EveryCallerGetsItsOwnOutcome(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		opts := coalesce.Options{
			Enabled: true, Writers: rapid.IntRange(1, 3).Draw(rt, "writers"), Batch: rapid.IntRange(1, 9).Draw(rt, "batch"),
			PerUser: rapid.IntRange(1, 3).Draw(rt, "per user"), Stragglers: 1,
		}
		plan := make([]planned, rapid.IntRange(1, 40).Draw(rt, "calls"))
		for i := range plan {
			plan[i] = planned{user: rapid.IntRange(0, 4).Draw(rt, "user"), fate: rapid.IntRange(0, 9).Draw(rt, "fate"), patience: -1}
			if rapid.IntRange(0, 4).Draw(rt, "impatient") == 0 {
				plan[i].patience = time.Duration(rapid.IntRange(0, 3000).Draw(rt, "patience")) * time.Microsecond
			}
		}
		var wrong []string // a bubble cannot be left by rapid's panic
		synctest.Test(t, func(t *testing.T) { wrong = play(t, opts, plan) })
		require.Empty(rt, wrong)
	})
}

// planned is a call of the property test. fate 0 is poisoned, 1 busy; patience below 0 has no end.
type planned struct {
	user, fate int
	patience   time.Duration
}

func play(t *testing.T, opts coalesce.Options, plan []planned) (wrong []string) {
	t.Helper()
	s := &store{poison: map[string]bool{}, busy: map[string]bool{}}
	q := s.queue(func(o *coalesce.Options) { *o = opts })
	type made struct {
		command string
		patient bool
		answer  <-chan call
	}
	n := len(plan)
	all := make([]made, n)
	for i, p := range plan {
		m := made{command: fmt.Sprintf("%d/%03d", p.user, i), patient: p.patience < 0}
		s.mu.Lock()
		s.poison[m.command], s.busy[m.command] = p.fate == 0, p.fate == 1
		s.mu.Unlock()
		ctx := t.Context()
		if !m.patient {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, p.patience)
			defer cancel()
		}
		m.answer = start(ctx, q, user(p.user), m.command)
		all[i] = m
	}
	answers := make([]call, n)
	for i, m := range all {
		answers[i] = <-m.answer
	}
	synctest.Wait()
	times, last := map[string]int{}, map[string]string{}
	for _, c := range s.order() {
		times[c]++
		if c < last[owner(c)] {
			wrong = append(wrong, c+" after "+last[owner(c)])
		}
		last[owner(c)] = c
	}
	for i, m := range all {
		answer := answers[i]
		switch {
		case answer.err == nil && times[m.command] == 1 && strings.HasSuffix(answer.value, " "+m.command):
		case errors.Is(answer.err, errPoison) && s.poison[m.command] && times[m.command] == 0:
		case answer.err != nil && !errors.Is(answer.err, errPoison) && !m.patient && times[m.command] <= 1:
		default:
			wrong = append(wrong, fmt.Sprintf("%s was applied %d times and answered %+v", m.command, times[m.command], answer))
		}
	}
	for u := range 5 {
		if c := <-start(t.Context(), q, user(u), fmt.Sprintf("%d/999", u)); c.err != nil {
			wrong = append(wrong, fmt.Sprintf("user %d is not free: %v", u, c.err))
		}
	}
	return wrong
}
