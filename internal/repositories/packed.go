package repositories

import (
	"encoding/binary"
	"time"

	"github.com/google/uuid"
)

// packed are rows of fixed width in the database's binary format, one after the other. As rows of their own they would
// cost the server and the driver several times as much. Whoever reads them knows what they are made of.
type packed []byte

const wordSize = 8

func (p packed) rows(width int) int { return len(p) / width }

func (p *packed) uuid() (id uuid.UUID) {
	*p = (*p)[copy(id[:], *p):]
	return id
}

func (p *packed) int64() int64 {
	n := binary.BigEndian.Uint64(*p)
	*p = (*p)[wordSize:]
	return int64(n)
}

// postgresEpoch is what times count their microseconds from.
var postgresEpoch = time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func (p *packed) time() time.Time { return time.UnixMicro(postgresEpoch + p.int64()).UTC() }
