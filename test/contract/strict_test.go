package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// keywordTypes are the keywords of draft 2020-12 that these schemas may use, each with the type it says something
// about; empty: about any.
var keywordTypes = map[string]string{
	"$schema": "", "$id": "", "$ref": "", "$defs": "", "$comment": "", "title": "", "description": "", "default": "", "examples": "",
	"deprecated": "", "type": "", "enum": "", "const": "", "format": "string",
	"allOf": "", "anyOf": "", "oneOf": "", "not": "", "if": "", "then": "", "else": "",
	"minLength": "string", "maxLength": "string", "pattern": "string",
	"minimum": "number", "maximum": "number", "exclusiveMinimum": "number", "exclusiveMaximum": "number", "multipleOf": "number",
	"items": "array", "prefixItems": "array", "minItems": "array", "maxItems": "array", "uniqueItems": "array", "contains": "array",
	"minContains": "array", "maxContains": "array",
	"properties": "object", "additionalProperties": "object", "required": "object", "propertyNames": "object",
	"minProperties": "object", "maxProperties": "object",
}

// formats are those of RFC 3339 and its like that validators assert alike.
var formats = []string{"date", "date-time", "email", "uri", "uuid"}

// strictContext is what the schemas around one say about the same value.
type strictContext struct {
	types      []string
	properties []string
}

// strictProblems are what a validator in ajv's strict mode (strict: true) refuses in a schema, by its place.
func strictProblems(schema any, at string, around strictContext) (problems []string) {
	object, isObject := schema.(map[string]any)
	if !isObject {
		return nil // true or false
	}
	say := func(format string, args ...any) { problems = append(problems, at+": "+fmt.Sprintf(format, args...)) }

	types := typesOf(object)
	if len(types) > 1 && (len(types) > 2 || !slices.Contains(types, "null")) {
		say("union of types %q", types)
	}
	for _, t := range types {
		if len(around.types) > 0 && !allows(around.types, t) {
			say("type %q not allowed by context %q", t, around.types)
		}
	}
	here := strictContext{types: types, properties: slices.Concat(around.properties, keys(object["properties"]))}
	if len(types) == 0 {
		here.types = around.types
	}
	for _, keyword := range keys(object) {
		about, known := keywordTypes[keyword]
		switch {
		case !known:
			say("unknown keyword %q", keyword)
		case about != "" && !slices.ContainsFunc(here.types, func(t string) bool { return allows([]string{about}, t) }):
			say("missing type %q for %q", about, keyword)
		}
	}
	for _, name := range list(object["required"]) {
		if !slices.Contains(here.properties, name.(string)) {
			say("required property %q is not defined", name)
		}
	}
	if format, found := object["format"].(string); found && !slices.Contains(formats, format) {
		say("unknown format %q", format)
	}
	for keyword, needs := range map[string][]string{
		"if": {"then", "else"}, "then": {"if"}, "else": {"if"}, "minContains": {"contains"}, "maxContains": {"contains"},
	} {
		if has(object, keyword) && !slices.ContainsFunc(needs, func(other string) bool { return has(object, other) }) {
			say("%q without %q", keyword, needs)
		}
	}
	if tuple := list(object["prefixItems"]); len(tuple) > 0 {
		length := float64(len(tuple))
		if object["minItems"] != length || object["maxItems"] != length && object["items"] != false {
			say("tuple of %v without minItems and maxItems", length)
		}
	}
	return append(problems, problemsWithin(object, at, here)...)
}

// problemsWithin are those of the schemas in a schema.
func problemsWithin(schema map[string]any, at string, here strictContext) (problems []string) {
	check := func(part any, place string, around strictContext) {
		problems = append(problems, strictProblems(part, at+"/"+place, around)...)
	}
	for _, keyword := range []string{"not", "if", "then", "else"} {
		check(schema[keyword], keyword, here)
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		for i, part := range list(schema[keyword]) {
			check(part, fmt.Sprintf("%s/%d", keyword, i), here)
		}
	}
	for _, keyword := range []string{"items", "contains", "additionalProperties", "propertyNames"} {
		check(schema[keyword], keyword, strictContext{})
	}
	for i, part := range list(schema["prefixItems"]) {
		check(part, fmt.Sprintf("prefixItems/%d", i), strictContext{})
	}
	for _, keyword := range []string{"properties", "$defs"} {
		parts, _ := schema[keyword].(map[string]any)
		for _, name := range keys(parts) {
			check(parts[name], keyword+"/"+name, strictContext{})
		}
	}
	return problems
}

