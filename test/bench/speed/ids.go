package main

import (
	"crypto/md5" //nolint:gosec // G501: the same arithmetic as SQL's md5(); nothing is secret
	"encoding/base64"
	"strconv"

	"github.com/google/uuid"
)

// Users and videos are numbered from 1. Their ids are computed alike here and in the SQL of the yardsticks
// (userSQL, videoSQL), so that nobody has to look them up and both sides meet the same keys.
const (
	userSQL  = "md5(:u::text)::uuid"
	videoSQL = "md5('v' || :v::text)::uuid"
)

func userID(n int) uuid.UUID { return hashed(strconv.Itoa(n)) }

func videoID(n int) uuid.UUID { return hashed("v" + strconv.Itoa(n)) }

func hashed(text string) uuid.UUID { return uuid.UUID(md5.Sum([]byte(text))) } //nolint:gosec // G401: see the import

// userInfo is the identity header of a user, as the gateway sends it.
func userInfo(user string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"` + user + `"}`))
}

// dataset says how much data there is: every user has Warm likes and Warm watched videos.
type dataset struct {
	Users  int `json:"users"`
	Videos int `json:"videos"`
	Warm   int `json:"warm"`
}

// Factors that spread a user's warm videos; different ones for likes and for the history.
const (
	likedFactor   = 31
	watchedFactor = 17
)

// liked is the k-th video that the user likes, 0 <= k < Warm; all k give different videos.
func (d dataset) liked(user, k int) int { return d.nth(user*likedFactor, k) }

// watched is the k-th video that the user has watched.
func (d dataset) watched(user, k int) int { return d.nth(user*watchedFactor, k) }

func (d dataset) nth(start, k int) int { return 1 + (start+k*(d.Videos/d.Warm))%d.Videos }
