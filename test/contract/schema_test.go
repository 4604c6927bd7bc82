package contract

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
	"github.com/lingo-services/profile/internal/models/po"
)

const (
	eventsDir = "../../api/events/profile/v1/"
	goldenDir = "../../internal/models/outbox_events/testdata/"
)

var attributesSchema = strings.TrimSuffix(outboxevents.SchemaID("."), "..json") + "attributes.json"

// schemaSet are the published JSON Schemas by $id.
type schemaSet map[string]map[string]any

func schemas(t testing.TB) schemaSet {
	t.Helper()
	files, err := filepath.Glob(eventsDir + "*.json")
	require.NoError(t, err)
	set := schemaSet{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var schema map[string]any
		require.NoError(t, json.Unmarshal(text, &schema), file)
		id := schema["$id"].(string)
		require.Equal(t, filepath.Base(file), id[strings.LastIndex(id, "/")+1:])
		require.Equal(t, "https://json-schema.org/draft/2020-12/schema", schema["$schema"], file)
		set[id] = schema
	}
	return set
}

// validator checks documents against the published schemas, formats included. It is for one goroutine.
type validator struct{ *jsonschema.Compiler }

func newValidator(t testing.TB) validator {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for id, schema := range schemas(t) {
		require.NoError(t, c.AddResource(id, schema))
	}
	return validator{c}
}

// check is nil when the document has the form that the schema asks for.
func (v validator) check(t testing.TB, id string, document []byte) error {
	t.Helper()
	schema, err := v.Compile(id)
	require.NoError(t, err)
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	require.NoError(t, err)
	return schema.Validate(instance)
}

func (v validator) checkAttributes(t testing.TB, attributes map[string]string) error {
	t.Helper()
	document, err := json.Marshal(attributes)
	require.NoError(t, err)
	return v.check(t, attributesSchema, document)
}

// golden is what internal/models/outbox_events stores of a kind.
type golden struct {
	Payload    map[string]any    `json:"payload"`
	Attributes map[string]string `json:"attributes"`
}

