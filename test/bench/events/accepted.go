package main

import (
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// accepted notes when the broker got the events somebody waits for.
type accepted struct {
	mu     sync.Mutex
	waited map[string]chan time.Time
}

func newAccepted() *accepted { return &accepted{waited: map[string]chan time.Time{}} }

// await returns a channel that gets the time of an event's arrival.
func (a *accepted) await(eventID string) <-chan time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	arrived := make(chan time.Time, 1)
	a.waited[eventID] = arrived
	return arrived
}

// React implements pstest.Reactor; the broker goes on as usual.
func (a *accepted) React(request any) (handled bool, answer any, err error) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waited) == 0 {
		return false, nil, nil
	}
	for _, m := range request.(*pubsubpb.PublishRequest).GetMessages() {
		if arrived := a.waited[m.GetAttributes()["event_id"]]; arrived != nil {
			arrived <- now
			delete(a.waited, m.GetAttributes()["event_id"])
		}
	}
	return false, nil, nil
}
