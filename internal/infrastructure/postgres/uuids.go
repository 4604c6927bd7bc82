package postgres

import (
	"encoding/binary"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

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
