package rest

import (
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
)

// A PATCH body is a JSON merge patch (RFC 7396) of the resource: what is absent stays, null clears, anything else is
// set. It becomes a message and a mask: JSON's own form of masks cannot name keys of extra that are not in snake_case.

// patchProfile reads a merge patch of a Profile.
func patchProfile(body []byte, req *profilev1.UpdateProfileRequest) []Violation {
	req.Profile = &profilev1.Profile{}
	object, problems := merged(body, req.Profile)
	if len(problems) > 0 {
		return problems
	}
	req.UpdateMask = &fieldmaskpb.FieldMask{}
	for name, value := range object {
		field := fieldOf(req.GetProfile().ProtoReflect().Descriptor(), name)
		switch field.Name() {
		case "display_name", "avatar_url":
			req.UpdateMask.Paths = append(req.UpdateMask.Paths, string(field.Name()))
		case "preferences":
			req.UpdateMask.Paths = append(req.UpdateMask.Paths, preferencePaths(value)...)
		default: // output only: ignored, so that what was read can be sent back
		}
	}
	slices.Sort(req.GetUpdateMask().GetPaths())
	return nil
}

// patchPreferences reads a merge patch of Preferences.
func patchPreferences(body []byte, req *profilev1.UpdatePreferencesRequest) []Violation {
	req.Preferences = &profilev1.Preferences{}
	object, problems := merged(body, req.Preferences)
	if len(problems) > 0 {
		return problems
	}
	req.UpdateMask = &fieldmaskpb.FieldMask{Paths: preferencePaths(object)}
	slices.Sort(req.GetUpdateMask().GetPaths())
	return nil
}

// merged reads a patch into message, which then has everything that is not null.
func merged(body []byte, message proto.Message) (map[string]any, []Violation) {
	if problems := decode(body, message); len(problems) > 0 {
		return nil, problems
	}
	value, err := parse(body)
	if err != nil {
		return nil, []Violation{{"", err.Error()}}
	}
	object, _ := value.(map[string]any) // decode refuses anything else
	return object, nil
}

var preferences = (&profilev1.Preferences{}).ProtoReflect().Descriptor()

// preferencePaths are the paths of a patch of preferences.
func preferencePaths(patch any) (paths []string) {
	object, ok := patch.(map[string]any)
	if !ok { // null
		return []string{"preferences"}
	}
	for name, value := range object {
		field := fieldOf(preferences, name).Name()
		extra, isObject := value.(map[string]any)
		if field != "extra" || !isObject {
			paths = append(paths, string(field))
			continue
		}
		for key := range extra {
			paths = append(paths, "extra."+key) // a null deletes the key, also in gRPC
		}
	}
	return paths
}

func sortedKeys[V any](object map[string]V) []string { return slices.Sorted(maps.Keys(object)) }
