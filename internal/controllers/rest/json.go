package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// errJSON says that a body is not JSON at all.
var errJSON = errors.New("is not valid JSON")

// parse reads one JSON value, numbers as they are written.
func parse(body []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, errJSON
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errJSON
	}
	return value, nil
}

// decode reads a body strictly into message. The violations are all those of names and types, by JSON path; of
// message only the fields that name its caller are of use then.
func decode(body []byte, message proto.Message) []Violation {
	value, err := parse(body)
	if err != nil {
		return []Violation{{"", err.Error()}}
	}
	var c checker
	c.message("", value, message.ProtoReflect().Descriptor())
	if len(c.violations) > 0 {
		return c.violations
	}
	if protojson.Unmarshal(body, message) != nil {
		return []Violation{{"", "names a field twice, or has a value that no field can hold"}}
	}
	return nil
}

// checker finds what is wrong between a JSON value and the ProtoJSON mapping of a message.
type checker struct{ violations []Violation }

// mostViolations bounds what a caller can have us say.
const mostViolations = 100

func (c *checker) full() bool { return len(c.violations) >= mostViolations }

func (c *checker) violate(path, format string, args ...any) {
	if c.full() {
		return
	}
	c.violations = append(c.violations, Violation{path, fmt.Sprintf(format, args...)})
}

func (c *checker) message(path string, value any, d protoreflect.MessageDescriptor) {
	object, ok := value.(map[string]any)
	if !ok {
		c.violate(path, "must be an object")
		return
	}
	for _, name := range sortedKeys(object) {
		if c.full() {
			return
		}
		field := fieldOf(d, name)
		switch {
		case field == nil:
			c.violate(join(path, name), "is not a known field")
		case object[name] != nil:
			c.field(join(path, string(field.Name())), object[name], field)
		}
	}
}

// fieldOf finds a field by its name or by its lowerCamelCase one.
func fieldOf(d protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if field := d.Fields().ByName(protoreflect.Name(name)); field != nil {
		return field
	}
	return d.Fields().ByJSONName(name)
}

func (c *checker) field(path string, value any, field protoreflect.FieldDescriptor) {
	if !field.IsList() {
		c.value(path, value, field)
		return
	}
	list, ok := value.([]any)
	if !ok {
		c.violate(path, "must be an array")
		return
	}
	for i, item := range list {
		if c.full() {
			return
		}
		c.value(fmt.Sprintf("%s[%d]", path, i), item, field)
	}
}

// kindOf says what a value must be.
func kindOf(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.StringKind:
		return "a string"
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return "an integer"
	case protoreflect.DoubleKind:
		return "a number"
	case protoreflect.EnumKind:
		return "one of " + strings.Join(names(field.Enum()), ", ")
	default:
		return "a time of RFC 3339, such as 2026-11-27T08:00:00Z"
	}
}

func (c *checker) value(path string, value any, field protoreflect.FieldDescriptor) {
	switch field.Kind() {
	case protoreflect.StringKind:
		c.text(path, value)
	case protoreflect.BoolKind:
		if _, ok := value.(bool); !ok {
			c.violate(path, "must be %s", kindOf(field))
		}
	case protoreflect.Int32Kind:
		c.integer(path, value, math.MinInt32, math.MaxInt32)
	case protoreflect.Int64Kind:
		c.integer(path, value, math.MinInt64, math.MaxInt64)
	case protoreflect.DoubleKind:
		if _, ok := number(value); !ok {
			c.violate(path, "must be %s", kindOf(field))
		}
	case protoreflect.EnumKind:
		c.enum(path, value, field)
	case protoreflect.MessageKind:
		c.known(path, value, field)
	default: // no request has another kind
		c.violate(path, "cannot be read")
	}
}

// known checks the messages that ProtoJSON writes in a form of their own, and all others as objects.
func (c *checker) known(path string, value any, field protoreflect.FieldDescriptor) {
	switch field.Message().FullName() {
	case "google.protobuf.Timestamp":
		text, ok := value.(string)
		if _, err := time.Parse(time.RFC3339Nano, text); !ok || err != nil {
			c.violate(path, "must be %s", kindOf(field))
		}
	case "google.protobuf.Int32Value":
		c.integer(path, value, math.MinInt32, math.MaxInt32)
	case "google.protobuf.Int64Value":
		c.integer(path, value, math.MinInt64, math.MaxInt64)
	case "google.protobuf.FieldMask":
		c.text(path, value)
	case "google.protobuf.Struct":
		if _, ok := value.(map[string]any); !ok {
			c.violate(path, "must be an object")
		}
	default:
		c.message(path, value, field.Message())
	}
}

func (c *checker) text(path string, value any) {
	if _, ok := value.(string); !ok {
		c.violate(path, "must be a string")
	}
}

func (c *checker) integer(path string, value any, least, greatest int64) {
	text, isText := value.(string)
	if n, isNumber := value.(json.Number); isNumber {
		text = n.String()
	} else if !isText {
		c.violate(path, "must be an integer")
		return
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		if n < least || n > greatest {
			c.violate(path, "must be between %d and %d", least, greatest)
		}
		return
	}
	f, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange), f != math.Trunc(f) && !math.IsInf(f, 0):
		c.violate(path, "must be an integer")
	case f < float64(least) || f > float64(greatest):
		c.violate(path, "must be between %d and %d", least, greatest)
	}
}

// number also takes ProtoJSON's texts for what JSON numbers cannot say; the rules of the field refuse those.
func number(value any) (float64, bool) {
	switch v := value.(type) {
	case json.Number:
		f, err := v.Float64()
		return f, err == nil || errors.Is(err, strconv.ErrRange)
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil
	}
	return 0, false
}

func (c *checker) enum(path string, value any, field protoreflect.FieldDescriptor) {
	switch v := value.(type) {
	case string:
		if field.Enum().Values().ByName(protoreflect.Name(v)) == nil {
			c.violate(path, "must be %s", kindOf(field))
		}
	case json.Number:
		c.integer(path, value, math.MinInt32, math.MaxInt32)
	default:
		c.violate(path, "must be %s", kindOf(field))
	}
}

// names are the values of an enum that a caller may use.
func names(d protoreflect.EnumDescriptor) (list []string) {
	for i := range d.Values().Len() {
		if v := d.Values().Get(i); v.Number() != 0 {
			list = append(list, string(v.Name()))
		}
	}
	return list
}

func join(path, name string) string {
	const longest = 64 // of a name that a caller made up
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + "…"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
