package models

import (
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// UserID is never the nil UUID once parsed; the zero value means "absent". It prints in lower case
// canonical form.
type UserID uuid.UUID

// VideoID is UserID for videos.
type VideoID uuid.UUID

// ErrInvalidID says that a text is not a UUID in the one accepted form (S4).
var ErrInvalidID = errors.New("must be a UUID of 36 characters, not all zero")

// ParseUserID accepts the 36-character canonical form in any case and refuses every other spelling that
// UUID libraries tolerate (braces, urn:uuid:, 32 digits) and the nil UUID. Errors: ErrInvalidID.
func ParseUserID(text string) (UserID, error) {
	id, err := parseID(text)
	return UserID(id), err
}

// ParseVideoID is ParseUserID for videos.
func ParseVideoID(text string) (VideoID, error) {
	id, err := parseID(text)
	return VideoID(id), err
}

func parseID(text string) (uuid.UUID, error) {
	const canonicalLength = 36
	if len(text) != canonicalLength {
		return uuid.Nil, ErrInvalidID
	}
	id, err := uuid.Parse(text)
	if err != nil || id == uuid.Nil {
		return uuid.Nil, ErrInvalidID
	}
	return id, nil
}

func (id UserID) String() string  { return uuid.UUID(id).String() }
func (id VideoID) String() string { return uuid.UUID(id).String() }

// MarshalText gives stored answers the canonical form (S85).
func (id UserID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText gives stored answers the canonical form (S85).
func (id VideoID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *UserID) UnmarshalText(text []byte) (err error) {
	if *id, err = ParseUserID(string(text)); err != nil {
		return fmt.Errorf("user id: %w", err)
	}
	return nil
}

// UnmarshalText reads what MarshalText wrote.
func (id *VideoID) UnmarshalText(text []byte) (err error) {
	if *id, err = ParseVideoID(string(text)); err != nil {
		return fmt.Errorf("video id: %w", err)
	}
	return nil
}
