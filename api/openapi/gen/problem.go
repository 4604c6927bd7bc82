package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lingo-services/profile/internal/controllers/rest"
	"github.com/lingo-services/profile/internal/models"
)

const problemJSON = "application/problem+json"

// everywhere are the reasons that every operation may give.
var everywhere = []models.Reason{
	models.ReasonUnauthenticated, models.ReasonPermissionDenied, models.ReasonInvalidArgument, models.ReasonTransactionConflict,
	models.ReasonOverloaded, models.ReasonUnavailable, models.ReasonDeadlineExceeded, models.ReasonCancelled, models.ReasonInternal,
	models.ReasonMethodNotAvailable,
}

// reasonsOf has the reasons of a method's own, over REST. VERSION_CONFLICT and PREFERENCE_CONFLICT are not among them: a
// patch names no expected version, but has If-Match.
var reasonsOf = map[protoreflect.Name][]models.Reason{
	"GetProfile":        {models.ReasonProfileNotFound},
	"UpdateProfile":     {models.ReasonRateLimited, models.ReasonPreconditionFailed, models.ReasonIdempotencyKeyReused, models.ReasonIdempotencyInProgress},
	"UpdatePreferences": {models.ReasonRateLimited, models.ReasonPreconditionFailed, models.ReasonIdempotencyKeyReused, models.ReasonIdempotencyInProgress},
	"MutateFavorite": {
		models.ReasonRateLimited, models.ReasonVideoUnavailable, models.ReasonFavoriteLimitReached, models.ReasonOccurredAtInFuture,
		models.ReasonCounterOverflow, models.ReasonIdempotencyKeyReused, models.ReasonIdempotencyInProgress,
	},
	"ListFavorites": {models.ReasonInvalidPageToken},
	"UpsertWatchProgress": {
		models.ReasonRateLimited, models.ReasonVideoUnavailable, models.ReasonOccurredAtInFuture, models.ReasonCounterOverflow,
		models.ReasonIdempotencyKeyReused, models.ReasonIdempotencyInProgress,
	},
	"ListWatchHistory": {models.ReasonInvalidPageToken},
}

// limited operations may be called only so often.
func limited(r rest.Route) bool {
	return slices.Contains(reasonsOf[r.Method.Name()], models.ReasonRateLimited)
}

// byHTTP are the statuses that HTTP itself gives, without a reason.
var byHTTP = map[int]string{
	http.StatusNotAcceptable:         "answers are application/json",
	http.StatusRequestEntityTooLarge: "a body has at most 262144 bytes",
	http.StatusUnsupportedMediaType:  "bodies are application/json, or application/merge-patch+json with PATCH",
}