func typesOf(schema map[string]any) (types []string) {
	if one, found := schema["type"].(string); found {
		return []string{one}
	}
	for _, t := range list(schema["type"]) {
		types = append(types, t.(string))
	}
	return types
}

// allows: an integer is a number.
func allows(types []string, t string) bool {
	return slices.Contains(types, t) || t == "integer" && slices.Contains(types, "number")
}

func keys(object any) []string {
	fields, _ := object.(map[string]any)
	return slices.Sorted(maps.Keys(fields))
}

func list(value any) []any {
	items, _ := value.([]any)
	return items
}

func has(object map[string]any, keyword string) bool {
	_, found := object[keyword]
	return found
}

// Consumers compile the schemas with ajv, which in strict mode refuses what is legal but most often a mistake.
func TestM41_SchemasPassAjvStrictMode(t *testing.T) {
	t.Parallel()
	for id, schema := range schemas(t) {
		require.Empty(t, strictProblems(schema, id[strings.LastIndex(id, "/")+1:], strictContext{}))
	}
}

func TestM41_StrictModeRefusesWhatAjvRefuses(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"pattern": "x"}`:                                         `missing type "string" for "pattern"`,
		`{"type": "object", "minLength": 1}`:                       `missing type "string" for "minLength"`,
		`{"type": "string", "minimum": 1}`:                         `missing type "number" for "minimum"`,
		`{"format": "uuid"}`:                                       `missing type "string" for "format"`,
		`{"required": ["a"]}`:                                      `missing type "object" for "required"`,
		`{"type": "object", "properties": {"a": {"items": true}}}`: `properties/a: missing type "array"`,
		`{"type": "object", "if": {"properties": {"a": {"pattern": "x"}}}, "then": {"minProperties": 1}}`: `if/properties/a: missing type "string"`,
		`{"type": ["string", "number"]}`:                                                            `union of types`,
		`{"type": ["string", "number", "null"]}`:                                                    `union of types`,
		`{"type": "string", "anyOf": [{"type": "number"}]}`:                                         `anyOf/0: type "number" not allowed by context`,
		`{"type": "string", "not": {"type": "integer"}}`:                                            `not: type "integer" not allowed by context`,
		`{"type": "object", "required": ["a"]}`:                                                     `required property "a" is not defined`,
		`{"type": "object", "properties": {"a": {"type": "object", "required": ["b"]}, "b": true}}`: `required property "b"`,
		`{"type": "string", "format": "phone"}`:                                                     `unknown format "phone"`,
		`{"maxLenght": 1}`:                                                                          `unknown keyword "maxLenght"`,
		`{"$defs": {"a": {"optional": true}}, "$ref": "#/$defs/a"}`:                                 `$defs/a: unknown keyword "optional"`,
		`{"if": {}}`:                             `"if" without`,
		`{"then": {}}`:                           `"then" without`,
		`{"type": "array", "minContains": 1}`:    `"minContains" without`,
		`{"type": "array", "prefixItems": [{}]}`: `tuple of 1`,
		`{"type": "array", "prefixItems": [{}, {}], "minItems": 2}`:                           `tuple of 2`,
		`{"type": "array", "prefixItems": [{"pattern": "x"}], "minItems": 1, "items": false}`: `prefixItems/0: missing type`,
		`{"type": "object", "additionalProperties": {"minimum": 1}}`:                          `additionalProperties: missing type`,
		`{"type": "array", "items": {"type": ["string", "integer"]}}`:                         `items: union of types`,
	} {
		require.Contains(t, strings.Join(problemsOf(t, schema), "\n"), want, schema)
	}
	for _, schema := range []string{
		`true`,
		`{}`,
		`{"type": "string", "pattern": "x", "format": "uuid"}`,
		`{"type": ["string", "null"], "minLength": 1}`,
		`{"type": "integer", "minimum": 1}`,
		`{"type": "number", "anyOf": [{"type": "integer"}, {"minimum": 1}]}`,
		`{"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]}`,
		`{"type": "object", "properties": {"a": true}, "required": ["a"]}`,
		`{"type": "object", "properties": {"a": true}, "if": {"properties": {"a": {"type": "string"}}}, "else": {"required": ["a"]}}`,
		`{"type": "array", "prefixItems": [{}], "minItems": 1, "maxItems": 1}`,
		`{"type": "array", "prefixItems": [{}], "minItems": 1, "items": false}`,
	} {
		require.Empty(t, problemsOf(t, schema), schema)
	}
}

func problemsOf(t *testing.T, text string) []string {
	t.Helper()
	var schema any
	require.NoError(t, json.Unmarshal([]byte(text), &schema), text)
	return strictProblems(schema, "", strictContext{})
}
