package config

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

const hidden = "***"

// Redacted prints the configuration as JSON with every field marked debug_redact hidden.
func Redacted(conf *confpb.Bootstrap) string {
	safe := proto.CloneOf(conf)
	redact(safe.ProtoReflect())
	return protojson.Format(safe)
}

func redact(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		options, _ := f.Options().(*descriptorpb.FieldOptions)
		switch {
		case options.GetDebugRedact() && f.IsList():
			for i := range v.List().Len() {
				v.List().Set(i, protoreflect.ValueOfString(hidden))
			}
		case options.GetDebugRedact():
			m.Set(f, protoreflect.ValueOfString(hidden))
		case f.Message() != nil && f.IsList():
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message())
			}
		case f.Message() != nil:
			redact(v.Message())
		}
		return true
	})
}
