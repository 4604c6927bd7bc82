package dto

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	profilev1 "github.com/lingo-services/profile/api/profile/v1"
	"github.com/lingo-services/profile/internal/controllers/identity"
	"github.com/lingo-services/profile/internal/models"
	"github.com/lingo-services/profile/internal/models/vo"
	"github.com/lingo-services/profile/internal/services"
)

// Mask paths, relative to the resource (S65).
const (
	pathAll         = "*"
	pathDisplayName = "display_name"
	pathAvatarURL   = "avatar_url"
	pathGoal        = "learning_goal"
	pathQuota       = "daily_quota_minutes"
	pathExtra       = "extra"
	pathPreferences = "preferences"
)

// GetProfile decodes a read.
func (d *Decoder) GetProfile(s identity.Subject, h Headers, req *profilev1.GetProfileRequest) (models.Call, error) {
	r := d.begin(s, h, req)
	return r.read(), r.err()
}

// UpdateProfile decodes a profile patch.
func (d *Decoder) UpdateProfile(s identity.Subject, h Headers, req *profilev1.UpdateProfileRequest) (models.Call, services.UpdateProfile, error) {
	r := d.begin(s, h, req)
	p := patchReader{request: r, profile: req.GetProfile(), prefs: req.GetProfile().GetPreferences(), prefix: "profile.", prefsPrefix: "profile.preferences."}
	cmd := services.UpdateProfile{Patch: p.read(req.GetUpdateMask(), true), IfMatch: h.IfMatch}
	cmd.ExpectedVersion = r.expectedVersion(req.GetExpectedProfileVersion())
	return r.update(req.GetIdempotencyKey(), cmd), cmd, r.err()
}

// UpdatePreferences decodes a preferences patch.
func (d *Decoder) UpdatePreferences(s identity.Subject, h Headers, req *profilev1.UpdatePreferencesRequest) (models.Call, services.UpdateProfile, error) {
	r := d.begin(s, h, req)
	p := patchReader{request: r, prefs: req.GetPreferences(), prefix: "profile.", prefsPrefix: "preferences."}
	cmd := services.UpdateProfile{Patch: p.read(req.GetUpdateMask(), false), IfMatch: h.IfMatch, PreferencesOnly: true}
	cmd.ExpectedVersion = r.expectedVersion(req.GetExpectedProfileVersion())
	return r.update(req.GetIdempotencyKey(), cmd), cmd, r.err()
}

func (r *request) update(key string, cmd services.UpdateProfile) models.Call {
	if r.headers.IfNoneMatch != "" {
		r.violate("x-md-if-none-match", "is for reads; expected_profile_version 0 says that there must be no profile")
	}
	if r.headers.NoTag {
		r.violate("x-md-if-match", "must name an entity tag, or *")
	}
	cmd.IfMatch = models.SortETags(cmd.IfMatch)
	return r.write(key, cmd)
}

// expectedVersion also refuses a condition header that says something else (S62).
func (r *request) expectedVersion(v *wrapperspb.Int64Value) *int64 {
	if v == nil {
		return nil
	}
	version := v.GetValue()
	if r.headers.IfMatch != "" && !models.ETagMatches(r.headers.IfMatch, models.ETag(r.subject.User, version)) {
		r.violate("expected_profile_version", "must agree with the x-md-if-match header when both are set")
	}
	return &version
}

// PurgeUserData decodes an erase request.
func (d *Decoder) PurgeUserData(s identity.Subject, h Headers, req *profilev1.PurgeUserDataRequest) (models.Call, error) {
	r := d.begin(s, h, req)
	asked := struct {
		User   models.UserID
		Reason string
	}{s.User, req.GetReason()}
	return r.write(req.GetIdempotencyKey(), asked), r.err()
}

// patchReader builds a patch from a mask and the messages it points into.
type patchReader struct {
	*request
	profile *profilev1.Profile
	prefs   *profilev1.Preferences
	// prefix and prefsPrefix spell fields of violations.
	prefix, prefsPrefix string
	patch               vo.ProfilePatch
}

