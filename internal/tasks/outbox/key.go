package outbox

import (
	"cmp"
	"slices"
	"time"
)

// mode is what may be done with a key.
type mode uint8

const (
	// flowing: events are handed to the client as they are read.
	flowing mode = iota
	// failing: one failed; nothing more is handed over until every result is known.
	failing
	// probing: the events of a refused call are tried one by one to find the refused one.
	probing
	// closing: a dead letter was met while events before it were outstanding; nothing more is handed over until
	// every result is known, and then the key is read again.
	closing
	// blocked: the first event is a dead letter; an operator decides.
	blocked
)

// key is an ordering key that has something outstanding or is in trouble.
type key struct {
	name string
	mode mode
	// outstanding calls of Publish, by group.
	outstanding int
	// cause is the first real failure since the key flowed.
	cause error
	// returned are events that came back unacknowledged; while probing, those still to be tried, in order.
	returned []*event
	// retryAt is when a probing key tries its first event again; zero while one is outstanding.
	retryAt time.Time
	// missed are lanes where events of the key were read and put aside; they are read again when it flows.
	missed map[int32]struct{}
}

// miss remembers that an event of that lane must be read again.
func (k *key) miss(lane int32) {
	if k.missed == nil {
		k.missed = map[int32]struct{}{}
	}
	k.missed[lane] = struct{}{}
}

// takeBack keeps unacknowledged events in order.
func (k *key) takeBack(events []*event) {
	k.returned = append(k.returned, events...)
	slices.SortFunc(k.returned, func(a, b *event) int { return cmp.Compare(a.ID, b.ID) })
}
