package models

// FavoriteType is the kind of a favourite, as stored.
type FavoriteType string

// The kinds of favourite.
const (
	Like     FavoriteType = "like"
	Bookmark FavoriteType = "bookmark"
)

// Outcome says why a successful call did less than it might have.
type Outcome string

// The outcomes worth explaining; the empty one needs no explanation.
const (
	OutcomeNone            Outcome = ""
	OutcomeStale           Outcome = "stale"
	OutcomeExpired         Outcome = "expired"
	OutcomeBelowThreshold  Outcome = "below_threshold"
	OutcomeDurationUnknown Outcome = "duration_unknown"
	OutcomeImplausible     Outcome = "implausible"
)

// Availability of a video, as the projection's column of that name decides it (S21).
type Availability string

// The availabilities; Unknown is the absence of a projection row.
const (
	Available Availability = "available"
	Private   Availability = "private"
	NotReady  Availability = "not_ready"
	Deleted   Availability = "deleted"
	Unknown   Availability = "unknown"
)

// VideoPolicy decides which videos writes refuse (S22).
type VideoPolicy string

// The policies: Known refuses what the catalog says is unavailable, Strict also what it has not told us,
// Lenient nothing.
const (
	PolicyKnown   VideoPolicy = "known"
	PolicyStrict  VideoPolicy = "strict"
	PolicyLenient VideoPolicy = "lenient"
)

// AllowsFavorite reports whether a user may add a favourite (S22, S23).
func (p VideoPolicy) AllowsFavorite(a Availability, isUploader bool) bool {
	switch a {
	case Deleted:
		return p == PolicyLenient
	case Private:
		return isUploader || p == PolicyLenient
	case Unknown:
		return p != PolicyStrict
	case Available, NotReady:
		return true
	}
	return true
}

// AllowsProgress reports whether progress may be reported (S22, S24). Playback itself is authorised
// elsewhere, so only a deleted video is refused.
func (p VideoPolicy) AllowsProgress(a Availability) bool {
	switch a {
	case Deleted:
		return p == PolicyLenient
	case Unknown:
		return p != PolicyStrict
	case Available, NotReady, Private:
		return true
	}
	return true
}

// Completion filters a history list.
type Completion string

// The completion filters; the empty one takes both.
const (
	AnyCompletion Completion = ""
	Completed     Completion = "completed"
	InProgress    Completion = "in_progress"
)

// Doubts are what is hard to believe about a progress report. It counts all the same; metrics tell.
type Doubts struct {
	// SecondsCut: more than a day at once was claimed, and cut to a day (S34).
	SecondsCut bool
	// ImplausibleRate: more than four times the elapsed time plus 30 s was claimed (S34).
	ImplausibleRate bool
	// RatioGap: the claimed ratio is over two points off the one computed from position and length (S40).
	RatioGap bool
}
