package test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/rest"
)

var pathFields = regexp.MustCompile(`\{(\w+)\}`)

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
		require.NoError(t, err)
		return path, string(text), possible
	}
	parameters := url.Values{}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		require.Nil(t, field.Message(), "the query of %s", route)
		parameters.Set(string(field.Name()), fmt.Sprint(value.Interface()))
		return true
	})
	if len(parameters) > 0 {
		path += "?" + parameters.Encode()
	}
	return path, "", possible
}
