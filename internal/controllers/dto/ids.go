package dto

import (
	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lingo-services/profile/internal/models"
)

// idLists are the fields of requests that are lists of ids, and how many ids each may have. protovalidate interprets the
// rules of a list for every item, which cost a third of a batch read; so the rules are asked only about a list in which
// something is wrong, because they know what to say.
type idLists map[protoreflect.FieldDescriptor]uint64

// add finds the lists of a message whose rules are those of ids and nothing else.
func (l idLists) add(message protoreflect.MessageDescriptor) error {
	ofIDs := validate.RepeatedRules_builder{
		Items: validate.FieldRules_builder{
			String: validate.StringRules_builder{Uuid: new(true), NotIn: []string{uuid.Nil.String()}}.Build(),
		}.Build(),
	}.Build()
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		rules, err := protovalidate.ResolveFieldRules(field)
		if err != nil {
			return err
		}
		if !rules.GetRepeated().HasMaxItems() {
			continue
		}
		most := rules.GetRepeated().GetMaxItems()
		ofIDs.SetMaxItems(most)
		if proto.Equal(rules, validate.FieldRules_builder{Repeated: ofIDs}.Build()) {
			l[field] = most
		}
	}
	return nil
}

// ShouldValidate implements protovalidate.Filter: false for a list in which nothing is wrong.
func (l idLists) ShouldValidate(message protoreflect.Message, d protoreflect.Descriptor) bool {
	field, isField := d.(protoreflect.FieldDescriptor)
	if !isField {
		return true
	}
	most, known := l[field]
	if !known {
		return true
	}
	ids := message.Get(field).List()
	if uint64(ids.Len()) > most {
		return true
	}
	for i := range ids.Len() {
		if _, err := models.ParseVideoID(ids.Get(i).String()); err != nil {
			return true
		}
	}
	return false
}
