package postgres

import (
	"encoding/binary"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// uuidScalar reads and writes uuid.UUID as it is sent. The driver knows our type as a sql.Scanner and driver.Valuer only,
// and would write text for it to parse: a thirtieth of a list.
type uuidScalar struct{ pgtype.Codec }

// PlanEncode implements pgtype.Codec.
func (c uuidScalar) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ours := value.(uuid.UUID); ours && format == pgtype.BinaryFormatCode {
		return plainUUID{}
	}
	return c.Codec.PlanEncode(m, oid, format, value)
}

// PlanScan implements pgtype.Codec.
func (c uuidScalar) PlanScan(m *pgtype.Map, oid uint32, format int16, target any) pgtype.ScanPlan {
	if _, ours := target.(*uuid.UUID); !ours {
		return c.Codec.PlanScan(m, oid, format, target)
	}
	if format == pgtype.BinaryFormatCode {
		return plainUUID{}
	}
	return writtenUUID{}
}

type plainUUID struct{}

// Encode implements pgtype.EncodePlan.
func (plainUUID) Encode(value any, buf []byte) ([]byte, error) {
	id := value.(uuid.UUID)
	return append(buf, id[:]...), nil
}

// Scan implements pgtype.ScanPlan. NULL is an error.
func (plainUUID) Scan(src []byte, target any) error {
	id, err := uuid.FromBytes(src)
	*target.(*uuid.UUID) = id
	return err
}

// writtenUUID is the same in the text format.
type writtenUUID struct{}

// Scan implements pgtype.ScanPlan. NULL is an error.
func (writtenUUID) Scan(src []byte, target any) error {
	id, err := uuid.ParseBytes(src)
	*target.(*uuid.UUID) = id
	return err
}

// uuidArray encodes []uuid.UUID as it is sent. The driver knows our type by reflection and its Value method only, one
// element at a time, which was a tenth of what a batch of commands cost the process.
type uuidArray struct{ pgtype.Codec }

// PlanEncode implements pgtype.Codec.
func (c uuidArray) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ours := value.([]uuid.UUID); ours && format == pgtype.BinaryFormatCode {
		return encodeUUIDs{}
	}
	return c.Codec.PlanEncode(m, oid, format, value)
}

type encodeUUIDs struct{}

// Encode implements pgtype.EncodePlan: an array of one dimension and no nulls, as array_recv reads it.
func (encodeUUIDs) Encode(value any, buf []byte) ([]byte, error) {
	ids := value.([]uuid.UUID)
	if ids == nil {
		ids = []uuid.UUID{} // nothing to do is no NULL to the statements
	}
	const size = uint32(len(uuid.UUID{}))
	dimensions := uint32(1)
	if len(ids) == 0 {
		dimensions = 0
	}
	buf = binary.BigEndian.AppendUint32(buf, dimensions)
	buf = binary.BigEndian.AppendUint32(buf, 0)
	buf = binary.BigEndian.AppendUint32(buf, pgtype.UUIDOID)
	if dimensions == 0 {
		return buf, nil
	}
	buf = binary.BigEndian.AppendUint32(buf, uint32(len(ids)))
	buf = binary.BigEndian.AppendUint32(buf, 1)
	for _, id := range ids {
		buf = binary.BigEndian.AppendUint32(buf, size)
		buf = append(buf, id[:]...)
	}
	return buf, nil
}
