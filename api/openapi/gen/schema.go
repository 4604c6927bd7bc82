package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lingo-services/profile/internal/controllers/rest"
)

// components are what operations refer to. Errors: a message that protoc-gen-openapi does not know.
func components(contract object, routes []rest.Route) (object, error) {
	s := schemas{contract: in(contract, "components", "schemas"), done: problemSchemas()}
	responses := object{}
	for _, r := range routes {
		_, refused := problems(r)
		maps.Copy(responses, refused)
		if err := s.answer(r.Answer); err != nil {
			return nil, err
		}
		if r.HasBody {
			if err := s.request(r); err != nil {
				return nil, err
			}
		}
	}
	return object{
		"schemas": s.done, "responses": responses, "parameters": headerParameters, "headers": headers, "examples": problemExamples(),
		"securitySchemes": securitySchemes,
	}, nil
}

// schemas collects the shapes of bodies. A message has one for answers, in which everything is that has no presence, and
// one for requests, which is closed and has the rules of fields.
type schemas struct {
	contract object
	done     object
}

// message is a message's schema and properties as protoc-gen-openapi made them, to be changed.
func (s schemas) message(d protoreflect.MessageDescriptor) (schema, properties object, err error) {
	base, ok := s.contract[string(d.Name())].(object)
	if !ok {
		return nil, nil, fmt.Errorf("the contract has no schema %s", d.Name())
	}
	properties = object{}
	for name, value := range in(base, "properties") {
		property, _ := value.(object)
		property = maps.Clone(property)
		comment, _ := property["description"].(string)
		if comment != "" {
			property["description"] = words(comment)
		}
		field := d.Fields().ByName(protoreflect.Name(name))
		switch {
		case field.Enum() != nil && !field.IsList():
			delete(property, "format") // which is "enum"
		case isMessage(field, "google.protobuf.Value"):
			delete(property, "allOf")
			property["anyOf"] = anything()
		case isMessage(field, "google.protobuf.Struct"):
			property["additionalProperties"] = true
		case isInt64(field):
			property["format"], property["pattern"] = "int64", "^-?[0-9]+$"
		}
		properties[name] = property
	}
	schema = object{"type": "object", "properties": properties}
	if comment, ok := base["description"].(string); ok {
		schema["description"] = words(comment)
	}
	return schema, properties, nil
}

// anything is every JSON value, null too.
func anything() []any {
	return []any{
		object{"type": "string", "nullable": true},
		object{"type": "number"},
		object{"type": "boolean"},
		object{"type": "object", "additionalProperties": true},
		object{"type": "array", "items": object{}},
	}
}

// answer adds the schema of a message in answers, and those below it.
func (s schemas) answer(d protoreflect.MessageDescriptor) error {
	if s.done[string(d.Name())] != nil {
		return nil
	}
	schema, _, err := s.message(d)
	if err != nil {
		return err
	}
	s.done[string(d.Name())] = schema
	required := []any{}
	for i := range d.Fields().Len() {
		field := d.Fields().Get(i)
		if !field.HasPresence() {
			required = append(required, string(field.Name()))
		}
		if own(field) {
			if err := s.answer(field.Message()); err != nil {
				return err
			}
		}
	}
	if len(required) > 0 {
		schema["required"] = required
	}
	return nil
}

// requestSchema is the name of a route's body.
func requestSchema(r rest.Route) string {
	if r.Verb == http.MethodPatch {
		return strings.TrimSuffix(strings.TrimPrefix(string(r.Method.Input().Name()), "Update"), "Request") + "Patch"
	}
	return string(r.Method.Input().Name())
}

// request adds the schema of a route's body: a merge patch of the resource, or what of the message is not in the path.
func (s schemas) request(r rest.Route) error {
	if r.Verb == http.MethodPatch {
		resource := strings.TrimSuffix(requestSchema(r), "Patch")
		return s.patch(r.Method.Input().ParentFile().Messages().ByName(protoreflect.Name(resource)))
	}
	drop := pathFields(r)
	if fixedByPath(r) {
		for _, name := range fixed {
			drop = append(drop, protoreflect.Name(name))
		}
	}
	return s.input(r.Method.Input(), requestSchema(r), drop)
}

