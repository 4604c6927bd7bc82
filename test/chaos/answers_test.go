package main

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func TestAnswersOracle(t *testing.T) {
	t.Parallel()
	user, video := uuid.New(), uuid.New()
	like, bookmark, watch := register{user, video, liked}, register{user, video, bookmarked}, register{user, video, watching}
	change := func(a *answers, r register, f func(*account)) {
		acc := a.accounts[r]
		f(&acc)
		a.accounts[r] = acc
	}
	for name, c := range map[string]struct {
		change func(*answers, *stored)
		want   string
	}{
		"Good":                  {func(*answers, *stored) {}, ""},
		"AcknowledgedAndGone":   {func(_ *answers, s *stored) { s.values[like] = 0 }, "A1"},
		"RemovedAndThere":       {func(_ *answers, s *stored) { s.values[bookmark] = 1 }, "A1"},
		"PositionLost":          {func(_ *answers, s *stored) { s.values[watch] = 10 }, "A1"},
		"ChangeWithoutEvent":    {func(_ *answers, s *stored) { s.events[like] = s.events[like][:2] }, "A1"},
		"RefusedAndThere":       {func(_ *answers, s *stored) { s.values[watch] = 30 }, "A2"},
		"RefusedAndNotThere":    {func(a *answers, _ *stored) { change(a, like, func(x *account) { x.refused = []int64{0} }) }, ""},
		"EventNobodyWasToldOf":  {func(_ *answers, s *stored) { s.events[register{user, uuid.New(), liked}] = []int64{1} }, "A2"},
		"NeighboursError":       {func(a *answers, _ *stored) { a.seen = []complaint{{"A3", "INVALID_ARGUMENT"}} }, "A3"},
		"AppliedTwice":          {func(_ *answers, s *stored) { s.events[like] = []int64{1, 0, 1, 0} }, "A4"},
		"AddedTwice":            {func(_ *answers, s *stored) { s.events[like] = []int64{1, 1, 0} }, "A4"},
		"StaleRead":             {func(a *answers, _ *stored) { a.seen = []complaint{{"A5", "like is false"}} }, "A5"},
		"CounterDrift":          {func(_ *answers, s *stored) { s.drifted = []string{"video: likes 1, counted 2"} }, "A6"},
		"MoreInWorkThanAllowed": {func(a *answers, _ *stored) { a.seen = []complaint{{"A7", "128 in work"}} }, "A7"},
		"NeverAnswered":         {func(a *answers, _ *stored) { change(a, like, func(x *account) { x.open = true }) }, "A8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := answers{accounts: map[register]account{
				like: {value: 1, changes: 3}, bookmark: {value: 0, changes: 2}, watch: {value: 20, changes: 2, refused: []int64{30}},
			}}
			s := stored{
				values: map[register]int64{like: 1, watch: 20},
				events: map[register][]int64{like: {1, 0, 1}, bookmark: {1, 0}},
			}
			c.change(&a, &s)
			problems := judgeAnswers(a, s)
			if c.want == "" {
				require.Empty(t, problems)
				return
			}
			require.Len(t, problems, 1)
			require.Equal(t, c.want, problems[0][:indexColon(problems[0])])
		})
	}
}

func TestInvariantsAreFoundInComplaints(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"I3", "I14", "A1", "A8"} {
		found := invariant.FindStringSubmatch("  round 2: strike: x\n" + name + ": what happened\n  again: make chaos")
		require.Equal(t, []string{"2", name, "what happened"}, found[1:])
	}
}
