// Package config loads the service's configuration: a YAML file in the shape of configs/conf.proto,
// overlaid by the environment, checked as a whole. What it does not know stops the start.
package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"gopkg.in/yaml.v3"

	"github.com/lingo-services/profile/configs"
	"github.com/lingo-services/profile/internal/infrastructure/config/confpb"
)

// Environment is the process environment in os.Environ form.
type Environment []string

// Load reads path, or the shipped defaults when path is empty, then applies env. Errors name the file, key
// or variable, never a value.
func Load(path string, env Environment) (*confpb.Bootstrap, error) {
	return LoadOver(path, &confpb.Bootstrap{}, env)
}

// LoadOver is Load with the fields that over sets laid between file and env.
func LoadOver(path string, over *confpb.Bootstrap, env Environment) (*confpb.Bootstrap, error) {
	text := configs.Default
	if path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil { //nolint:gosec // G304: the operator names the file
			return nil, fmt.Errorf("read configuration: %w", err)
		}
	}
	conf, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	proto.Merge(conf, over)
	if err := overlay(conf, env); err != nil {
		return nil, err
	}
	return conf, nil
}

// Parse decodes YAML strictly; it does not validate. An error carries no value of the document.
func Parse(text []byte) (*confpb.Bootstrap, error) {
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, errors.New("not valid YAML")
	}
	asJSON, err := json.Marshal(document)
	if err != nil {
		return nil, errors.New("not expressible as JSON")
	}
	conf := &confpb.Bootstrap{}
	if err := protojson.Unmarshal(asJSON, conf); err != nil {
		return nil, errors.New(withoutValues(err.Error()))
	}
	return conf, nil
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

// Validate checks every rule of conf.proto and what only makes sense together.
func Validate(conf *confpb.Bootstrap) error {
	if err := protovalidate.Validate(conf); err != nil {
		var invalid *protovalidate.ValidationError
		if !errors.As(err, &invalid) {
			return fmt.Errorf("validate configuration: %w", err)
		}
		problems := make([]error, len(invalid.Violations))
		for i, v := range invalid.Violations {
			problems[i] = fmt.Errorf("%s: %s", protovalidate.FieldPathString(v.Proto.GetField()), v.Proto.GetMessage())
		}
		return fmt.Errorf("configuration: %w", errors.Join(problems...))
	}
	return errors.Join(checkTogether(conf)...)
}
