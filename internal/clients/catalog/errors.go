package catalog

import "fmt"

// PoisonError says that an event can never be applied as it is.
type PoisonError struct {
	// Field is the path in video.v1.Event; payload for the message as a whole.
	Field   string
	Problem string
}

func (e *PoisonError) Error() string { return fmt.Sprintf("%s: %s", e.Field, e.Problem) }

// UnknownTypeError says that an event is of a type this release does not know; a newer one may apply it.
type UnknownTypeError struct {
	// Type is what the message calls itself; it may be empty.
	Type string
}

func (e *UnknownTypeError) Error() string { return fmt.Sprintf("unknown event type %q", e.Type) }
