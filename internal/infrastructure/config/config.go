// Package config loads the service's configuration: the shipped defaults, overlaid by a YAML file in the shape of
// configs/conf.proto and by the environment, checked as a whole. What it does not know stops the start.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"gopkg.in/yaml.v3"

	"github.com/lingo-services/profile/configs"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// Environment is the process environment in os.Environ form.
type Environment []string

// Load lays the file at path, unless path is empty, and env over the shipped defaults. Errors name the file, key or
// variable, never a value.
func Load(path string, env Environment) (*confpb.Bootstrap, error) {
	if path == "" {
		return LoadText("", nil, env)
	}
	text, err := os.ReadFile(path) //nolint:gosec // G304: the operator names the file
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return LoadText(path, text, env)
}

// LoadText is Load with the text of a file, which may be empty; name is what errors call it.
func LoadText(name string, text []byte, env Environment) (*confpb.Bootstrap, error) {
	conf := &confpb.Bootstrap{}
	if err := overlayFile(conf, configs.Default); err != nil {
		return nil, fmt.Errorf("shipped configuration: %w", err)
	}
	if err := overlayFile(conf, text); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", name, err)
	}
	if err := overlay(conf, env); err != nil {
		return nil, err
	}
	return conf, nil
}

// overlayFile decodes YAML strictly and stores what it names in conf, zero values and empty lists included; a key
// without a value changes nothing. It does not validate. An error carries no value of the document.
func overlayFile(conf *confpb.Bootstrap, text []byte) error {
	document := map[string]any{} // what an empty file leaves
	if err := yaml.Unmarshal(text, &document); err != nil {
		return errors.New("not valid YAML")
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		return errors.New("not expressible as JSON")
	}
	part := &confpb.Bootstrap{}
	if err := protojson.Unmarshal(asJSON, part); err != nil {
		return errors.New(withoutValues(err.Error()))
	}
	copyNamed(conf.ProtoReflect(), part.ProtoReflect(), document)
	return nil
}

// copyNamed copies the fields that document names, a section field by field. Not Merge: it skips false, appends to
// lists and adds 1s to 0.5s.
func copyNamed(to, from protoreflect.Message, document map[string]any) {
	fields := to.Descriptor().Fields()
	for name, value := range document {
		field := fields.ByJSONName(name)
		if field == nil {
			field = fields.ByName(protoreflect.Name(name))
		}
		section, isSection := value.(map[string]any)
		switch {
		case value == nil:
		case isSection:
			copyNamed(to.Mutable(field).Message(), from.Get(field).Message(), section)
		case from.Has(field):
			to.Set(field, from.Get(field))
		default:
			to.Clear(field)
		}
	}
}

// withoutValues keeps the complaint and the key of a protojson error but not the offending value.
func withoutValues(message string) string {
	for _, complaint := range []string{"unexpected token", "invalid google.protobuf."} {
		if i := strings.Index(message, complaint); i >= 0 {
			return message[:i] + "unexpected value"
		}
	}
	if i := strings.Index(message, "invalid value"); i >= 0 {
		_, after, _ := strings.Cut(message[i:], " field ")
		return message[:i] + "invalid value for field " + firstWord(after)
	}
	return message
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(text), ":")
	return word
}

// Validate checks every rule of conf.proto and what only makes sense together, and names every problem there is.
func Validate(conf *confpb.Bootstrap) error {
	var problems []error
	if err := protovalidate.Validate(conf); err != nil {
		var invalid *protovalidate.ValidationError
		if !errors.As(err, &invalid) {
			return fmt.Errorf("validate configuration: %w", err)
		}
		for _, v := range invalid.Violations {
			problems = append(problems, fmt.Errorf("%s: %s", protovalidate.FieldPathString(v.Proto.GetField()), v.Proto.GetMessage()))
		}
	}
	problems = append(problems, checkTogether(conf)...)
	if len(problems) > 0 {
		return fmt.Errorf("configuration: %w", errors.Join(problems...))
	}
	return nil
}
