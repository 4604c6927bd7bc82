package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// Route is one binding of a method.
type Route struct {
	Verb string
	// Pattern is the path, with the names of fields in braces.
	Pattern string
	Method  protoreflect.MethodDescriptor
	// HasBody: the request is a JSON body; otherwise it is the query.
	HasBody bool
	// Answer is the message that is the body of a success.
	Answer protoreflect.MessageDescriptor
}

// Routes are those of the contract's annotations, in its order.
func Routes() (routes []Route) {
	methods := profilev1.File_profile_v1_profile_proto.Services().ByName("ProfileService").Methods()
	for i := range methods.Len() {
		method := methods.Get(i)
		rule, _ := proto.GetExtension(method.Options(), annotations.E_Http).(*annotations.HttpRule)
		for _, r := range append([]*annotations.HttpRule{rule}, rule.GetAdditionalBindings()...) {
			if verb, pattern := binding(r); verb != "" {
				routes = append(routes, Route{verb, pattern, method, r.GetBody() != "", answer(method, r)})
			}
		}
	}
	return routes
}

// answer is the answer of a method, or the field of it that a binding sends.
func answer(method protoreflect.MethodDescriptor, rule *annotations.HttpRule) protoreflect.MessageDescriptor {
	if part := rule.GetResponseBody(); part != "" {
		return method.Output().Fields().ByName(protoreflect.Name(part)).Message()
	}
	return method.Output()
}

func binding(rule *annotations.HttpRule) (verb, pattern string) {
	switch p := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return http.MethodGet, p.Get
	case *annotations.HttpRule_Put:
		return http.MethodPut, p.Put
	case *annotations.HttpRule_Post:
		return http.MethodPost, p.Post
	case *annotations.HttpRule_Delete:
		return http.MethodDelete, p.Delete
	case *annotations.HttpRule_Patch:
		return http.MethodPatch, p.Patch
	}
	return "", ""
}

// Matches reports whether path is one of the pattern's. Every request asks every route.
func (r Route) Matches(path string) bool {
	for pattern := r.Pattern; ; {
		want, patternLeft, wantsMore := strings.Cut(pattern, "/")
		got, pathLeft, hasMore := strings.Cut(path, "/")
		if wantsMore != hasMore || !matchesSegment(want, got) {
			return false
		}
		if !hasMore {
			return true
		}
		pattern, path = patternLeft, pathLeft
	}
}

func matchesSegment(pattern, segment string) bool {
	_, suffix, isField := strings.Cut(pattern, "}")
	if !isField {
		return pattern == segment
	}
	return len(segment) > len(suffix) && strings.HasSuffix(segment, suffix)
}

// fixed are the fields that each route of a request takes from its path.
var fixed = func() map[protoreflect.FullName][]protoreflect.FieldDescriptor {
	fields, routes := map[protoreflect.FullName][]protoreflect.FieldDescriptor{}, Routes()
	for _, route := range routes {
		request := route.Method.Input()
		fields[request.FullName()] = nil
		for i := range request.Fields().Len() {
			field := request.Fields().Get(i)
			if !slices.ContainsFunc(routes, func(r Route) bool {
				return r.Method.Input() == request && !strings.Contains(r.Pattern, "{"+string(field.Name())+"}")
			}) {
				fields[request.FullName()] = append(fields[request.FullName()], field)
			}
		}
	}
	return fields
}()

// allowed are the verbs that path knows, for the Allow header; none where there is no such path.
func allowed(routes []Route, path string) (verbs []string) {
	for _, r := range routes {
		if r.Matches(path) {
			verbs = append(verbs, r.Verb)
		}
	}
	if slices.Contains(verbs, http.MethodGet) {
		verbs = append(verbs, http.MethodHead)
	}
	slices.Sort(verbs)
	return slices.Compact(verbs)
}

// favoriteRoutes are the types that routes of MutateFavorite fix.
var favoriteRoutes = map[string]profilev1.FavoriteType{
	"/api/v1/user/me/likes/{video_id}":     profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
	"/api/v1/user/me/bookmarks/{video_id}": profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK,
	"/api/v1/video/{video_id}/like":        profilev1.FavoriteType_FAVORITE_TYPE_LIKE,
	"/api/v1/video/{video_id}/favorite":    profilev1.FavoriteType_FAVORITE_TYPE_BOOKMARK,
}

// fix sets what verb and pattern say of a request, and returns violations of requests that say something themselves.
func fix(req *profilev1.MutateFavoriteRequest, verb, pattern string) (problems []Violation) {
	if req.GetFavoriteType() != 0 {
		problems = append(problems, Violation{"favorite_type", "follows from the path"})
	}
	if req.GetAction() != 0 {
		problems = append(problems, Violation{"action", "follows from the method"})
	}
	req.FavoriteType, req.Action = favoriteRoutes[pattern], profilev1.FavoriteAction_FAVORITE_ACTION_ADD
	if verb == http.MethodDelete {
		req.Action = profilev1.FavoriteAction_FAVORITE_ACTION_REMOVE
	}
	return problems
}

// String names the route as documents do.
func (r Route) String() string { return fmt.Sprintf("%s %s", r.Verb, r.Pattern) }