// read applies S65 and S66. withProfile allows display_name and avatar_url.
func (p *patchReader) read(mask *fieldmaskpb.FieldMask, withProfile bool) vo.ProfilePatch {
	p.patch.Extra.Path = p.prefsPrefix + pathExtra
	paths := p.normalize(mask.GetPaths(), withProfile)
	if len(mask.GetPaths()) == 0 {
		paths = p.populated(withProfile)
		if len(paths) == 0 {
			p.violate("update_mask", "nothing to update: set a field or name it in the mask")
		}
	}
	for path := range paths {
		p.readPath(path, len(mask.GetPaths()) > 0)
	}
	return p.patch
}

// normalize strips tolerated prefixes and expands `*` and `preferences`; repeated paths count once.
func (p *patchReader) normalize(raw []string, withProfile bool) map[string]bool {
	allowed := map[string]bool{pathGoal: true, pathQuota: true, pathExtra: true}
	all := []string{pathGoal, pathQuota, pathExtra}
	if withProfile {
		allowed[pathDisplayName], allowed[pathAvatarURL] = true, true
		all = append(all, pathDisplayName, pathAvatarURL)
	}
	paths := map[string]bool{}
	var whole, part bool // of the preferences
	for _, given := range raw {
		path := strings.TrimPrefix(strings.TrimPrefix(given, "profile."), "preferences.")
		key, isKey := strings.CutPrefix(path, pathExtra+".")
		switch {
		case given == pathAll && len(raw) == 1: // below a prefix it would reach beyond it
			for _, f := range all {
				paths[f] = true
			}
		case given == pathAll:
			p.violate("update_mask", "`*` must be the only path")
		case path == pathPreferences:
			whole = true
			for _, f := range all[:3] {
				paths[f] = true
			}
		case isKey && key != "", allowed[path]:
			paths[path] = true
			part = part || (path != pathDisplayName && path != pathAvatarURL)
		default:
			p.violate("update_mask", fmt.Sprintf("unknown path %q", abbreviate(given)))
		}
	}
	if whole && part {
		p.violate("update_mask", "must not have both `preferences` and a part of it")
	}
	for path := range paths {
		if strings.HasPrefix(path, pathExtra+".") && paths[pathExtra] {
			p.violate("update_mask", "must not have both `extra` and `extra.<key>`")
		}
	}
	return paths
}

// populated are the fields a request without mask means.
func (p *patchReader) populated(withProfile bool) map[string]bool {
	paths := map[string]bool{}
	add := func(path string, present bool) {
		if present {
			paths[path] = true
		}
	}
	add(pathDisplayName, withProfile && p.profile.GetDisplayName() != "")
	add(pathAvatarURL, withProfile && p.profile.GetAvatarUrl() != "")
	add(pathGoal, p.prefs.GetLearningGoal() != "")
	add(pathQuota, p.prefs.GetDailyQuotaMinutes() != nil)
	add(pathExtra, len(p.prefs.GetExtra().GetFields()) > 0)
	return paths
}

func (p *patchReader) readPath(path string, masked bool) {
	switch path {
	case pathDisplayName:
		name, problem := displayName(p.profile.GetDisplayName())
		if problem != "" {
			p.violate(p.prefix+pathDisplayName, problem)
		}
		p.patch.DisplayName.Set, p.patch.DisplayName.Value = true, name
	case pathAvatarURL:
		p.patch.AvatarURL.Set = true
		if avatar := p.profile.GetAvatarUrl(); avatar != "" {
			if problem := urlProblem(avatar, p.opts.AllowHTTPAvatars); problem != "" {
				p.violate(p.prefix+pathAvatarURL, problem)
			}
			p.patch.AvatarURL.Value = &avatar
		}
	case pathGoal:
		p.patch.LearningGoal.Set = true
		if goal := p.prefs.GetLearningGoal(); goal != "" {
			if problem := goalProblem(goal); problem != "" {
				p.violate(p.prefsPrefix+pathGoal, problem)
			}
			p.patch.LearningGoal.Value = &goal
		}
	case pathQuota:
		p.patch.DailyQuotaMinutes.Set = true
		if quota := p.prefs.GetDailyQuotaMinutes(); quota != nil {
			minutes := quota.GetValue()
			p.patch.DailyQuotaMinutes.Value = &minutes
		}
	case pathExtra:
		p.patch.Extra.Replace, p.patch.Extra.Values = masked, p.extra()
	default: // extra.<key>
		key := strings.TrimPrefix(path, pathExtra+".")
		if p.patch.Extra.Values == nil {
			p.patch.Extra.Values = map[string]any{}
		}
		p.patch.Extra.Values[key] = p.extra()[key]
		p.checkExtra(map[string]any{key: p.patch.Extra.Values[key]})
	}
}