// input adds the schema of a message in requests under name, without the fields of drop.
func (s schemas) input(d protoreflect.MessageDescriptor, name string, drop []protoreflect.Name) error {
	schema, properties, err := s.message(d)
	if err != nil {
		return err
	}
	required := []any{}
	for i := range d.Fields().Len() {
		field := d.Fields().Get(i)
		key := string(field.Name())
		if slices.Contains(drop, field.Name()) {
			delete(properties, key)
			continue
		}
		property := in(properties, key)
		if text, ok := said[key]; ok {
			property["description"] = text
		}
		outputOnly(property)
		constrain(property, field)
		if rules(field).GetRequired() {
			required = append(required, key)
		}
		if own(field) {
			nested := string(field.Message().Name()) + "Input"
			property["allOf"] = []any{ref("schemas", nested)}
			if err := s.input(field.Message(), nested, nil); err != nil {
				return err
			}
		}
	}
	if len(required) > 0 {
		schema["required"] = required
	}
	schema["additionalProperties"] = false
	s.done[name] = schema
	return nil
}

// patch adds the schema of a merge patch (RFC 7396) of a resource.
func (s schemas) patch(d protoreflect.MessageDescriptor) error {
	schema, err := s.mergePatch(d)
	s.done[string(d.Name())+"Patch"] = schema
	return err
}

// mergePatch is the schema of a patch, those of the messages within it inside: null may stand for them, which a
// reference of 3.0 cannot say.
func (s schemas) mergePatch(d protoreflect.MessageDescriptor) (object, error) {
	schema, properties, err := s.message(d)
	if err != nil {
		return nil, err
	}
	for name := range properties {
		field := d.Fields().ByName(protoreflect.Name(name))
		if own(field) {
			if properties[name], err = s.mergePatch(field.Message()); err != nil {
				return nil, err
			}
		}
		property := in(properties, name)
		outputOnly(property)
		constrain(property, field)
		// A profile keeps its name.
		if property["readOnly"] == nil && name != "display_name" {
			property["nullable"] = true
		}
	}
	schema["description"] = fmt.Sprintf("A JSON merge patch (RFC 7396) of %s: what is absent stays, null clears, anything else is set; "+
		"`extra` is merged key by key, each key's value as a whole.", d.Name())
	schema["additionalProperties"] = false
	return schema, nil
}

// outputOnly marks what requests may send back and the service ignores.
func outputOnly(property object) {
	if comment, _ := property["description"].(string); strings.HasPrefix(comment, "Output only") {
		property["readOnly"] = true
	}
}

// own reports whether a field holds messages of the contract, which have schemas of their own.
func own(field protoreflect.FieldDescriptor) bool {
	return field.Message() != nil && field.Message().ParentFile().Package() == "profile.v1"
}

func isMessage(field protoreflect.FieldDescriptor, name protoreflect.FullName) bool {
	return field.Message() != nil && field.Message().FullName() == name
}

func isInt64(field protoreflect.FieldDescriptor) bool {
	return field.Kind() == protoreflect.Int64Kind || isMessage(field, "google.protobuf.Int64Value")
}

func rules(field protoreflect.FieldDescriptor) *validate.FieldRules {
	all, _ := proto.GetExtension(field.Options(), validate.E_Field).(*validate.FieldRules)
	return all
}

// constrain adds the rules of a field that a schema can say.
func constrain(schema object, field protoreflect.FieldDescriptor) {
	all := rules(field)
	texts(schema, all.GetString())
	if r := all.GetInt32(); r.HasGte() {
		schema["minimum"] = r.GetGte()
	}
	if r := all.GetInt32(); r.HasLte() {
		schema["maximum"] = r.GetLte()
	}
	if r := all.GetDouble(); r.HasGte() {
		schema["minimum"] = r.GetGte()
	}
	if r := all.GetDouble(); r.HasLte() {
		schema["maximum"] = r.GetLte()
	}
	if list := all.GetRepeated(); list.HasMaxItems() {
		schema["maxItems"] = list.GetMaxItems()
		items := maps.Clone(in(schema, "items"))
		texts(items, list.GetItems().GetString())
		schema["items"] = items
	}
	if isInt64(field) && all.GetInt64().HasGte() {
		schema["pattern"] = "^[0-9]+$" // no rule of the contract has another bound than 0
	}
	if isMessage(field, "google.protobuf.Timestamp") {
		schema["format"] = "date-time"
	}
	if field.Kind() == protoreflect.Int32Kind {
		schema["format"] = "int32"
	}
}

func texts(schema object, r *validate.StringRules) {
	if r.GetUuid() {
		schema["format"] = "uuid"
	}
	if r.HasMaxLen() {
		schema["maxLength"] = r.GetMaxLen()
	}
	if r.HasPattern() {
		schema["pattern"] = r.GetPattern()
	}
}
