package po

import (
	"maps"
	"reflect"
	"slices"

	"github.com/lingo-services/profile/internal/models"
)

// Field is one part of a patch; not Set leaves the stored value alone.
type Field[T any] struct {
	Set   bool
	Value T
}

// Set makes a field that stores value.
func Set[T any](value T) Field[T] { return Field[T]{Set: true, Value: value} }

// ProfilePatch changes some of a profile. nil values clear.
type ProfilePatch struct {
	DisplayName       Field[string]
	AvatarURL         Field[*string]
	LearningGoal      Field[*string]
	DailyQuotaMinutes Field[*int32]
	Extra             ExtraPatch
}

// ExtraPatch changes top-level keys of extra; a nil value deletes its key (RFC 7396). Replace drops
// everything else first.
type ExtraPatch struct {
	// Path is where the request holds extra, as violations name it.
	Path    string
	Replace bool
	Values  map[string]any
}

// TouchesPreferencesOnly reports whether the patch leaves name and picture alone.
func (p ProfilePatch) TouchesPreferencesOnly() bool { return !p.DisplayName.Set && !p.AvatarURL.Set }

// Apply returns content with the patch applied; it shares no map with c. A merged extra that breaks its
// limits is models.ErrInvalidArgument.
func (p ProfilePatch) Apply(c Content) (Content, error) {
	setIf(&c.DisplayName, p.DisplayName)
	setIf(&c.AvatarURL, p.AvatarURL)
	setIf(&c.LearningGoal, p.LearningGoal)
	setIf(&c.DailyQuotaMinutes, p.DailyQuotaMinutes)
	c.Extra = p.Extra.apply(c.Extra)
	if violations := models.CheckExtra(p.Extra.Path, c.Extra); len(violations) > 0 {
		return Content{}, models.ErrInvalidArgument.With(violations...)
	}
	return c, nil
}

func setIf[T any](target *T, f Field[T]) {
	if f.Set {
		*target = f.Value
	}
}

func (p ExtraPatch) apply(stored map[string]any) map[string]any {
	merged := make(map[string]any, len(stored)+len(p.Values))
	if !p.Replace {
		maps.Copy(merged, stored)
	}
	for key, value := range p.Values {
		if value == nil {
			delete(merged, key)
			continue
		}
		merged[key] = value
	}
	return merged
}

// PreferenceChange is one changed preference. Old and New are JSON values, nil when not set.
type PreferenceChange struct {
	// Field is learning_goal, daily_quota_minutes or extra.<key>.
	Field    string
	Old, New any
}

// Equal reports whether two contents would store the same.
func (c Content) Equal(o Content) bool {
	return c.DisplayName == o.DisplayName && equal(c.AvatarURL, o.AvatarURL) && len(c.Changes(o.Preferences)) == 0
}

// Changes lists what differs on the way from p to next, by field name.
func (p Preferences) Changes(next Preferences) []PreferenceChange {
	var changes []PreferenceChange
	if !equal(p.DailyQuotaMinutes, next.DailyQuotaMinutes) {
		changes = append(changes, PreferenceChange{"daily_quota_minutes", minutes(p.DailyQuotaMinutes), minutes(next.DailyQuotaMinutes)})
	}
	keys := slices.Collect(maps.Keys(p.Extra))
	for key := range next.Extra {
		if _, known := p.Extra[key]; !known {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		if !sameJSON(p.Extra[key], next.Extra[key]) {
			changes = append(changes, PreferenceChange{"extra." + key, p.Extra[key], next.Extra[key]})
		}
	}
	if !equal(p.LearningGoal, next.LearningGoal) {
		changes = append(changes, PreferenceChange{"learning_goal", text(p.LearningGoal), text(next.LearningGoal)})
	}
	return changes
}

func minutes(v *int32) any {
	if v == nil {
		return nil
	}
	return float64(*v)
}

func text(v *string) any {
	if v == nil {
		return nil
	}
	return *v
}

// sameJSON compares JSON values as they are stored: -0 is 0.
func sameJSON(a, b any) bool { return reflect.DeepEqual(a, b) }
