package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

const prefix = "PROFILE_"

// aliases are names the platform uses for some keys.
var aliases = map[string]string{
	"DATABASE_URL":         "data.postgres.url",
	"PUBSUB_EMULATOR_HOST": "messaging.pubsub.emulator_host",
	"GOOGLE_CLOUD_PROJECT": "messaging.pubsub.project_id",
	"PROFILE_GRPC_ADDR":    "server.grpc.addr",
	"PROFILE_HTTP_ADDR":    "server.http.addr",
	"PROFILE_ADMIN_ADDR":   "server.admin.addr",
}

// foreign are PROFILE_ names with a prefix that belong to the local Postgres and to tests.
var foreign = []string{"PROFILE_PG_", "PROFILE_STATE_DIR", "PROFILE_TEST_", "PROFILE_DEVPG_"}

// Variables returns every environment variable the configuration understands and the key it sets.
func Variables() map[string]string {
	vars := maps.Clone(aliases)
	var walk func(path string, m protoreflect.MessageDescriptor)
	walk = func(path string, m protoreflect.MessageDescriptor) {
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			key := strings.TrimPrefix(path+"."+string(f.Name()), ".")
			switch {
			case f.Message() == nil:
				vars[prefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = key
			case f.Message().ParentFile().Package() != "profile.conf":
				vars[prefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = key
			case !f.IsList():
				walk(key, f.Message())
			}
		}
	}
	walk("", (&confpb.Bootstrap{}).ProtoReflect().Descriptor())
	return vars
}

// overlay applies env to conf. A PROFILE_ variable that names no key is an error.
func overlay(conf *confpb.Bootstrap, env Environment) error {
	vars := Variables()
	for _, entry := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(entry, "=")
		key, known := vars[name]
		if !known {
			isOurs := strings.HasPrefix(name, prefix)
			if isOurs && !slices.ContainsFunc(foreign, func(f string) bool { return strings.HasPrefix(name, f) }) {
				return fmt.Errorf("environment variable %s names no configuration key", name)
			}
			continue
		}
		if value == "" {
			continue
		}
		if err := set(conf, key, value); err != nil {
			return fmt.Errorf("environment variable %s: %w", name, err)
		}
	}
	return nil
}

// set stores one leaf by decoding a document that holds only it, so that every type reads as in the file.
func set(conf *confpb.Bootstrap, key, value string) error {
	path := strings.Split(key, ".")
	field := leaf(path)
	var document any = value
	switch {
	case field.IsList():
		document = strings.Split(value, ",")
	case field.Kind() == protoreflect.BoolKind, field.Kind() == protoreflect.Int32Kind, field.Kind() == protoreflect.Int64Kind:
		document = json.RawMessage(value)
	}
	for _, name := range slices.Backward(path) {
		document = map[string]any{name: document}
	}
	text, err := json.Marshal(document)
	if err != nil {
		return fmt.Errorf("not a valid %s", field.Kind())
	}
	part := &confpb.Bootstrap{}
	if err := protojson.Unmarshal(text, part); err != nil {
		return fmt.Errorf("not a valid value for %s", key)
	}
	copyNamed(conf.ProtoReflect(), part.ProtoReflect(), document.(map[string]any))
	return nil
}

func leaf(path []string) protoreflect.FieldDescriptor {
	m := (&confpb.Bootstrap{}).ProtoReflect().Descriptor()
	for _, name := range path[:len(path)-1] {
		m = m.Fields().ByName(protoreflect.Name(name)).Message()
	}
	return m.Fields().ByName(protoreflect.Name(path[len(path)-1]))
}
