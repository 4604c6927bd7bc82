package test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/rest"
)

var pathFields = regexp.MustCompile(`\{(\w+)\}`)

// longestPath is what HTTP itself does not refuse.
const longestPath = 16 << 10

// inREST says req as a caller of the route would: fields of the path, then a body or a query. Not every request can be
// said by every route: a path needs its fields, and a patch names no user.
func inREST(t testing.TB, route rest.Route, req proto.Message) (path, body string, possible bool) {
	t.Helper()
	m := req.ProtoReflect()
	possible = true
	path = pathFields.ReplaceAllStringFunc(route.Pattern, func(name string) string {
		field := m.Descriptor().Fields().ByName(protoreflect.Name(strings.Trim(name, "{}")))
		value := m.Get(field).String()
		possible = possible && value != ""
		m.Clear(field)
		return url.PathEscape(value)
	})
	for _, name := range []protoreflect.Name{"favorite_type", "action"} {
		if field := m.Descriptor().Fields().ByName(name); field != nil && route.Method.Name() == "MutateFavorite" {
			m.Clear(field)
		}
	}
	if route.Verb == http.MethodPatch {
		possible = possible && !m.Has(m.Descriptor().Fields().ByName("user_id"))
		switch r := req.(type) {
		case *profilev1.UpdateProfileRequest:
			req = r.GetProfile()
		case *profilev1.UpdatePreferencesRequest:
			req = r.GetPreferences()
		}
	}
	if route.HasBody {
		text, err := protojson.Marshal(req)
		return path, string(text), possible && err == nil && len(path) < longestPath // not every message has a JSON form
	}
	parameters := url.Values{}
	possible = flatten("", m, parameters) && possible
	if len(parameters) > 0 {
		path += "?" + parameters.Encode()
	}
	return path, "", possible && len(path) < longestPath
}

// flatten says a message as parameters; not every message has a form there.
func flatten(prefix string, m protoreflect.Message, parameters url.Values) (possible bool) {
	possible = true
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := prefix + string(field.Name())
		switch {
		case field.Message() != nil && field.Message().FullName() == "google.protobuf.Timestamp":
			text, err := protojson.Marshal(value.Message().Interface())
			possible = possible && err == nil
			parameters.Set(name, strings.Trim(string(text), `"`))
		case field.IsList():
			for i := range value.List().Len() {
				parameters.Add(name, value.List().Get(i).String())
			}
		case field.Message() != nil:
			possible = flatten(name+".", value.Message(), parameters) && possible
		default:
			parameters.Set(name, fmt.Sprint(value.Interface()))
		}
		return true
	})
	return possible
}

// fitted is req with what the route fixes; not possible when req says something that no caller of the route can.
func fitted(route rest.Route, req proto.Message) (_ proto.Message, possible bool) {
	switch r := req.(type) {
	case *profilev1.MutateFavoriteRequest:
		if r.GetFavoriteType() != profilev1.FavoriteType_FAVORITE_TYPE_LIKE || r.GetAction() != profilev1.FavoriteAction_FAVORITE_ACTION_ADD {
			return nil, false
		}
		if strings.Contains(route.Pattern, "bookmark") || strings.HasSuffix(route.Pattern, "favorite") {
			r.FavoriteType = profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK
		}
		if route.Verb == http.MethodDelete {
			r.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
		}
	case *profilev1.UpdateProfileRequest:
		return req, r.GetUpdateMask() == nil && r.GetExpectedProfileVersion() == nil && r.GetIdempotencyKey() == "" && r.GetUserId() == ""
	case *profilev1.UpdatePreferencesRequest:
		return req, r.GetUpdateMask() == nil && r.GetExpectedProfileVersion() == nil && r.GetIdempotencyKey() == "" && r.GetUserId() == ""
	}
	return req, true
}
