package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// register is what one user last said about one video: a like, a bookmark, or where they are in it.
type register struct {
	user, video uuid.UUID
	kind        string
}

// The kinds of register.
const (
	liked      = "like"
	bookmarked = "bookmark"
	watching   = "watch"
)

// account is a caller's journal of one register, whose calls it makes one after the other.
type account struct {
	// value of the last acknowledged write: 1 and 0 for a favourite that is there or not, the position otherwise.
	value int64
	// changes counts acknowledged calls that changed something.
	changes int
	// refused are values that a call since then wanted and was refused.
	refused []int64
	// open: the last call was never answered.
	open bool
}

// answers are all accounts of a round, and what callers saw that nobody should.
type answers struct {
	accounts map[register]account
	seen     []complaint
}

// complaint is a broken invariant that shows at once.
type complaint struct{ invariant, text string }

// stored is what the database has of a round's users when it is quiet.
type stored struct {
	// values as in account; a register without a row is missing.
	values map[register]int64
	// events say what became of a favourite, in the order of their versions: 1 added, 0 removed.
	events map[register][]int64
	// drifted names counters that differ from their recount.
	drifted []string
}

// judgeAnswers holds a quiet world against what callers were told.
func judgeAnswers(a answers, s stored) (problems []string) {
	found := map[string][]string{}
	blame := func(invariant, format string, args ...any) {
		found[invariant] = append(found[invariant], fmt.Sprintf(format, args...))
	}
	for _, c := range a.seen {
		blame(c.invariant, "%s", c.text)
	}
	for r, want := range a.accounts {
		if want.open {
			blame("A8", "%s of %s was never answered", r.kind, r.user)
			continue
		}
		have := s.values[r]
		switch {
		case have == want.value:
		case slices.Contains(want.refused, have):
			blame("A2", "%s of user %s for video %s is %d, which was refused; acknowledged was %d", r.kind, r.user, r.video, have, want.value)
		default:
			blame("A1", "%s of user %s for video %s is %d, acknowledged was %d", r.kind, r.user, r.video, have, want.value)
		}
		if r.kind == watching {
			continue
		}
		events := s.events[r]
		if len(events) < want.changes {
			blame("A1", "%d of %d acknowledged changes of a %s have no event", want.changes-len(events), want.changes, r.kind)
		}
		if len(events) > want.changes {
			blame("A4", "%d acknowledged changes of a %s have %d events", want.changes, r.kind, len(events))
		}
		if !alternating(events) {
			blame("A4", "the events of a %s of user %s repeat each other: %v", r.kind, r.user, events)
		}
	}
	for r := range s.events {
		if _, known := a.accounts[r]; !known {
			blame("A2", "user %s has events of a %s that nobody was told of", r.user, r.kind)
		}
	}
	for _, d := range s.drifted {
		blame("A6", "%s", d)
	}
	for invariant, all := range found {
		slices.Sort(all)
		more := ""
		if len(all) > 1 {
			more = fmt.Sprintf(" (and %d more)", len(all)-1)
		}
		problems = append(problems, invariant+": "+all[0]+more)
	}
	slices.SortFunc(problems, cmp.Compare[string])
	return problems
}

// alternating: a favourite is added, removed, added and so on.
func alternating(events []int64) bool {
	for i, e := range events {
		if e != int64(1-i%2) {
			return false
		}
	}
	return true
}
