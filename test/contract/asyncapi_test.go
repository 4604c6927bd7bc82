package contract

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"github.com/lingo-services/profile/configs"
	outboxevents "github.com/lingo-services/profile/internal/models/outbox_events"
)

// asyncAPI is the part of the AsyncAPI 3.0 document that other parts of the contract decide.
type asyncAPI struct {
	AsyncAPI           string `yaml:"asyncapi"`
	DefaultContentType string `yaml:"defaultContentType"`
	Info               struct{ Title, Version, Description string }
	Servers            map[string]struct{ Host, Protocol string }
	Channels           map[string]struct {
		Address  string
		Servers  []reference
		Messages map[string]reference
	}
	Operations map[string]struct {
		Action   string
		Channel  reference
		Messages []reference
	}
	Components struct {
		MessageTraits map[string]struct {
			ContentType string `yaml:"contentType"`
			Headers     multiFormat
			Bindings    struct {
				GooglePubSub struct {
					OrderingKey string `yaml:"orderingKey"`
				} `yaml:"googlepubsub"`
			}
		} `yaml:"messageTraits"`
		Messages map[string]struct {
			Name, Title, Summary string
			Traits               []reference
			Payload              multiFormat
		}
	}
}

type reference struct {
	Ref string `yaml:"$ref"`
}

type multiFormat struct {
	SchemaFormat string `yaml:"schemaFormat"`
	Schema       reference
}

func readAsyncAPI(t *testing.T) (doc asyncAPI, tree map[string]any) {
	t.Helper()
	text, err := os.ReadFile(eventsDir + "asyncapi.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &doc))
	require.NoError(t, yaml.Unmarshal(text, &tree))
	return doc, tree
}

func TestM41_AsyncAPIDescribesEveryKind(t *testing.T) {
	t.Parallel()
	doc, _ := readAsyncAPI(t)
	require.Equal(t, "3.0.0", doc.AsyncAPI)
	require.NotEmpty(t, doc.Info.Title)
	require.NotEmpty(t, doc.Info.Version)
	require.Equal(t, outboxevents.ContentType, doc.DefaultContentType)
	var names []string
	for key, m := range doc.Components.Messages {
		names = append(names, m.Name)
		message, err := outboxevents.Decode(m.Name, nil)
		require.NoError(t, err)
		require.Equal(t, string(message.ProtoReflect().Descriptor().FullName()), m.Title)
		require.NotEmpty(t, m.Summary, m.Name)
		require.Equal(t, []reference{{"#/components/messageTraits/event"}}, m.Traits, m.Name)
		require.Equal(t, "application/schema+json;version=draft-2020-12", m.Payload.SchemaFormat)
		require.Equal(t, filepath.Base(outboxevents.SchemaID(m.Name)), filepath.Base(m.Payload.Schema.Ref), m.Name)
		require.Equal(t, reference{"#/components/messages/" + key}, doc.Channels["profileEvents"].Messages[key])
		require.Contains(t, doc.Operations["publish"].Messages, reference{"#/channels/profileEvents/messages/" + key})
	}
	require.ElementsMatch(t, outboxevents.Kinds(), names)
	require.Len(t, doc.Channels["profileEvents"].Messages, len(names))
	require.Len(t, doc.Operations["publish"].Messages, len(names))
}

func TestM41_AsyncAPISaysHowToConsume(t *testing.T) {
	t.Parallel()
	doc, _ := readAsyncAPI(t)
	channel := doc.Channels["profileEvents"]
	require.Contains(t, string(configs.Default), "topic_id: "+channel.Address)
	require.Equal(t, "googlepubsub", doc.Servers["pubsub"].Protocol)
	require.Equal(t, []reference{{"#/servers/pubsub"}}, channel.Servers)
	require.Equal(t, "send", doc.Operations["publish"].Action)
	require.Equal(t, "#/channels/profileEvents", doc.Operations["publish"].Channel.Ref)
	trait := doc.Components.MessageTraits["event"]
	require.Equal(t, outboxevents.ContentType, trait.ContentType)
	require.Equal(t, "./attributes.json", trait.Headers.Schema.Ref)
	require.Contains(t, trait.Bindings.GooglePubSub.OrderingKey, "aggregate_id")
	for _, rule := range []string{"At least once", "event_id", "ordering key", "stats_version", "Protobuf on the wire"} {
		require.Contains(t, doc.Info.Description, rule)
	}
}

func TestM41_AsyncAPIReferencesResolve(t *testing.T) {
	t.Parallel()
	_, tree := readAsyncAPI(t)
	count := 0
	var walk func(node any)
	walk = func(node any) {
		switch n := node.(type) {
		case []any:
			for _, child := range n {
				walk(child)
			}
		case map[string]any:
			if ref, found := n["$ref"].(string); found {
				requireResolves(t, tree, ref)
				count++
			}
			for _, child := range n {
				walk(child)
			}
		}
	}
	walk(tree)
	require.Greater(t, count, 4*len(outboxevents.Kinds()))
}

func requireResolves(t *testing.T, tree map[string]any, ref string) {
	t.Helper()
	path, inside := strings.CutPrefix(ref, "#/")
	if !inside {
		require.FileExists(t, eventsDir+ref)
		return
	}
	var node any = tree
	for name := range strings.SplitSeq(path, "/") {
		parent, ok := node.(map[string]any)
		require.True(t, ok, ref)
		require.Contains(t, parent, name, ref)
		node = parent[name]
	}
}
