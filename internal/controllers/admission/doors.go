package admission

import (
	"context"
	"time"

	"github.com/lingo-services/profile/internal/models"
)

// Budget is a kind of work with slots of its own, so that one kind does not starve another.
type Budget uint8

// The budgets.
const (
	// Reads need a connection each.
	Reads Budget = iota + 1
	// Updates need a connection each, and write.
	Updates
	// Shared calls write in transactions that they share.
	Shared
	// SharedReads read by statements that they share.
	SharedReads
)

// Doors are the gates of all budgets, and what is seen before them.
type Doors struct {
	gates    map[Budget]*Gate
	press    *Press
	observer Observer
}

// Settings are the options of each gate; Enabled false lets everybody in.
type Settings struct {
	Enabled                bool
	Reads, Updates, Shared Options
	SharedReads            Options
	// Runnable is how many goroutines may wait for a processor before calls are refused where they come in.
	Runnable int
}

// NewDoors makes the gates.
func NewDoors(s Settings, observer Observer) *Doors {
	if !s.Enabled {
		return &Doors{}
	}
	return &Doors{press: NewPress(s.Runnable, Runnable, time.Now), observer: observer, gates: map[Budget]*Gate{
		Reads:   NewGate("reads", s.Reads, observer, time.Now),
		Updates: NewGate("updates", s.Updates, observer, time.Now),
		Shared:  NewGate("shared", s.Shared, observer, time.Now),

		SharedReads: NewGate("shared_reads", s.SharedReads, observer, time.Now),
	}}
}

// Arrive is asked before a call costs anything, and reports whether it may come in: while no more than so many times
// Settings.Runnable wait for a processor.
func (d *Doors) Arrive(b Budget, times int) bool {
	gate, closed := d.gates[b]
	if !closed || !d.press.Crowded(times) {
		return true
	}
	d.observer.Refused(gate.budget, Pressed)
	return false
}

// Enter is Gate.Enter at the gate of a budget.
func (d *Doors) Enter(ctx context.Context, b Budget, user models.UserID) (leave func(), err error) {
	gate, closed := d.gates[b]
	if !closed {
		return func() {}, nil
	}
	return gate.Enter(ctx, user)
}
