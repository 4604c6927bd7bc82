package outbox

import "sync"

// mailbox hands values to one reader without ever blocking the writers.
type mailbox[T any] struct {
	mu     sync.Mutex
	values []T
	// mail has a value while there is something to take.
	mail chan struct{}
}

func newMailbox[T any]() *mailbox[T] { return &mailbox[T]{mail: make(chan struct{}, 1)} }

func (m *mailbox[T]) put(v T) {
	m.mu.Lock()
	m.values = append(m.values, v)
	m.mu.Unlock()
	select {
	case m.mail <- struct{}{}:
	default:
	}
}

func (m *mailbox[T]) takeAll() []T {
	m.mu.Lock()
	defer m.mu.Unlock()
	values := m.values
	m.values = nil
	return values
}
