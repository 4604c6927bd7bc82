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

// Doors are the gates of all budgets.
type Doors struct{ gates map[Budget]*Gate }

// Settings are the options of each gate; Enabled false lets everybody in.
type Settings struct {
	Enabled                bool
	Reads, Updates, Shared Options
	SharedReads            Options
}

// NewDoors makes the gates.
func NewDoors(s Settings, observer Observer) *Doors {
	if !s.Enabled {
		return &Doors{}
	}
	return &Doors{map[Budget]*Gate{
		Reads:   NewGate("reads", s.Reads, observer, time.Now),
		Updates: NewGate("updates", s.Updates, observer, time.Now),
		Shared:  NewGate("shared", s.Shared, observer, time.Now),

		SharedReads: NewGate("shared_reads", s.SharedReads, observer, time.Now),
	}}
}

// Enter is Gate.Enter at the gate of a budget.
func (d *Doors) Enter(ctx context.Context, b Budget, user models.UserID) (leave func(), err error) {
	gate, closed := d.gates[b]
	if !closed {
		return func() {}, nil
	}
	return gate.Enter(ctx, user)
}