// extra reads the request's extra as JSON values and checks it.
func (p *patchReader) extra() map[string]any {
	values := jsonObject(p.prefs.GetExtra())
	p.checkExtra(values)
	return values
}

// jsonObject is s.AsMap, which would turn NaN and the infinities into text.
func jsonObject(s *structpb.Struct) map[string]any {
	object := make(map[string]any, len(s.GetFields()))
	for key, value := range s.GetFields() {
		object[key] = jsonValue(value)
	}
	return object
}

func jsonValue(v *structpb.Value) any {
	switch kind := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		return kind.NumberValue + 0 // -0 is stored as 0
	case *structpb.Value_StructValue:
		return jsonObject(kind.StructValue)
	case *structpb.Value_ListValue:
		items := make([]any, len(kind.ListValue.GetValues()))
		for i, item := range kind.ListValue.GetValues() {
			items[i] = jsonValue(item)
		}
		return items
	}
	return v.AsInterface()
}

func (p *patchReader) checkExtra(values map[string]any) {
	for _, v := range models.CheckExtra(p.prefsPrefix+pathExtra, values) {
		p.violate(v.Field, v.Description)
	}
}

func abbreviate(text string) string {
	const limit = 64
	if len(text) > limit {
		return strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

// Profile encodes a profile. Errors: extra that is not JSON, which the database never holds.
func Profile(u vo.User) (*profilev1.Profile, error) {
	extra, err := structpb.NewStruct(u.Extra)
	if err != nil {
		return nil, fmt.Errorf("encode extra: %w", err)
	}
	document := maps.Clone(u.Extra)
	if document == nil {
		document = map[string]any{}
	}
	prefs := &profilev1.Preferences{Extra: extra}
	if u.LearningGoal != nil {
		prefs.LearningGoal = *u.LearningGoal
		document[pathGoal] = *u.LearningGoal
	}
	if u.DailyQuotaMinutes != nil {
		prefs.DailyQuotaMinutes = wrapperspb.Int32(*u.DailyQuotaMinutes)
		document[pathQuota] = *u.DailyQuotaMinutes
	}
	text, err := canonicalJSON(document)
	if err != nil {
		return nil, fmt.Errorf("encode preferences: %w", err)
	}
	profile := &profilev1.Profile{
		UserId: u.UserID.String(), DisplayName: u.DisplayName, ProfileVersion: u.Version, Preferences: prefs,
		CreatedAt: timestamppb.New(u.CreatedAt), UpdatedAt: timestamppb.New(u.UpdatedAt), PreferencesJson: string(text),
	}
	if u.AvatarURL != nil {
		profile.AvatarUrl = *u.AvatarURL
	}
	return profile, nil
}

// canonicalJSON is the form of RFC 8785. Go writes it already, but for the order of names beyond ASCII, what it escapes,
// and negative zero.
func canonicalJSON(document map[string]any) ([]byte, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	special := func(c byte) bool { return c == '\\' || c >= utf8.RuneSelf }
	if !slices.ContainsFunc(text, special) && !bytes.Contains(text, []byte("-0")) {
		return text, nil
	}
	return jcs.Transform(text)
}

// Delta encodes changed preferences.
func Delta(changes []vo.PreferenceChange) (*profilev1.PreferenceDelta, error) {
	delta := &profilev1.PreferenceDelta{}
	for _, c := range changes {
		before, err := structpb.NewValue(c.Old)
		if err != nil {
			return nil, fmt.Errorf("encode old %s: %w", c.Field, err)
		}
		after, err := structpb.NewValue(c.New)
		if err != nil {
			return nil, fmt.Errorf("encode new %s: %w", c.Field, err)
		}
		delta.Changes = append(delta.Changes, &profilev1.PreferenceChange{Field: c.Field, OldValue: before, NewValue: after})
	}
	return delta, nil
}