// problems are the answers of a route that are no success: by status, the name that they have among the components.
func problems(r rest.Route) (names map[int]string, components object) {
	reasons := map[int][]models.Reason{}
	for _, reason := range slices.Concat(everywhere, reasonsOf[r.Method.Name()]) {
		if accessOf(r).GetAnyone() && (reason == models.ReasonUnauthenticated || reason == models.ReasonPermissionDenied) {
			continue
		}
		code := reason.Entry().HTTPStatus
		reasons[code] = append(reasons[code], reason)
	}
	names, components = map[int]string{}, object{}
	for code, list := range reasons {
		slices.Sort(list)
		name := strconv.Itoa(code)
		for _, reason := range list {
			name += "-" + string(reason)
		}
		names[code], components[name] = name, problemAnswer(code, list)
	}
	plain := []int{http.StatusNotAcceptable}
	if r.HasBody {
		plain = append(plain, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	for _, code := range plain {
		names[code], components[strconv.Itoa(code)] = strconv.Itoa(code), plainAnswer(code)
	}
	return names, components
}

func problemAnswer(code int, reasons []models.Reason) object {
	examples, lines, retry := object{}, []string{}, false
	for _, reason := range reasons {
		examples[string(reason)] = ref("examples", "problem-"+string(reason))
		lines = append(lines, fmt.Sprintf("%s: %s", reason, reason.Entry().Title))
		retry = retry || reason.Entry().Retryable
	}
	headers := object{"X-Request-Id": ref("headers", "X-Request-Id")}
	if retry {
		headers["Retry-After"] = ref("headers", "Retry-After")
	}
	switch code {
	case http.StatusUnauthorized:
		headers["WWW-Authenticate"] = ref("headers", "WWW-Authenticate")
	case http.StatusForbidden: // decided before any limit
	default:
		maps.Copy(headers, limitHeaders())
	}
	return object{
		"description": strings.Join(lines, "\n"), "headers": headers,
		"content": object{problemJSON: object{"schema": ref("schemas", "Problem"), "examples": examples}},
	}
}

func plainAnswer(code int) object {
	headers := object{"X-Request-Id": ref("headers", "X-Request-Id")}
	if code == http.StatusUnsupportedMediaType {
		headers["Accept"] = ref("headers", "Accept")
	}
	return object{
		"description": http.StatusText(code), "headers": headers,
		"content": object{problemJSON: object{
			"schema": ref("schemas", "Problem"), "examples": object{"http": ref("examples", "problem-"+strconv.Itoa(code))},
		}},
	}
}

// problemExamples has an example of every reason that a route gives, and of every status without one.
func problemExamples() object {
	examples := object{}
	for _, reason := range slices.Concat(append(slices.Collect(maps.Values(reasonsOf)), everywhere)...) {
		value := object{
			"type": rest.ProblemType(reason), "title": reason.Entry().Title, "status": reason.Entry().HTTPStatus,
			"reason": string(reason), "detail": reason.Entry().Title, "instance": "/api/v1/user/me",
		}
		if reason == models.ReasonInvalidArgument {
			value["errors"] = []any{object{"field": "preferences.daily_quota_minutes", "detail": "must be an integer"}}
		}
		examples["problem-"+string(reason)] = object{"summary": reason.Entry().Title, "value": value}
	}
	for code, detail := range byHTTP {
		examples["problem-"+strconv.Itoa(code)] = object{"summary": http.StatusText(code), "value": object{
			"type": "about:blank", "title": http.StatusText(code), "status": code, "detail": detail, "instance": "/api/v1/user/me",
		}}
	}
	return examples
}

// problemSchemas describe rest.Problem.
func problemSchemas() object {
	text := func(description string) object { return object{"type": "string", "description": description} }
	reason := text("Why, for programs: an ErrorReason of the contract without its prefix; absent where type is about:blank.")
	reason["enum"] = sortedReasons()
	return object{
		"Problem": object{
			"type": "object", "additionalProperties": false, "required": []any{"type", "title", "status", "instance"},
			"description": "What every answer says that is not a success (RFC 9457).",
			"properties": object{
				"type":     text("/problems/<reason>, or about:blank for what HTTP itself says."),
				"title":    text("The kind of problem, for people."),
				"status":   object{"type": "integer", "description": "The HTTP status."},
				"reason":   reason,
				"detail":   text("This problem, for people."),
				"instance": text("The path that was asked for."),
				"trace_id": text("That of the request's traceparent."),
				"errors": object{
					"type": "array", "items": ref("schemas", "Violation"), "description": "All violations of a request.",
				},
				"metadata": object{
					"type": "object", "additionalProperties": object{"type": "string"}, "description": "What else the error says.",
				},
			},
		},
		"Violation": object{
			"type": "object", "additionalProperties": false, "required": []any{"field", "detail"}, "description": "One broken rule.",
			"properties": object{
				"field":  text("Path in the JSON body, or name of a header or parameter; empty for the whole."),
				"detail": text("What is wrong with it."),
			},
		},
	}
}

func sortedReasons() (list []any) {
	reasons := models.Reasons()
	slices.Sort(reasons)
	for _, reason := range reasons {
		list = append(list, string(reason))
	}
	return list
}

func ref(kind, name string) object { return object{"$ref": "#/components/" + kind + "/" + name} }
