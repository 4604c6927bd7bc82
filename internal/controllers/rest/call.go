package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// What makes a request unreadable travels from grpc-gateway's decoders to the call as an unknown field of the message:
// nothing else is common to them.
const faultField = protowire.MaxValidNumber

func fault(message proto.Message, problems []Violation) error {
	if len(problems) == 0 {
		return nil
	}
	list, err := json.Marshal(append(faults(message), problems...))
	if err != nil {
		return fmt.Errorf("encode violations: %w", err)
	}
	wire := protowire.AppendTag(nil, faultField, protowire.BytesType)
	message.ProtoReflect().SetUnknown(protowire.AppendBytes(wire, list))
	return nil
}

func faults(message proto.Message) (problems []Violation) {
	wire := message.ProtoReflect().GetUnknown()
	if _, _, n := protowire.ConsumeTag(wire); n > 0 {
		list, _ := protowire.ConsumeBytes(wire[n:])
		_ = json.Unmarshal(list, &problems) // written by fault
	}
	return problems
}

// problemsOf are all violations of a request, which gets what its route fixes.
func problemsOf(ctx context.Context, message proto.Message) []Violation {
	problems := faults(message)
	if r, ok := message.(*profilev1.MutateFavoriteRequest); ok {
		pattern, _ := runtime.HTTPPathPattern(ctx)
		problems = append(problems, fix(r, verbOf(ctx), pattern)...)
	}
	return append(problems, ignored(ctx, message, problems)...)
}

// ignored are the parameters that grpc-gateway passes over: it reads no query beside a body, nor for what the path says.
func ignored(ctx context.Context, message proto.Message, known []Violation) (problems []Violation) {
	asked, _ := ctx.Value(askedKey{}).(asked)
	pattern, _ := runtime.HTTPPathPattern(ctx)
	for _, name := range sortedKeys(asked.query) {
		path, field := parameter(message.ProtoReflect().Descriptor(), name)
		inPath := strings.Contains(pattern, "{"+path+"}")
		said := slices.ContainsFunc(known, func(v Violation) bool { return v.Field == join("", name) })
		if !said && (asked.hasBody || inPath || field == nil) {
			problems = append(problems, Violation{join("", name), "is not a known parameter"})
		}
	}
	return problems
}

// asked is what a call must know of its request, beside the message.
type asked struct {
	verb    string
	hasBody bool
	query   url.Values
}

type askedKey struct{}

func withRequest(ctx context.Context, a asked) context.Context {
	return context.WithValue(ctx, askedKey{}, a)
}

func verbOf(ctx context.Context) string {
	a, _ := ctx.Value(askedKey{}).(asked)
	return a.verb
}

// codec is the JSON of bodies.
type codec struct{ runtime.JSONPb }

func newCodec() *codec {
	return &codec{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true}}}
}

// NewDecoder implements runtime.Marshaler.
func (*codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		body, err := io.ReadAll(r)
		if err != nil || len(body) == 0 {
			return errors.Join(err, io.EOF)
		}
		message, ok := v.(proto.Message)
		if !ok {
			return fmt.Errorf("%T is not a message", v)
		}
		switch req := v.(type) {
		case *profilev1.UpdateProfileRequest:
			return fault(message, patchProfile(body, req))
		case *profilev1.UpdatePreferencesRequest:
			return fault(message, patchPreferences(body, req))
		}
		problems := decode(body, message)
		for _, field := range fixed[message.ProtoReflect().Descriptor().FullName()] {
			if message.ProtoReflect().Has(field) {
				problems = append(problems, Violation{string(field.Name()), "follows from the path"})
			}
		}
		return fault(message, problems)
	})
}

// query reads the parameters of requests without a body.
type query struct{ runtime.DefaultQueryParser }

// Parse implements runtime.QueryParameterParser.
func (q query) Parse(message proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	var problems []Violation
	said, fields := url.Values{}, map[string]protoreflect.FieldDescriptor{}
	for _, name := range sortedKeys(values) {
		path, field := parameter(message.ProtoReflect().Descriptor(), name)
		if field == nil {
			problems = append(problems, Violation{join("", name), "is not a known parameter"})
			continue
		}
		said[path], fields[path] = append(said[path], values[name]...), field
	}
	for _, path := range sortedKeys(said) {
		switch field := fields[path]; {
		case len(said[path]) > 1 && !field.IsList():
			problems = append(problems, Violation{path, "must be sent once"})
		case q.DefaultQueryParser.Parse(message, url.Values{path: said[path]}, filter) != nil:
			problems = append(problems, Violation{path, "must be " + kindOf(field)})
		}
	}
	slices.SortFunc(problems, func(a, b Violation) int { return strings.Compare(a.Field, b.Field) })
	return fault(message, problems[:min(len(problems), mostViolations)])
}

// parameter finds a field by its path, and the path by the contract's names; nil when there is none, or when it has no
// value of its own.
func parameter(d protoreflect.MessageDescriptor, given string) (path string, field protoreflect.FieldDescriptor) {
	name, rest, nested := strings.Cut(given, ".")
	field = fieldOf(d, name)
	switch {
	case field == nil, nested && field.Message() == nil:
		return "", nil
	case nested:
		inner, leaf := parameter(field.Message(), rest)
		return join(string(field.Name()), inner), leaf
	case field.Message() != nil && field.Message().FullName() != "google.protobuf.Timestamp":
		return "", nil
	}
	return string(field.Name()), field
}
