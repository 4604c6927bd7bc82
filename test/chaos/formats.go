package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"

	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
)

// schemaDir holds the published JSON Schemas; this program runs at the root of the repository.
const schemaDir = "api/events/profile/v1"

// schemas are compiled once; validation is for one goroutine at a time.
var schemas = struct {
	sync.Mutex
	compiler *jsonschema.Compiler
}{}

// checkFormats holds what was published against our decoder and the JSON Schemas (I13).
func checkFormats(arrivals []arrival) (problems []string) {
	schemas.Lock()
	defer schemas.Unlock()
	if err := loadSchemas(); err != nil {
		return []string{"I13: " + err.Error()}
	}
	for _, a := range arrivals {
		if err := checkFormat(a); err != nil {
			return []string{fmt.Sprintf("I13: event %s: %v", a.event, err)}
		}
	}
	return nil
}

func loadSchemas() error {
	if schemas.compiler != nil {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // G304: our own schemas
		if err != nil {
			return err
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		id, _ := document.(map[string]any)["$id"].(string)
		if err := compiler.AddResource(id, document); err != nil {
			return err
		}
	}
	schemas.compiler = compiler
	return nil
}

func checkFormat(a arrival) error {
	kind := a.message.GetAttributes()["event_type"]
	message, err := outboxevents.Decode(kind, a.message.GetData())
	if err != nil {
		return err
	}
	payload, err := protojson.Marshal(message)
	if err != nil {
		return err
	}
	if err := validate(outboxevents.SchemaID(kind), payload); err != nil {
		return err
	}
	attributes, err := json.Marshal(a.message.GetAttributes())
	if err != nil {
		return err
	}
	return validate(attributesID(kind), attributes)
}

// attributesID is the schema of attributes, a neighbour of every payload's.
func attributesID(kind string) string {
	id := outboxevents.SchemaID(kind)
	return id[:len(id)-len(filepath.Base(id))] + "attributes.json"
}

func validate(id string, document []byte) error {
	schema, err := schemas.compiler.Compile(id)
	if err != nil {
		return err
	}
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return err
	}
	return schema.Validate(instance)
}
