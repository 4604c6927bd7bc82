package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/rest"
)

const (
	jsonType  = "application/json"
	patchType = "application/merge-patch+json"
)

// operations are the paths of the document. Errors: a route without a name or an example.
func operations(contract object, routes []rest.Route) (object, error) {
	paths := object{}
	for _, r := range routes {
		called, ok := names[r.String()]
		if !ok {
			return nil, fmt.Errorf("%s has no name: add it to names", r)
		}
		op, err := operation(in(contract, "paths", r.Pattern, strings.ToLower(r.Verb)), r, called)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r, err)
		}
		path, _ := paths[r.Pattern].(object)
		if path == nil {
			path = object{}
			paths[r.Pattern] = path
		}
		path[strings.ToLower(r.Verb)] = op
	}
	return paths, nil
}

// operation is one route; base is what protoc-gen-openapi made of it.
func operation(base object, r rest.Route, called name) (object, error) {
	rule := accessOf(r)
	comment, _ := base["description"].(string)
	op := object{
		"operationId": called.id, "summary": called.summary, "tags": []any{called.tag}, "description": words(comment),
		"security": security(rule, r), "x-access": access(rule),
	}
	if strings.HasPrefix(r.Pattern, aliases) {
		op["deprecated"] = true
	}
	if list := parameters(base, r); len(list) > 0 {
		op["parameters"] = list
	}
	if r.HasBody {
		body, err := requestBody(r, called)
		if err != nil {
			return nil, err
		}
		op["requestBody"] = body
	}
	answers, err := successes(r, called)
	if err != nil {
		return nil, err
	}
	refused, _ := problems(r)
	for code, name := range refused {
		answers[strconv.Itoa(code)] = ref("responses", name)
	}
	op["responses"] = answers
	return op, nil
}

func accessOf(r rest.Route) *profilev1.Access {
	rule, _ := proto.GetExtension(r.Method.Options(), profilev1.E_Access).(*profilev1.Access)
	return rule
}

// access says who may call, as the contract does.
func access(rule *profilev1.Access) object {
	if rule.GetAnyone() {
		return object{"anyone": true}
	}
	roles := []any{}
	for _, role := range rule.GetRoles() {
		roles = append(roles, strings.ToLower(strings.TrimPrefix(role.String(), "ROLE_")))
	}
	return object{"self": rule.GetSelf(), "roles": roles}
}

// security are the credentials that serve, each enough by itself. A service must be able to name the user.
func security(rule *profilev1.Access, r rest.Route) (list []any) {
	if rule.GetAnyone() {
		return []any{object{}}
	}
	if rule.GetSelf() {
		list = append(list, object{"user": []any{}}, object{"gateway": []any{}})
	}
	if len(rule.GetRoles()) > 0 && r.Verb != http.MethodPatch {
		list = append(list, object{"service": []any{}})
	}
	return list
}

var securitySchemes = object{
	"user":    object{"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "The end user's own token, where the service verifies tokens itself."},
	"service": object{"type": "http", "scheme": "bearer", "description": "The token of a service that may act for users; the operation says with which role."},
	"gateway": object{
		"type": "apiKey", "in": "header", "name": "X-Apigateway-Api-Userinfo",
		"description": "The end user, as an API gateway verified them: a JSON object in base64 or base64url with the user's UUID in sub. " +
			"Only a gateway that is trusted may say it, beside its own token in Authorization; from anybody else it is worth nothing.",
	},
}

func requestBody(r rest.Route, called name) (object, error) {
	examples, err := requestExamples(r, called)
	if err != nil {
		return nil, err
	}
	body := object{"schema": ref("schemas", requestSchema(r)), "examples": examples}
	content := object{jsonType: body}
	if r.Verb == http.MethodPatch {
		content[patchType] = body
	}
	// The body of a like is optional, as its path says it all.
	return object{"content": content, "required": !fixedByPath(r)}, nil
}

// successes are the answers of a route that are no problem.
func successes(r rest.Route, called name) (object, error) {
	examples, err := answerExamples(r, called)
	if err != nil {
		return nil, err
	}
	ok := object{
		"description": "Done.", "headers": answerHeaders(r),
		"content": object{jsonType: object{"schema": ref("schemas", string(r.Answer.Name())), "examples": examples}},
	}
	answers := object{"200": ok}
	if conditional(r) {
		answers["304"] = object{"description": "The answer would still be the one of If-None-Match.", "headers": answerHeaders(r)}
	}
	if r.Verb == http.MethodDelete {
		answers["204"] = object{"description": "It already was so.", "headers": answerHeaders(r)}
	}
	return answers, nil
}

// conditional routes answer 304.
func conditional(r rest.Route) bool {
	return accessOf(r).GetAnyone() || r.Verb == http.MethodGet && r.Method.Output().Fields().ByName("not_modified") != nil
}

func fieldNamed(d protoreflect.MessageDescriptor, name protoreflect.Name) bool {
	return d.Fields().ByName(name) != nil
}

// words is a comment of the contract in the words of HTTP.
func words(comment string) string {
	lines := strings.Split(comment, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return codes.ReplaceAllString(httpWords.Replace(strings.Join(lines, "\n")), "$1")
}

// codes are those of gRPC before a reason.
var codes = regexp.MustCompile(`\b[A-Z_]+/([A-Z]+_[A-Z_]+)`)

var httpWords = strings.NewReplacer(
	"Metadata `x-md-if-none-match`", "Header `If-None-Match`",
	"`etag` response header", "`ETag`",
	", or without expected_profile_version", "",
	"ABORTED/VERSION_CONFLICT with metadata current_version: expected_profile_version is not current.\n", "",
	"as UpdateProfile; the conflict is ABORTED/PREFERENCE_CONFLICT.", "as updateProfile.",
	"gives not_modified without a\nprofile", "answers 304",
	"metadata `x-md-if-match`", "header `If-Match`",
	"metadata `x-md-idempotency-key`", "header `Idempotency-Key`",
	"metadata `x-md-client-time`", "header `X-Md-Client-Time`",
	"Metadata `x-md-consistency: strong`", "Header `X-Md-Consistency: strong`",
)

// pathFields are the fields that a route's path has.
func pathFields(r rest.Route) (fields []protoreflect.Name) {
	for part := range strings.SplitSeq(r.Pattern, "{") {
		if field, _, found := strings.Cut(part, "}"); found {
			fields = append(fields, protoreflect.Name(field))
		}
	}
	return fields
}