func goldenOf(t testing.TB, kind outboxevents.Kind) (g golden) {
	t.Helper()
	text, err := os.ReadFile(goldenDir + kind + ".json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &g))
	return g
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

func TestM41_GoldenEventsMatchTheirSchemas(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	for _, kind := range outboxevents.Kinds() {
		g := goldenOf(t, kind)
		require.NoError(t, v.check(t, outboxevents.SchemaID(kind), marshal(t, g.Payload)), kind)
		require.NoError(t, v.checkAttributes(t, g.Attributes), kind)
		require.Equal(t, outboxevents.SchemaID(kind), g.Attributes["ce-dataschema"])
	}
}

// A field that only one side knows is a mistake, although consumers tolerate it.
func TestM41_SchemasHaveTheFieldsOfTheMessages(t *testing.T) {
	t.Parallel()
	set := schemas(t)
	for _, kind := range outboxevents.Kinds() {
		message, err := outboxevents.Decode(kind, nil)
		require.NoError(t, err)
		schema, found := set[outboxevents.SchemaID(kind)]
		require.True(t, found, kind)
		require.Equal(t, kind, schema["title"])
		set.requireMessage(t, schema, message.ProtoReflect().Descriptor())
	}
}

// resolve follows a $ref, which names a part of common.json.
func (set schemaSet) resolve(t testing.TB, schema map[string]any) map[string]any {
	t.Helper()
	ref, found := schema["$ref"].(string)
	if !found {
		return schema
	}
	name := ref[strings.LastIndex(ref, "/")+1:]
	common := set[strings.TrimSuffix(attributesSchema, "attributes.json")+"common.json"]
	part, found := common["$defs"].(map[string]any)[name].(map[string]any)
	require.True(t, found, ref)
	return set.resolve(t, part)
}

func (set schemaSet) requireMessage(t testing.TB, schema map[string]any, d protoreflect.MessageDescriptor) {
	t.Helper()
	schema = set.resolve(t, schema)
	require.Equal(t, "object", schema["type"], d.FullName())
	require.Equal(t, true, schema["additionalProperties"], "%s: consumers tolerate what they do not know", d.FullName())
	properties := schema["properties"].(map[string]any)
	names := make([]string, d.Fields().Len())
	for i := range names {
		names[i] = d.Fields().Get(i).JSONName()
	}
	require.ElementsMatch(t, names, slices.Collect(maps.Keys(properties)), d.FullName())
	for i := range names {
		set.requireField(t, properties[names[i]].(map[string]any), d.Fields().Get(i))
	}
	required, _ := schema["required"].([]any)
	require.Subset(t, names, required, d.FullName())
}

// jsonTypes is how protojson writes scalars.
var jsonTypes = map[protoreflect.Kind]string{
	protoreflect.StringKind: "string", protoreflect.Int64Kind: "string", protoreflect.Int32Kind: "integer", protoreflect.DoubleKind: "number",
}

func (set schemaSet) requireField(t testing.TB, schema map[string]any, f protoreflect.FieldDescriptor) {
	t.Helper()
	schema = set.resolve(t, schema)
	if f.IsList() {
		require.Equal(t, "array", schema["type"], f.FullName())
		schema = schema["items"].(map[string]any)
	}
	switch {
	case f.Enum() != nil:
		var names []string
		for i := 1; i < f.Enum().Values().Len(); i++ { // UNSPECIFIED never leaves
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		require.ElementsMatch(t, names, schema["enum"], f.FullName())
	case f.Message() == nil:
		want, found := jsonTypes[f.Kind()]
		require.True(t, found, "%s: a kind this test does not know", f.FullName())
		require.Equal(t, want, schema["type"], f.FullName())
	case f.Message().FullName() == "google.protobuf.Timestamp":
		require.Equal(t, "date-time", schema["format"], f.FullName())
	case f.Message().FullName() == "google.protobuf.Struct":
		require.Equal(t, "object", schema["type"], f.FullName())
	case f.Message().FullName() == "google.protobuf.Value":
		require.Contains(t, schema["anyOf"], map[string]any{"type": "null"}, f.FullName())
	default:
		set.requireMessage(t, schema, f.Message())
	}
}

func TestA101_AttributesSchemaHasTheAttributes(t *testing.T) {
	t.Parallel()
	schema := schemas(t)[attributesSchema]
	attributes := outboxevents.Attributes(po.Delivery{TraceParent: "x"})
	require.ElementsMatch(t, slices.Collect(maps.Keys(attributes)), slices.Collect(maps.Keys(schema["properties"].(map[string]any))))
	delete(attributes, "traceparent")
	require.ElementsMatch(t, slices.Collect(maps.Keys(attributes)), schema["required"])
	for _, name := range []string{"event_id", "event_type", "aggregate_id", "aggregate_type", "version", "occurred_at", "schema_version"} {
		require.Contains(t, schema["required"], name)
	}
}

func TestM41_BrokenEventsFailTheirSchemas(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	for _, kind := range outboxevents.Kinds() {
		required := schemas(t)[outboxevents.SchemaID(kind)]["required"].([]any)
		require.Contains(t, required, "eventId")
		for _, name := range required {
			payload := goldenOf(t, kind).Payload
			delete(payload, name.(string))
			require.Error(t, v.check(t, outboxevents.SchemaID(kind), marshal(t, payload)), "%s without %s", kind, name)
		}
	}
	random := uuid.NewString()
	for name, c := range map[string]struct {
		kind  outboxevents.Kind
		spoil func(payload map[string]any)
	}{
		"IDIsNotV7":          {outboxevents.EngagementAdded, func(p map[string]any) { p["eventId"] = random }},
		"NotAUUID":           {outboxevents.EngagementAdded, func(p map[string]any) { p["videoId"] = "x" }},
		"EnumAsNumber":       {outboxevents.EngagementAdded, func(p map[string]any) { p["favoriteType"] = 1 }},
		"EnumUnspecified":    {outboxevents.EngagementAdded, func(p map[string]any) { p["favoriteType"] = "FAVORITE_TYPE_UNSPECIFIED" }},
		"TimeWithoutZone":    {outboxevents.EngagementRemoved, func(p map[string]any) { p["deletedAt"] = "2030-01-02T03:04:05" }},
		"TimeNotUTC":         {outboxevents.EngagementRemoved, func(p map[string]any) { p["deletedAt"] = "2030-01-02T03:04:05+01:00" }},
		"NoSuchDay":          {outboxevents.EngagementRemoved, func(p map[string]any) { p["deletedAt"] = "2030-02-30T03:04:05Z" }},
		"CountAsNumber":      {outboxevents.WatchProgressed, func(p map[string]any) { stats(p)["likeCount"] = 12 }},
		"NegativeCount":      {outboxevents.WatchRemoved, func(p map[string]any) { stats(p)["likeCount"] = "-1" }},
		"RatioAboveOne":      {outboxevents.WatchProgressed, func(p map[string]any) { p["progress"].(map[string]any)["maxRatio"] = 1.1 }},
		"ValueOfExtra":       {outboxevents.PreferencesUpdated, func(p map[string]any) { change(p, 2)["newValue"] = "s3cr3t" }},
		"ValueIsAList":       {outboxevents.PreferencesUpdated, func(p map[string]any) { change(p, 0)["newValue"] = []any{"a"} }},
		"ValueIsABoolean":    {outboxevents.PreferencesUpdated, func(p map[string]any) { change(p, 0)["oldValue"] = true }},
		"FieldIsANumber":     {outboxevents.PreferencesUpdated, func(p map[string]any) { change(p, 0)["field"] = 7 }},
		"ChangeWithoutOld":   {outboxevents.PreferencesUpdated, func(p map[string]any) { delete(change(p, 0), "oldValue") }},
		"CountsAsText":       {outboxevents.UserDeletionCompleted, func(p map[string]any) { p["erased"].(map[string]any)["profiles"] = "one" }},
		"TaskIsNotAUUID":     {outboxevents.UserDeletionScheduled, func(p map[string]any) { p["purgeTaskId"] = 7 }},
		"VersionZero":        {outboxevents.PreferencesUpdated, func(p map[string]any) { p["profileVersion"] = "0" }},
		"SnakeCase":          {outboxevents.EngagementAdded, func(p map[string]any) { p["user_id"] = p["userId"]; delete(p, "userId") }},
		"NullInsteadOfStats": {outboxevents.EngagementAdded, func(p map[string]any) { p["stats"] = nil }},
	} {
		payload := goldenOf(t, c.kind).Payload
		c.spoil(payload)
		require.Error(t, v.check(t, outboxevents.SchemaID(c.kind), marshal(t, payload)), name)
	}
}

func stats(payload map[string]any) map[string]any { return payload["stats"].(map[string]any) }

func change(payload map[string]any, i int) map[string]any {
	return payload["delta"].(map[string]any)["changes"].([]any)[i].(map[string]any)
}

func TestM41_FieldsOfTomorrowPass(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	for _, kind := range outboxevents.Kinds() {
		g := goldenOf(t, kind)
		g.Payload["mood"], g.Attributes["mood"] = "good", "good"
		if s, found := g.Payload["stats"].(map[string]any); found {
			s["shareCount"] = "1"
		}
		require.NoError(t, v.check(t, outboxevents.SchemaID(kind), marshal(t, g.Payload)), kind)
		require.NoError(t, v.checkAttributes(t, g.Attributes), kind)
	}
}

func TestA101_BrokenAttributesFailTheSchema(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
	for _, name := range schemas(t)[attributesSchema]["required"].([]any) {
		attributes := goldenOf(t, outboxevents.EngagementAdded).Attributes
		delete(attributes, name.(string))
		require.Error(t, v.checkAttributes(t, attributes), "without %s", name)
	}
	for name, value := range map[string]string{
		"event_id": uuid.NewString(), "event_type": "catalog.video.created", "version": "0", "occurred_at": "yesterday", "schema_version": "v2",
		"content-type": "application/json", "ce-dataschema": "https://example.com/x.json", "traceparent": "00-xyz", "aggregate_id": "",
	} {
		attributes := goldenOf(t, outboxevents.EngagementAdded).Attributes
		attributes[name] = value
		require.Error(t, v.checkAttributes(t, attributes), name)
	}
}
