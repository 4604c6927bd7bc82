package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lingo-services/profile/internal/controllers/rest"
)

const (
	exampleUser  = "0190d5a0-1111-7abc-8def-0000000000aa"
	exampleVideo = "0190d5a0-3333-7abc-8def-00000000abcd"
	exampleTag   = `"3-0190d5a0"`
)

// said replaces comments that refer to the contract, and those that do not exist there.
var said = map[string]string{
	"user_id":             "For services: the user they act for. End users leave it out, or name themselves.",
	"video_id":            "The video.",
	"video_ids":           "The videos; the answer has their order.",
	"idempotency_key":     "The same as the header `Idempotency-Key`.",
	"page_token":          "Empty: the first page. Otherwise next_page_token of the page before; opaque.",
	"include_unavailable": "Also list unavailable videos, as entries without `video` and `stats`.",
	"favorite_type":       "FAVORITE_TYPE_UNSPECIFIED: both kinds.",
	"filter.completion":   "COMPLETION_STATE_UNSPECIFIED: all.",
	"occurred_at": "When it happened. Unset: now. Before 2000-01-01 or over five minutes ahead is refused, both judged after " +
		"correcting by the header `X-Md-Client-Time`.",
}

// fixed are the fields of MutateFavorite that path and method say; the service refuses them.
var fixed = []string{"favorite_type", "action"}

func fixedByPath(r rest.Route) bool { return r.Method.Name() == "MutateFavorite" }

// parameters are those of path and query, as protoc-gen-openapi found them, and the headers that mean something.
func parameters(base object, r rest.Route) (list []any) {
	found, _ := base["parameters"].([]any)
	for _, item := range found {
		p, _ := item.(object)
		name, _ := p["name"].(string)
		if fixedByPath(r) && slices.Contains(fixed, name) {
			continue
		}
		list = append(list, parameter(p, name, r.Method.Input()))
	}
	return append(list, requestHeaders(r)...)
}

func parameter(p object, name string, d protoreflect.MessageDescriptor) object {
	comment, _ := p["description"].(string)
	if text, ok := said[name]; ok {
		comment = text
	}
	schema := in(p, "schema")
	delete(schema, "format")
	constrain(schema, fieldAt(d, name))
	full := object{"name": name, "in": p["in"], "description": words(comment), "schema": schema}
	if p["in"] == "path" {
		full["required"] = true
		full["description"], full["example"] = said[name], exampleVideo
		if name == "user_id" {
			full["description"], full["example"] = "The user.", exampleUser
		}
	}
	return full
}

// fieldAt finds a field by its path of names.
func fieldAt(d protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	name, rest, nested := strings.Cut(path, ".")
	field := d.Fields().ByName(protoreflect.Name(name))
	if nested {
		return fieldAt(field.Message(), rest)
	}
	return field
}

func requestHeaders(r rest.Route) (list []any) {
	request := r.Method.Input()
	add := func(name string, meant bool) {
		if meant {
			list = append(list, ref("parameters", name))
		}
	}
	add("Idempotency-Key", fieldNamed(request, "idempotency_key"))
	add("If-Match", r.Verb == http.MethodPatch)
	add("If-None-Match", conditional(r))
	add("X-Md-Client-Time", fieldNamed(request, "occurred_at"))
	add("X-Md-Consistency", r.Method.Name() == "BatchQueryFavorite")
	return list
}

// headerParameters are those that several operations share. They have no examples: viewers fill them in, and a tag, a key
// or a clock of the document's is wrong for every request.
var headerParameters = object{
	"Idempotency-Key": headerParameter("Idempotency-Key",
		"1-128 visible ASCII characters. The same request with the same key answers what was answered first, with Idempotency-Replayed.",
		object{"type": "string", "pattern": "^[!-~]{1,128}$"}),
	"If-Match":      headerParameter("If-Match", "Change only the version with this ETag, or one of these.", object{"type": "string"}),
	"If-None-Match": headerParameter("If-None-Match", "Answer 304 when this ETag, or one of these, is current.", object{"type": "string"}),
	"X-Md-Client-Time": headerParameter("X-Md-Client-Time",
		"The client's clock when it sent the request; corrects occurred_at when it is off by more than 2 s.",
		object{"type": "string", "format": "date-time"}),
	"X-Md-Consistency": headerParameter("X-Md-Consistency", "`strong` reads the database, past every cache.",
		object{"type": "string", "enum": []any{"strong", "eventual"}}),
}

func headerParameter(name, description string, schema object) object {
	return object{"name": name, "in": "header", "description": description, "schema": schema}
}

// answerHeaders are those of a success.
func answerHeaders(r rest.Route) object {
	headers := object{"X-Request-Id": ref("headers", "X-Request-Id")}
	if r.Answer.Name() == "Profile" || r.Verb == http.MethodPatch || conditional(r) {
		headers["ETag"] = ref("headers", "ETag")
	}
	if accessOf(r).GetAnyone() {
		headers["Cache-Control"] = ref("headers", "Cache-Control")
	}
	if limited(r) {
		maps.Copy(headers, limitHeaders())
	}
	if fieldNamed(r.Method.Input(), "idempotency_key") {
		headers["Idempotency-Replayed"] = ref("headers", "Idempotency-Replayed")
	}
	return headers
}

func limitHeaders() object {
	return object{"RateLimit": ref("headers", "RateLimit"), "RateLimit-Policy": ref("headers", "RateLimit-Policy")}
}

var headers = object{
	"ETag":                 answerHeader("Tag of the profile's version, or of public counters.", exampleTag),
	"Cache-Control":        answerHeader("How long a copy may serve. All other operations answer no-store.", "public, max-age=5"),
	"Idempotency-Replayed": answerHeader("`true`: the stored answer of an earlier request; absent otherwise.", "true"),
	"X-Request-Id":         answerHeader("That of the request, or a new one.", "0190d5a0-2222-7abc-8def-000000000001"),
	"Retry-After":          answerHeader("Seconds after which the same request may succeed; absent when it cannot.", "1"),
	"WWW-Authenticate":     answerHeader("Which credentials would serve.", `Bearer realm="profile"`),
	"RateLimit":            answerHeader("Of operations that are limited: the calls that are left, and in how many seconds all are there again.", `"favorites";r=9;t=1`),
	"RateLimit-Policy":     answerHeader("Of operations that are limited: the limits, in calls and seconds.", `"favorites";q=10;w=1`),
	"Accept":               answerHeader("The media type to send.", jsonType),
}

func answerHeader(description, example string) object {
	return object{"description": description, "schema": object{"type": "string"}, "example": example}
}
