// Package vo holds what services hand to the edge, and its wire form. Rows that leave a service unchanged
// keep their one shape and only get their public name here.
package vo

import (
	"github.com/lingo-services/profile/internal/models/po"
)

// Rows that services return as they are.
type (
	// User is a profile.
	User = po.User
	// FavoriteState is one user's state and the counters of one video.
	FavoriteState = po.FavoriteState
	// WatchRecord is a watch row with the video's length.
	WatchRecord = po.WatchRecord
	// Video is what the catalog told us.
	Video = po.Video
	// VideoStats are the counters of a video.
	VideoStats = po.VideoStats
	// PreferenceChange is one changed preference.
	PreferenceChange = po.PreferenceChange
	// ProfilePatch says what to change of a profile.
	ProfilePatch = po.ProfilePatch
	// ExtraPatch is the part of a ProfilePatch for preferences.extra.
	ExtraPatch = po.ExtraPatch
)
