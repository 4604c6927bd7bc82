package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/uuid"
)

// entry is an event of a transaction that committed.
type entry struct {
	event, key  uuid.UUID
	version, id int64
}

// arrival is an event the broker took.
type arrival struct {
	event, key uuid.UUID
	version    int64
	at         time.Time
	message    *pubsubpb.PubsubMessage
}

// deletion is a row that left the queue.
type deletion struct {
	id int64
	at time.Time
}

// outcome is what a writer was told about its transaction.
type outcome uint8

const (
	// unknown transactions were not answered.
	unknown outcome = iota
	committed
	rolledBack
)

// history is everything that is known about a world.
type history struct {
	journal   []entry
	arrivals  []arrival
	deletions []deletion
	told      map[uuid.UUID]outcome
	// owners are the (lane, epoch) pairs that more than one publisher owned.
	sharedEpochs int
	// allowance is how many repetitions the faults so far explain.
	allowance int
}

// verdict counts; problems has one line per broken invariant.
type verdict struct {
	committed, delivered                  int
	lost, phantoms, inversions, duplicate int
	problems                              []string
}

func (v *verdict) blame(broken bool, invariant, format string, args ...any) {
	if broken {
		v.problems = append(v.problems, invariant+": "+fmt.Sprintf(format, args...))
	}
}

// judge holds a quiet world's history against the invariants of the publisher.
func judge(h history) (v verdict) {
	first := map[uuid.UUID]arrival{}
	for _, a := range h.arrivals {
		if _, again := first[a.event]; again {
			v.duplicate++
		} else {
			first[a.event] = a
		}
	}
	byEvent := make(map[uuid.UUID]entry, len(h.journal))
	for _, e := range h.journal {
		byEvent[e.event] = e
		if _, delivered := first[e.event]; !delivered {
			v.lost++
		}
	}
	for event := range first {
		if _, exists := byEvent[event]; !exists {
			v.phantoms++
		}
	}
	v.committed, v.delivered = len(h.journal), len(first)
	v.inversions = inversions(h.arrivals)
	v.blame(v.lost > 0, "I1", "%d of %d committed events never reached the broker", v.lost, v.committed)
	v.blame(v.phantoms > 0, "I2", "%d published events were never committed", v.phantoms)
	v.blame(v.inversions > 0, "I3", "%d first deliveries came after a later version of their key", v.inversions)
	gaps := gaps(h.journal)
	v.blame(gaps > 0, "I3", "%d keys do not have versions 1..n", gaps)
	v.blame(v.duplicate > h.allowance, "I4", "%d duplicates, the faults explain %d", v.duplicate, h.allowance)
	early := early(h.journal, h.deletions, first)
	v.blame(early > 0, "I5", "%d events left the queue before the broker had them", early)
	v.blame(h.sharedEpochs > 0, "I12", "%d lane epochs had two owners", h.sharedEpochs)
	denied, revived := contradictions(h.told, byEvent, first)
	v.blame(denied > 0, "I1", "%d events were confirmed to their writer and are gone", denied)
	v.blame(revived > 0, "I2", "%d events of rolled-back transactions exist", revived)
	return v
}

// inversions counts events whose first arrival came after that of a later version of the same key.
func inversions(arrivals []arrival) (n int) {
	seen := map[uuid.UUID]bool{}
	last := map[uuid.UUID]int64{}
	for _, a := range arrivals {
		if seen[a.event] {
			continue
		}
		seen[a.event] = true
		if a.version < last[a.key] {
			n++
		}
		last[a.key] = max(last[a.key], a.version)
	}
	return n
}

// gaps counts keys whose committed versions are not 1..n.
func gaps(journal []entry) (n int) {
	versions := map[uuid.UUID][]int64{}
	for _, e := range journal {
		versions[e.key] = append(versions[e.key], e.version)
	}
	for _, v := range versions {
		slices.Sort(v)
		if v[0] != 1 || v[len(v)-1] != int64(len(v)) || len(slices.Compact(v)) != len(v) {
			n++
		}
	}
	return n
}

// early counts rows that left the queue before the broker had their event.
func early(journal []entry, deletions []deletion, first map[uuid.UUID]arrival) (n int) {
	events := make(map[int64]uuid.UUID, len(journal))
	for _, e := range journal {
		events[e.id] = e.event
	}
	for _, d := range deletions {
		event, known := events[d.id]
		a, arrived := first[event]
		if known && (!arrived || d.at.Before(a.at)) {
			n++
		}
	}
	return n
}

func contradictions(told map[uuid.UUID]outcome, journal map[uuid.UUID]entry, first map[uuid.UUID]arrival) (denied, revived int) {
	for event, outcome := range told {
		_, exists := journal[event]
		_, delivered := first[event]
		switch {
		case outcome == committed && !exists:
			denied++
		case outcome == rolledBack && (exists || delivered):
			revived++
		}
	}
	return denied, revived
}

// percentile of a sample; zero of an empty one.
func percentile(sample []time.Duration, p float64) time.Duration {
	if len(sample) == 0 {
		return 0
	}
	sorted := slices.Clone(sample)
	slices.SortFunc(sorted, cmp.Compare)
	return sorted[min(len(sorted)-1, int(float64(len(sorted))*p))]
}
